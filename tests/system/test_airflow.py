"""The generated DAG file, in Airflow's own environment and without a network."""

import json
import subprocess

import pytest

from appliance.orchestration.pipeline import STEPS
from tests.product import ENVIRONMENT, MODEL, OFFLINE, ROOT

pytestmark = pytest.mark.integration

AIRFLOW = ROOT / ".venv-airflow" / "bin" / "python"
DAG = f"retrain_{MODEL}"
IMPORTS_WITHIN_S = 2.0  # of the processor
LOOK = """
import json, sys, time
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.dag_processing.dagbag import DagBag
begin = time.process_time()
bag = DagBag(dag_folder=sys.argv[1], bundle_path=None)
seconds = time.process_time() - begin
print(json.dumps({
    "errors": bag.import_errors,
    "seconds": seconds,
    "imported": sorted(name for name in sys.modules if name.partition(".")[0] == "appliance"),
    "dags": {
        dag.dag_id: [
            {"id": task.task_id, "before": sorted(task.upstream_task_ids), "command": task.bash_command,
             "retries": task.retries, "asks_again_on": getattr(task, "retry_exit_code", None)}
            for task in dag.topological_sort()
        ]
        for dag in bag.dags.values()
    },
}))
"""
EXECUTE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder=sys.argv[1], bundle_path=None)
task = bag.dags[sys.argv[2]].task_dict[sys.argv[3]]
print(json.dumps(task.execute({})))
"""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, demo):
    """Runs a program in Airflow's environment, offline, on the generated file."""
    if not AIRFLOW.is_file():
        pytest.skip(f"the Airflow environment is not installed: {AIRFLOW}; run make airflow")
    home = tmp_path_factory.mktemp("airflow")
    file = home / "dags" / "retrain.py"
    demo.product.do("pipeline", "dag", "--output", file, role="data-scientist")
    environment = {
        **ENVIRONMENT,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }

    def run(program, *arguments):
        done = subprocess.run(
            [*OFFLINE, str(AIRFLOW), "-c", program, str(file.parent), *arguments],
            cwd=home, env=environment, capture_output=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return json.loads(done.stdout.decode().splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def found(airflow):
    return airflow(LOOK)


def test_the_file_imports_quickly_without_error_and_without_the_product(found):
    assert found["errors"] == {}
    assert found["seconds"] < IMPORTS_WITHIN_S
    assert found["imported"] == []


def test_one_dag_for_every_recipe_that_is_served(found, demo):
    made = demo.product.do("pipeline", "dag", role="data-scientist")
    assert sorted(found["dags"]) == sorted(f"retrain_{recipe}" for recipe in made["recipes"])


def test_ten_tasks_in_order(found):
    assert DAG in found["dags"]
    for tasks in found["dags"].values():
        assert tuple(task["id"] for task in tasks) == STEPS
        assert [task["before"] for task in tasks] == [[], *([name] for name in STEPS[:-1])]


def test_tasks_call_the_products_commands(found, demo):
    for task in found["dags"][DAG]:
        words = (
            f"-m appliance pipeline run {MODEL} --until {task['id']} --site {demo.folder} --as data-scientist --json"
        )
        assert task["command"].endswith(words)
        assert task["command"].startswith(str(ROOT / ".venv"))
        assert task["retries"] == 0, "a gate that failed ended the run; a retry would begin another"


def test_only_the_shadow_waits_for_the_approval(found):
    waits = {task["id"]: task["asks_again_on"] for task in found["dags"][DAG] if task["asks_again_on"]}
    assert waits == {"shadow": 5}


def test_a_task_really_runs_its_step(airflow, demo):
    runs = len(demo.product.do("pipeline", "list", role="auditor")["runs"])
    printed = json.loads(airflow(EXECUTE, DAG, "quality"))
    assert printed["steps"][0]["name"] == "quality"
    assert printed["steps"][0]["status"] == "done"
    assert [step["status"] for step in printed["steps"][1:]] == ["pending"] * 9
    assert len(demo.product.do("pipeline", "list", role="auditor")["runs"]) == runs + 1
