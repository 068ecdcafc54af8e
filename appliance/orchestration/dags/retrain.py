"""Airflow DAGs of the retrain pipeline: one per recipe, one task per step, each the product's own command.

`appliance pipeline dag` fills in the three settings and writes the file. It imports Airflow and the standard library,
nothing of the product: the commands run in the product's own environment.

Rules
1. A task is ``appliance pipeline run RECIPE --until STEP``: it goes on with the run that has not ended, and what is
   done is not done again. Order, journal and gates are the pipeline's; Airflow adds schedule, history and alerts.
2. No retries: a gate that failed has ended its run, and a second try would begin a new one.
3. The shadow waits for the approval: exit code 5 means "not yet", and is asked again until it is given.
"""

from __future__ import annotations

import datetime as dt
import shlex

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.sdk import DAG

PYTHON = ""
SITE = ""
RECIPES: dict[str, str | None] = {}  # recipe -> schedule, None for runs that somebody starts

STEPS = ("quality", "features", "split", "train", "evaluate", "register", "shadow", "canary", "promote", "watch")
WAITS_FOR_APPROVAL = "shadow"
NEEDS_APPROVAL = 5  # exit code
ASK_AGAIN_S = 300.0
GIVE_UP_AFTER_S = 7 * 86_400.0


def command(recipe: str, step: str) -> str:
    """The shell line of one step."""
    return shlex.join(
        [
            *(PYTHON, "-m", "appliance", "pipeline", "run", recipe, "--until", step),
            *("--site", SITE, "--as", "data-scientist", "--json"),
        ]
    )


def retrain(recipe: str, schedule: str | None) -> DAG:
    """The DAG of a recipe."""
    with DAG(
        dag_id=f"retrain_{recipe}",
        description=f"Retrain, judge and promote {recipe}",
        schedule=schedule,
        start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        max_active_runs=1,
        default_args={"retries": 0, "owner": "appliance"},
        tags=["appliance"],
    ) as dag:
        before = None
        for step in STEPS:
            if step == WAITS_FOR_APPROVAL:
                task = BashSensor(
                    task_id=step,
                    bash_command=command(recipe, step),
                    retry_exit_code=NEEDS_APPROVAL,
                    mode="reschedule",
                    poke_interval=ASK_AGAIN_S,
                    timeout=GIVE_UP_AFTER_S,
                )
            else:
                task = BashOperator(task_id=step, bash_command=command(recipe, step))
            if before is not None:
                before >> task
            before = task
    return dag


for _recipe, _schedule in RECIPES.items():
    globals()[f"retrain_{_recipe}"] = retrain(_recipe, _schedule)
