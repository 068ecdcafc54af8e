"""Upkeep, ended before any of its writes and deletions: no row is lost, no live file is gone, the next run finishes.

What is compared after the crash, and again after the next run: all rows, the position map, the chain of commit
documents, and that every file which the chain names is there or named by a removal in the log.
"""

from pathlib import Path

import pytest

from tests.fault.crashing import run_worker

WORKER = Path(__file__).with_name("upkeep_worker.py")


@pytest.mark.slow
def test_a_crash_before_any_write_loses_nothing(tmp_path):
    *lines, end = run_worker(WORKER, tmp_path, "points")
    crashes = [line for line in lines if line["crashed"]]
    assert len(crashes) > 40  # snapshots, documents, deletions, the new file, its swap
    assert [line for line in lines if line["after"] or line["again"] or line["rest"]] == []
    assert end["crashed"] is False


@pytest.mark.slow
def test_kill_9_of_upkeep_beside_a_writer(tmp_path, seed):
    *kills, end = run_worker(WORKER, tmp_path, "beside", str(seed))
    assert sum(line["died"] for line in kills) >= 5, f"seed {seed}: most runs ended before the kill"
    assert end == {"faults": "", "rows": end["expected"], "expected": end["expected"]}, f"seed {seed}"
