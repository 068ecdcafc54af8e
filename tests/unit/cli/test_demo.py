"""The end of a demo's history, as people ask for it."""

import datetime as dt

import pytest

from appliance.cli.main import run

TOMORROW = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).strftime("%Y-%m-%dT08:00:00Z")
REFUSED = {
    "no instant": "yesterday",
    "no zone": "2026-01-01T08:00:00",
    "within a period": "2026-01-01T09:00:00Z",
    "within an hour": "2026-01-01T08:00:01Z",
    "not yet": TOMORROW,
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_end_that_is_none_is_refused_before_anything_is_made(tmp_path, capsys, case):
    assert run(["demo", "run", "--end", REFUSED[case], "--site", str(tmp_path / "site")]) == 2
    assert "--end" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
