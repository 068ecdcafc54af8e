"""Drops with sensitive columns, ended before one of their writes: nothing in clear, then or after the next run.

The next run ends with the same rows, the same files and the same number of objects and data files: what was sealed
twice has the same bytes. One run looks at every fifth write, beginning at one that its seed chooses.
"""

from pathlib import Path

import pytest

from tests.fault.crashing import run_worker

STEP = 5
WORKER = Path(__file__).with_name("sealed_worker.py")


@pytest.mark.slow
def test_a_crash_before_any_write_leaves_nothing_in_clear(tmp_path, seed):
    expected, *lines = run_worker(WORKER, tmp_path, str(seed % STEP), str(STEP))
    assert len(expected["rows"]) == 5
    assert [code for _, _, code in expected["refused"]] == ["RANGE", "RANGE", "COLUMNS", "COLUMNS"]
    assert expected["objects"] == 3
    assert expected["left in the spool"] == []
    crashes = [line for line in lines if line["crashed"]]
    assert len(crashes) > 10
    assert [line for line in lines if line["during"] or line["after"]] == [], seed
    assert [line for line in lines if not line["same"] or line["again"] != 0] == []
