"""The sink and the reparse, ended at any moment: the next run ends with the rows of an undisturbed one.

What is compared are all rows of raw.records, quarantine.readings and silver.readings; besides, no row may be there
twice, the ledger must balance, and the raw bytes of every file must be in the object store.
"""

from pathlib import Path

import pytest

from tests.fault.crashing import run_worker

WORKER = Path(__file__).with_name("crash_worker.py")


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1], ids=["even writes", "odd writes"])
def test_a_crash_before_any_write_changes_nothing_in_the_end(tmp_path, first):
    lines = run_worker(WORKER, tmp_path, "points", str(first), "2")
    crashes = [line for line in lines if line["crashed"]]
    assert len(crashes) > 25  # a run has many writes; each of them was the last once
    assert [line for line in lines if not line["same"] or line["again"] != 0] == []


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1], ids=["even writes", "odd writes"])
def test_a_contract_changed_after_a_crash_before_any_write_changes_nothing_that_stands(tmp_path, first):
    lines = run_worker(WORKER, tmp_path, "contract", str(first), "2")
    crashes = [line for line in lines if line["crashed"]]
    assert len(crashes) > 15
    between = [line for line in crashes if line["ahead"]]
    assert any(line["refused"] for line in between), "quarantine has taken what the check refused, silver not its rest"
    assert [line for line in lines if not (line["adds_up"] and line["stands"]) or line["again"] != 0] == []


@pytest.mark.slow
def test_kill_9_at_twenty_random_moments(tmp_path, seed):
    *kills, end = run_worker(WORKER, tmp_path, "random", str(seed))
    assert len(kills) == 20
    assert sum(line["died"] for line in kills) >= 10, f"seed {seed}: most runs ended before the kill"
    assert end == {"again": 0, "same": True}, f"seed {seed}"
