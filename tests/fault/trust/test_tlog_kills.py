"""kill -9 of writers under load; 500 kills are `make proof-log`."""

from __future__ import annotations

from pathlib import Path

from tests.fault.trust.kills import prove


def test_no_kill_loses_what_was_acknowledged(tmp_path: Path, seed: int) -> None:
    figures = prove(tmp_path, seed=seed, kills=20)
    assert figures["kills"] == 20
    assert figures["acknowledged_appends"] >= 20
