"""Order, journal and resumption of the pipeline, with steps that only count."""

import datetime as dt

import pytest

from appliance.base.clock import FixedClock
from appliance.base.errors import ApplianceError
from appliance.orchestration import codes
from appliance.orchestration.journal import Journal
from appliance.orchestration.pipeline import STEPS, advance, open_run

CLOCK = FixedClock(dt.datetime(2026, 5, 1, tzinfo=dt.UTC))


class Steps(dict):
    """Every step counts its calls; `fail` maps a step to what it raises."""

    def __init__(self):
        super().__init__()
        self.calls, self.fail = [], {}
        for name in STEPS:
            self[name] = lambda run, name=name: self._do(name)

    def _do(self, name):
        self.calls.append(name)
        if name in self.fail:
            raise self.fail[name]
        return {"by": name}


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def test_all_steps_in_order(journal):
    steps = Steps()
    run = advance(journal, open_run(journal, "risk", CLOCK), steps, CLOCK)
    assert tuple(steps.calls) == STEPS
    assert run.status == "done"
    assert journal.load(run.run_id) == run
    assert run.outputs()["train"] == {"by": "train"}


class Killed(BaseException):
    """Stands for a kill: nothing after it runs."""


@pytest.mark.parametrize("at", STEPS)
def test_a_killed_run_goes_on_at_the_step_that_was_running(journal, at):
    steps = Steps()
    steps.fail[at] = Killed()
    with pytest.raises(Killed):
        advance(journal, open_run(journal, "risk", CLOCK), steps, CLOCK)
    steps.fail.clear()
    resumed = open_run(journal, "risk", FixedClock(CLOCK.at + dt.timedelta(days=9)))
    assert resumed.created_at == CLOCK.at, "it is the same run"
    run = advance(journal, resumed, steps, CLOCK)
    assert run.status == "done"
    assert [name for name in steps.calls if name != at] == [name for name in STEPS if name != at]
    assert steps.calls.count(at) == 2
    assert len(journal.runs()) == 1


@pytest.mark.parametrize("code", [codes.GATE_FAILED, codes.NO_TRAFFIC, codes.NOT_BETTER], ids=lambda code: code.id)
@pytest.mark.parametrize("at", ["quality", "shadow", "canary"])
def test_a_failed_gate_ends_the_run_before_the_next_step(journal, at, code):
    steps = Steps()
    steps.fail[at] = ApplianceError(code, "outside its limit")
    with pytest.raises(ApplianceError, match=code.id):
        advance(journal, open_run(journal, "risk", CLOCK), steps, CLOCK)
    assert steps.calls[-1] == at
    (run,) = journal.runs()
    assert (run.status, run.ended) == ("failed", True)
    assert open_run(journal, "risk", FixedClock(CLOCK.at + dt.timedelta(seconds=1))).run_id != run.run_id


def test_a_run_waits_for_approval_and_goes_on(journal):
    steps = Steps()
    steps.fail["shadow"] = ApplianceError(codes.NEEDS_APPROVAL, "risk/1")
    with pytest.raises(ApplianceError, match="APL-PIPE-002"):
        advance(journal, open_run(journal, "risk", CLOCK), steps, CLOCK)
    assert journal.runs()[0].status == "waiting"
    steps.fail.clear()
    assert advance(journal, open_run(journal, "risk", CLOCK), steps, CLOCK).status == "done"
    assert steps.calls.count("register") == 1


def test_another_error_leaves_the_run_open(journal):
    steps = Steps()
    steps.fail["train"] = ApplianceError(codes.JOURNAL_BROKEN, "any")
    with pytest.raises(ApplianceError):
        advance(journal, open_run(journal, "risk", CLOCK), steps, CLOCK)
    assert journal.runs()[0].status == "open"


def test_until_stops_after_the_named_step(journal):
    steps = Steps()
    advance(journal, open_run(journal, "risk", CLOCK), steps, CLOCK, until="split")
    assert steps.calls == ["quality", "features", "split"]


@pytest.mark.parametrize("run_id", ["../x", ".hidden", "nothing"])
def test_no_such_run(journal, run_id):
    with pytest.raises(ApplianceError, match="APL-PIPE-003"):
        journal.load(run_id)


def test_a_damaged_journal_is_named(journal, tmp_path):
    run = open_run(journal, "risk", CLOCK)
    path = tmp_path / run.run_id / "journal.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ApplianceError, match="APL-PIPE-004"):
        journal.load(run.run_id)
