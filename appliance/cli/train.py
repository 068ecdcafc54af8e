"""``appliance train``: run recipes, and show what they declare."""

from __future__ import annotations

import click

from appliance.cli.command import Call, Result, command, noun


@command("train", "list", example="appliance train list --site ./site")
def list_recipes(call: Call) -> Result:
    """List the declared recipes."""
    rows = [{"model": recipe.model, "owner": recipe.owner, "purpose": recipe.purpose} for recipe in call.parts.recipes]
    lines = [f"{row['model']:24} {row['owner']:24} {row['purpose']}" for row in rows]
    return Result(data={"recipes": rows}, text="\n".join(lines) or "No recipe is declared.")


@command("train", "show", example="appliance train show incident_risk --site ./site")
@click.argument("model")
def show(call: Call, model: str) -> Result:
    """Show a recipe with every default written out."""
    import json

    from appliance.training.recipe import as_json, find_recipe, recipe_digest

    recipe = find_recipe(call.parts.recipes, model)
    document = as_json(recipe)
    return Result(
        data={"recipe": document, "digest": recipe_digest(recipe)},
        text=f"{json.dumps(document, indent=2)}\n{recipe_digest(recipe)}",
    )


@command(
    "train",
    "run",
    changes="train.run",
    roles=("data-scientist", "operator"),
    example="appliance train run incident_risk --site ./site",
)
@click.argument("model")
def run(call: Call, model: str) -> Result:
    """Train a model: pin the data, run the job, check the gates, write the package."""
    from appliance.training.recipe import find_recipe

    recipe = find_recipe(call.parts.recipes, model)
    call.say(f"Training {model}: pinning data, then a job in the training environment ...")
    result = call.parts.trainer.train(recipe)
    gpu = result.telemetry["gpu"]
    device = f"no GPU ({gpu['reason']})" if gpu["gpu"] == "none" else f"{len(gpu['devices'])} GPU"
    lines = [
        f"Model {model} is packaged in {result.package}",
        f"artifact     {result.artifact_id}",
        f"training set {result.training_set.digest} ({result.training_set.rows} rows)",
        f"job          {result.telemetry['wall_s']} s, {device}",
        f"model card   {result.model_card}",
        f"Next: appliance model register {result.package} --site {call.site_folder}",
    ]
    return Result(
        data={
            "model": model,
            "artifact_id": result.artifact_id,
            "package": str(result.package),
            "training_set": result.training_set.digest,
            "training_set_lineage": result.training_set.lineage_id,
            "lineage": result.lineage_id,
            "metrics": result.metrics,
            "telemetry": result.telemetry,
        },
        text="\n".join(lines),
    )


group = noun("train", "Train models from recipes", [list_recipes, show, run])
