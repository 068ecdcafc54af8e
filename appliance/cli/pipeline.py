"""``appliance pipeline``: retrain, judge and promote, resumable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from appliance.base import atomic
from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.orchestration.journal import Journal, Run, Step
from appliance.orchestration.pipeline import STEPS


@command(
    "pipeline",
    "run",
    changes="pipeline.run",
    roles=("data-scientist",),
    example="appliance pipeline run incident_risk --site ./site",
)
@click.argument("recipe")
@click.option("--until", type=click.Choice(STEPS), help="Stop after this step.")
def run(call: Call, recipe: str, until: str | None) -> Result:
    """Run the ten steps for a recipe, or go on with the run that has not ended.

    Safe to run again after a kill at any moment. It ends with code 5 when the candidate waits for approval.
    """
    from appliance.orchestration.pipeline import advance, open_run
    from appliance.orchestration.steps import Steps, check_classifier
    from appliance.serving.deployment import Deployment
    from appliance.training.recipe import find_recipe

    check_classifier(find_recipe(call.parts.recipes, recipe))
    journal = Journal(call.site.pipeline)

    def tell(step: Step) -> None:
        if step.status != "pending":
            call.say(f"{step.name:<9} {step.status}{': ' + step.reason if step.reason else ''}")

    progress_bar = terminal_progress(NoProgress() if call.as_json else None)
    with journal.at_work(recipe), progress_bar as progress:
        opened = open_run(journal, recipe, call.clock)
        steps = Steps(call.parts, Deployment(call.parts), recipe, progress)
        done = advance(journal, opened, steps.functions(), call.clock, until=until, tell=tell)
    return Result(data=_shown(done), text=_text(done))


@command("pipeline", "list", example="appliance pipeline list --json")
def list_runs(call: Call) -> Result:
    """List the runs, newest first."""
    runs = Journal(call.site.pipeline).runs()
    lines = [f"{each.run_id}  {each.status}" for each in runs] or ["No run yet. Next: appliance pipeline run RECIPE"]
    return Result(
        data={"runs": [{"run_id": each.run_id, "status": each.status} for each in runs]}, text="\n".join(lines)
    )


@command("pipeline", "show", example="appliance pipeline show 20260501T120000000000-incident_risk")
@click.argument("run_id")
def show(call: Call, run_id: str) -> Result:
    """Show the steps of a run with their results."""
    found = Journal(call.site.pipeline).load(run_id)
    return Result(data=_shown(found), text=_text(found))


@command("pipeline", "dag", example="appliance pipeline dag --output dags/retrain.py --site ./site")
@click.option("--output", type=click.Path(path_type=Path), help="Write the file here; printed when left out.")
@click.option("--schedule", help="Cron text, for all recipes; without it a run is started by hand.")
def dag(call: Call, output: Path | None, schedule: str | None) -> Result:
    """Make the Airflow DAG file: one DAG per recipe that is served, one task per step, each a product command."""
    from appliance.orchestration.airflow_dag import render
    from appliance.training.recipe import ClassifierRecipe

    recipes = [recipe.model for recipe in call.parts.recipes if isinstance(recipe, ClassifierRecipe)]
    text = render(python=Path(sys.executable), site=call.site.folder, recipes=dict.fromkeys(recipes, schedule))
    if output is not None:
        atomic.write_bytes(output, text.encode())
    return Result(
        data={"recipes": recipes, "path": str(output) if output else None, "dag": text},
        text=text if output is None else f"{output}: {', '.join(recipes) or 'no recipe'}",
    )


def _shown(found: Run) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(found)
    return {**shown, "status": found.status}


def _text(found: Run) -> str:
    lines = [f"run {found.run_id}: {found.status}, begun {found.created_at:%Y-%m-%d %H:%M}Z"]
    for step in found.steps:
        outputs = ", ".join(f"{name} {value}" for name, value in step.outputs.items())
        lines.append(f"  {step.name:<9} {step.status:<8} {step.reason or outputs}")
    return "\n".join(lines)


group = noun("pipeline", "Run the retrain pipeline step by step, resumable.", [run, list_runs, show, dag])
