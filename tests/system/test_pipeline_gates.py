"""What stops a candidate, over the real gateway: it never answers a client, and what was live stays live.

The tests start from stages of one site, each made once and put back in the same place before a test: tables name their
files by absolute paths.
"""

import fcntl
import re
import shutil
from pathlib import Path

import pytest

from tests.product import SMALL, Product
from tests.system.flips import flipped, rewrite
from tests.system.kills import END, FLEET_SEED, MODEL, ask, journal, prepare, set_freshness

pytestmark = pytest.mark.integration

FIRST, BETTER = "trees = 80\n", "trees = 8\n"  # on these few devices a smaller model generalises better
PACKAGED = f"registry/models/{MODEL}/1/model.onnx"
IN_BENTO = f"serving/bentoml/bentos/{MODEL.replace('_', '-')}/v1/src/package/model.onnx"


class Stages:
    """Copies of one site at several points of its life; `product` works on the present one."""

    def __init__(self, folder):
        self.folder, self.product = folder, Product(folder / "site")

    def keep(self, name):
        shutil.copytree(self.product.folder, self.folder / name, symlinks=True)

    def back_to(self, name):
        self.product.stop()
        shutil.rmtree(self.product.folder, ignore_errors=True)
        shutil.copytree(self.folder / name, self.product.folder, symlinks=True)
        return self.product


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """unapproved -> quiet (approved, no client ever asked) -> asked -> live -> second (a better one is approved)."""
    made = Stages(tmp_path_factory.mktemp("stages"))
    product = prepare(made.product.folder, seed=FLEET_SEED, end=END, requests=0, settings=SMALL)
    try:
        set_trees(product, FIRST)
        assert product.pipeline("--until", "register").code == 0
        made.keep("unapproved")
        product.approve(f"{MODEL}/1")
        made.keep("quiet")
        ask(product, 300)
        made.keep("asked")
        through(product)
        made.keep("live")
        set_trees(product, BETTER)
        ended = product.pipeline("--until", "register")
        assert ended.code == 0, ended.said[-3000:]
        product.approve(f"{MODEL}/2")
        product.set(pipeline__max_score_shift=1.0)  # its scores are meant to differ
        made.keep("second")
        yield made
    finally:
        product.stop()


@pytest.fixture
def at(stages):
    """Gives the site at a stage; what it started is stopped after the test."""
    yield stages.back_to
    stages.product.stop()


def set_trees(product, line):
    path = product.folder / "declarations" / "recipes" / f"{MODEL}.toml"
    path.write_text(re.sub(r"trees = \d+\n", line, path.read_text()))


def through(product):
    """Run the pipeline to its end, and stop what serves."""
    serve(product)
    ended = product.pipeline()
    assert ended.code == 0, ended.said[-3000:]
    product.do("serve", "stop")


def serve(product):
    product.do("serve", "start", "--model", MODEL)


def flip(path):
    data = path.read_bytes()
    rewrite(path, flipped(data, len(data) // 2, 0))


def newest(product):
    """Step name -> (status, attempts) of the newest run, and its steps' reasons."""
    shown = product.do("pipeline", "list", role="auditor")["runs"][0]
    steps = product.do("pipeline", "show", shown["run_id"], role="auditor")["steps"]
    return shown["status"], {step["name"]: step for step in steps}


def test_an_unapproved_candidate_waits_and_is_not_served(at):
    product = at("unapproved")
    serve(product)
    for _ in range(2):
        ended = product.pipeline()
        assert (ended.code, ended.error["code"]) == (5, "APL-PIPE-002")
    status, steps = newest(product)
    assert (status, steps["shadow"]["status"], steps["canary"]["attempts"]) == ("waiting", "waiting", 0)
    assert product.versions() == {1: "candidate"}
    running = product.do("serve", "status")
    assert [each["name"] for each in running["processes"]] == ["gateway"]
    assert (product.route()["live"], product.route()["candidate"]) == (None, None)


def test_zero_recorded_traffic_is_a_failure_and_leaves_no_trial(at):
    product = at("quiet")
    serve(product)
    ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (1, "APL-PIPE-005")
    assert "0 requests are recorded, 250 are asked for" in ended.error["message"]
    status, steps = newest(product)
    assert (status, steps["shadow"]["status"], steps["canary"]["attempts"]) == ("failed", "failed", 0)
    assert product.versions() == {1: "approved"}
    assert (product.route()["live"], product.route()["candidate"]) == (None, None)


def test_a_table_that_breaks_its_contract_closes_the_first_gate(at):
    product = at("live")
    set_freshness(product, "1h")
    ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (1, "APL-PIPE-001")
    assert "contract of silver.readings: arrives (newest 2026-0" in ended.error["message"]
    _, steps = newest(product)
    assert (steps["quality"]["status"], steps["features"]["attempts"]) == ("failed", 0)
    kept = {each["check"]: each["outcome"] for each in product.do("table", "contracts")["checks"]}
    assert (kept["arrives"], kept["once"]) == ("failed", "passed")
    assert product.versions() == {1: "live"}


def test_a_table_without_a_contract_stops_the_run_until_there_is_one(at):
    product = at("live")
    contract = product.folder / "declarations" / "contracts" / "incidents.yaml"
    text = contract.read_text()
    contract.unlink()
    ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (2, "APL-INGEST-008")
    assert "no contract for labels.incidents" in ended.error["message"]
    _, steps = newest(product)
    assert (steps["quality"]["status"], steps["features"]["attempts"]) == ("pending", 0)
    contract.write_text(text)
    assert product.pipeline("--until", "quality").code == 0
    _, steps = newest(product)
    assert (steps["quality"]["status"], steps["quality"]["attempts"]) == ("done", 2)


def test_a_package_changed_after_its_approval_never_reaches_shadow_or_canary(at):
    product = at("asked")
    flip(product.folder / PACKAGED)
    serve(product)
    ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (3, "APL-MODEL-010")
    assert ended.error["where"] == str(product.folder / PACKAGED)
    _, steps = newest(product)
    assert steps["canary"]["attempts"] == 0
    assert "APL-MODEL-010" in steps["shadow"]["reason"]
    assert (product.route()["live"], product.route()["candidate"]) == (None, None)


def test_a_bento_changed_after_the_shadow_never_reaches_the_canary(at):
    product = at("asked")
    serve(product)
    assert product.pipeline("--until", "shadow").code == 0
    product.do("serve", "stop")
    flip(product.folder / IN_BENTO)
    serve(product)
    ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (1, "APL-SERVE-004")
    log = Path(ended.error["where"]).read_text()
    assert "APL-SERVE-006" in log
    assert IN_BENTO in log
    _, steps = newest(product)
    assert (steps["canary"]["status"], steps["promote"]["attempts"]) == ("pending", 0)
    assert product.versions() == {1: "approved"}
    assert product.route()["live"] is None


@pytest.mark.parametrize("file", [PACKAGED, IN_BENTO], ids=["registry", "bento"])
def test_a_tampered_live_model_is_refused_by_serve_start_with_its_file(at, file):
    product = at("live")
    flip(product.folder / file)
    ended = product.run("serve", "start")
    assert ended.code != 0
    named = ended.error["where"]
    if file == PACKAGED:
        assert (ended.error["code"], named) == ("APL-MODEL-010", str(product.folder / file))
    else:
        assert ended.error["code"] == "APL-SERVE-004"
        assert file in Path(named).read_text()
    assert all(each["name"] == "gateway" for each in product.do("serve", "status")["processes"])


def test_a_shadow_with_other_scores_never_reaches_the_canary(at):
    product = at("second")
    product.set(pipeline__max_score_shift=0.0001)
    serve(product)
    ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (1, "APL-PIPE-001")
    assert "shadow of incident_risk/2: scores differ" in ended.error["message"]
    status, steps = newest(product)
    assert (status, steps["canary"]["attempts"]) == ("failed", 0)
    assert product.versions() == {1: "live", 2: "approved"}
    assert (product.route()["live"], product.route()["candidate"]) == (1, None)


def test_a_canary_with_other_scores_never_becomes_live(at):
    product = at("second")
    serve(product)
    assert product.pipeline("--until", "shadow").code == 0
    assert product.route() == {"model": MODEL, "live": 1, "candidate": 2, "mode": "shadow"}
    product.set(pipeline__max_score_shift=0.0001)
    ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (1, "APL-PIPE-001")
    assert "canary of incident_risk/2: scores differ" in ended.error["message"]
    status, steps = newest(product)
    assert (status, steps["canary"]["status"], steps["promote"]["attempts"]) == ("failed", "failed", 0)
    assert product.versions() == {1: "live", 2: "approved"}
    assert (product.route()["live"], product.route()["candidate"]) == (1, None)


def test_a_failed_watch_brings_the_earlier_version_back(at):
    product = at("second")
    serve(product)
    assert product.pipeline("--until", "promote").code == 0
    assert product.versions() == {1: "approved", 2: "live"}
    assert product.kill(f"{MODEL}-v2") >= 2, "supervisor and worker"
    ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (1, "APL-PIPE-001")
    assert "incident_risk/1 is live again" in ended.error["message"]
    status, steps = newest(product)
    assert (status, steps["watch"]["status"]) == ("failed", "failed")
    assert product.versions() == {1: "live", 2: "approved"}
    assert product.route()["live"] == 1
    answer = product.do("predict", MODEL, "tr-0000", "--at", "2026-04-30T12:00:00Z")
    assert (answer["version"], answer["arm"]) == (1, "live")


def test_two_commands_do_not_move_one_run(at):
    product = at("asked")
    lock = product.folder / "pipeline" / f".{MODEL}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = product.pipeline()
    assert (ended.code, ended.error["code"]) == (1, "APL-PIPE-007")
    assert journal(product)["steps"][6]["attempts"] == 0
