"""Each kind of check, over a real lake: what passes, what fails and names its rows, and what could not be judged."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from appliance.base.clock import FixedClock
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Lineage
from appliance.ingestion.gates.contract import Check, Contract, Over
from appliance.ingestion.gates.gate import Gates, Report
from appliance.ingestion.gates.verdict import Result
from appliance.storage.files import SiteFiles
from appliance.storage.tables import Lake
from tests.small_site import ListLog

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NAME = "silver.things"
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        ("device", pa.string()),
        ("kind", pa.string()),
        ("value", pa.float64()),
        ("at", pa.timestamp("us", tz="UTC")),
        ('it\'s "odd"', pa.string()),
    ]
)
ROWS = [
    {"id": 1, "device": "tx-1", "kind": "oil", "value": 40.0, "at": NOW - dt.timedelta(hours=3)},
    {"id": 2, "device": "tx-1", "kind": "oil", "value": 60.0, "at": NOW - dt.timedelta(hours=2)},
    {"id": 3, "device": "tx-2", "kind": "load", "value": float("nan"), "at": NOW - dt.timedelta(hours=2)},
    {"id": 4, "device": "", "kind": "load", "value": 0.5, "at": NOW - dt.timedelta(days=9)},
    {"id": 5, "device": None, "kind": "o'il", "value": None, "at": None},
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake", SiteFiles(tmp_path), Lineage(tmp_path / "lineage", ListLog()))
    made.ensure(NAME, SCHEMA)
    append(made, NAME, pa.Table.from_pylist(ROWS, SCHEMA))
    other = pa.table({"name": ["tx-1", "tx-9"]})
    made.ensure("reference.devices", other.schema)
    append(made, "reference.devices", other)
    made.ensure("reference.none", other.schema)
    return made


def append(lake: Lake, name: str, rows: pa.Table) -> None:
    lake.append(name, rows, expected=lake.head(name), properties={}, inputs=[], facts={})


@pytest.fixture
def judge(lake: Lake) -> Callable[..., Result]:
    def of(check: dict[str, Any], **options: Any) -> Result:
        (report,) = reports(lake, [check], **options)
        (result,) = report.results
        return result

    return of


def reports(lake: Lake, checks: list[dict[str, Any]], *, at: dt.datetime = NOW, **options: Any) -> tuple[Report, ...]:
    named = [{"id": f"c{number}", **each} for number, each in enumerate(checks)]
    given = {"table": NAME, "version": 1, "owner": "o", "keys": ["id"], **options}
    contract = Contract(**given, checks=msgspec.convert(named, list[Check]))
    return Gates(lake=lake, contracts=[contract], clock=FixedClock(at)).run()


COMPLETE = {"kind": "complete", "columns": ["device"]}
OIL = {"kind": "oil"}
CASES: dict[str, tuple[dict[str, Any], str, int, int, list[int]]] = {
    # check -> outcome, rows in scope, rows that break it, their ids
    "null and empty are missing": (COMPLETE, "failed", 5, 2, [4, 5]),
    "NaN is missing": ({"kind": "complete", "columns": ["value"]}, "failed", 5, 2, [3, 5]),
    "any of the columns": ({"kind": "complete", "columns": ["device", "value"]}, "failed", 5, 3, [3, 4, 5]),
    "enough are complete": ({**COMPLETE, "minimum_percent": 60}, "passed", 5, 2, [4, 5]),
    "not quite enough": ({**COMPLETE, "minimum_percent": 60.1}, "failed", 5, 2, [4, 5]),
    "in scope": ({**COMPLETE, "where": {"kind": "oil"}}, "passed", 2, 0, []),
    "scope of two": ({**COMPLETE, "where": {"kind": ["oil", "load"]}}, "failed", 4, 1, [4]),
    "scope with a quote": ({**COMPLETE, "where": {"kind": "o'il"}}, "failed", 1, 1, [5]),
    "only a warning": ({**COMPLETE, "severity": "warn"}, "warned", 5, 2, [4, 5]),
    "in range": ({"kind": "range", "column": "value", "where": OIL, "minimum": 40, "maximum": 60}, "passed", 2, 0, []),
    "too low": ({"kind": "range", "column": "value", "where": OIL, "minimum": 40.5}, "failed", 2, 1, [1]),
    "too high": ({"kind": "range", "column": "value", "where": OIL, "maximum": 59}, "failed", 2, 1, [2]),
    "NaN is out of range, null is not judged": (
        {"kind": "range", "column": "value", "maximum": 100},
        "failed", 4, 1, [3],
    ),
    "an allowed code": ({"kind": "codes", "column": "kind", "allowed": ["oil", "load", "o'il"]}, "passed", 5, 0, []),
    "an unknown code": ({"kind": "codes", "column": "kind", "allowed": ["oil", "load"]}, "failed", 5, 1, [5]),
    "once": ({"kind": "unique", "columns": ["id"]}, "passed", 5, 0, []),
    "refers": ({"kind": "refers", "columns": ["device"], "table": "reference.devices", "to": ["name"],
                "where": OIL}, "passed", 2, 0, []),
    "refers to nothing": ({"kind": "refers", "columns": ["device"], "table": "reference.devices", "to": ["name"]},
                          "failed", 4, 2, [3, 4]),
    "fresh": ({"kind": "fresh", "column": "at", "within": "2h"}, "passed", 4, 0, []),
    "stale": ({"kind": "fresh", "column": "at", "within": "119min"}, "failed", 4, 0, []),
    "mean": ({"kind": "statistic", "column": "value", "of": "mean", "where": OIL, "minimum": 50, "maximum": 50},
             "passed", 2, 0, []),
    "mean without NaN": ({"kind": "statistic", "column": "value", "of": "mean", "minimum": 33, "maximum": 34},
                         "passed", 4, 0, []),
    "spread": ({"kind": "statistic", "column": "value", "of": "stddev", "where": OIL, "maximum": 14},
               "failed", 2, 0, []),
    "distinct": ({"kind": "statistic", "column": "kind", "of": "distinct", "minimum": 3, "maximum": 3},
                 "passed", 5, 0, []),
    "rows": ({"kind": "rows", "minimum": 5, "maximum": 5}, "passed", 5, 0, []),
    "too few rows": ({"kind": "rows", "minimum": 6}, "failed", 5, 0, []),
    "no rows at all are too few": ({"kind": "rows", "minimum": 1, "where": {"kind": "gas"}}, "failed", 0, 0, []),
    # What could not be judged stops as well, also where failing would only warn.
    "no rows in scope": ({**COMPLETE, "where": {"kind": "gas"}}, "skipped", 0, 0, []),
    "no rows, of severity warn": ({**COMPLETE, "where": {"kind": "gas"}, "severity": "warn"}, "skipped", 0, 0, []),
    "no rows, which is fine": ({**COMPLETE, "where": {"kind": "gas"}, "may_be_empty": True}, "passed", 0, 0, []),
    "no such column": ({"kind": "complete", "columns": ["colour"]}, "skipped", 0, 0, []),
    "no such column of the scope": ({**COMPLETE, "where": {"colour": "red"}}, "skipped", 0, 0, []),
    "no such table": ({"kind": "refers", "columns": ["device"], "table": "a.b", "to": ["name"]}, "skipped", 0, 0, []),
    "no row there": ({"kind": "refers", "columns": ["device"], "table": "reference.none", "to": ["name"]},
                     "skipped", 0, 0, []),
    "no such column there": ({"kind": "refers", "columns": ["device"], "table": "reference.devices", "to": ["id"]},
                             "skipped", 0, 0, []),
    "a text has no range": ({"kind": "range", "column": "device", "minimum": 1}, "skipped", 0, 0, []),
    "a number is no time": ({"kind": "fresh", "column": "value", "within": "1h"}, "skipped", 0, 0, []),
    "no spread of one value": ({"kind": "statistic", "column": "value", "of": "stddev", "where": {"id": "1"},
                                "maximum": 9}, "skipped", 1, 0, []),
    "a name with quotes": ({"kind": "complete", "columns": ["it's \"odd\""]}, "failed", 5, 5, [1, 2, 3, 4, 5]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_kind(judge: Callable[..., Result], name: str) -> None:
    check, outcome, rows, broken, ids = CASES[name]
    result = judge(check)
    assert (result.outcome, result.rows, result.broken) == (outcome, rows, broken), result
    assert sorted(each["id"] for each in result.sample) == ids
    assert result.stops == (outcome in ("failed", "skipped"))


def test_rows_that_are_there_twice_are_named_with_their_count(lake: Lake) -> None:
    append(lake, NAME, pa.Table.from_pylist(ROWS[:2], SCHEMA))
    ((report),) = reports(lake, [{"kind": "unique", "columns": ["id", "device"]}])
    (result,) = report.results
    assert (result.outcome, result.rows, result.broken) == ("failed", 7, 2)
    assert sorted((each["id"], each["rows"]) for each in result.sample) == [(1, 2), (2, 2)]


def test_only_rows_of_the_window_count(judge: Callable[..., Result]) -> None:
    result = judge(COMPLETE, over=Over(column="at", last="1d"))
    assert (result.outcome, result.rows) == ("passed", 3)


def test_at_most_twenty_rows_are_named(lake: Lake) -> None:
    many = pa.Table.from_pylist([{"id": number} for number in range(100)], SCHEMA)
    append(lake, NAME, many)
    ((report),) = reports(lake, [COMPLETE])
    assert (report.results[0].broken, len(report.results[0].sample)) == (102, 20)


def test_a_run_judges_a_snapshot_and_keeps_its_results(lake: Lake) -> None:
    (report,) = reports(lake, [COMPLETE, {"kind": "rows", "minimum": 1}])
    assert not report.passed
    kept = lake.scan("ledger.gates").sort_by("check").to_pylist()
    assert [(each["check"], each["outcome"], each["broken"]) for each in kept] == [
        ("c0", "failed", 2),
        ("c1", "passed", 0),
    ]
    assert {each["snapshot_id"] for each in kept} == {report.snapshot_id} == {lake.head(NAME).snapshot_id}
    assert json.loads(kept[0]["sample"]) == [{"id": 4}, {"id": 5}]
    reports(lake, [{**COMPLETE, "minimum_percent": 0}], at=NOW + dt.timedelta(hours=1))
    gates = Gates(lake=lake, contracts=[], clock=FixedClock(NOW))
    assert {key[1]: row["outcome"] for key, row in gates.newest().items()} == {"c0": "passed", "c1": "passed"}


def test_a_time_as_text_does_not_depend_on_the_host(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        (report,) = reports(lake, [{**COMPLETE, "where": {"at": "2026-03-01 09:00:00+00"}}])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (report.results[0].outcome, report.results[0].rows) == ("passed", 1)


def test_a_table_that_is_not_there_is_a_closed_gate(lake: Lake) -> None:
    (report,) = reports(lake, [COMPLETE], table="silver.none")
    assert ([each.outcome for each in report.results], report.passed) == (["skipped"], False)


def test_a_table_that_nobody_described_is_refused_and_nothing_is_kept(lake: Lake) -> None:
    gates = Gates(lake=lake, contracts=[], clock=FixedClock(NOW))
    with pytest.raises(ApplianceError, match=f"no contract for {NAME}") as caught:
        gates.run([NAME])
    assert caught.value.code.id == "APL-INGEST-008"
    assert "ledger.gates" not in lake.tables()


def test_a_column_that_was_added_later_is_missing_in_older_rows(lake: Lake) -> None:
    lake.ensure(NAME, pa.schema([*SCHEMA, ("added", pa.string())]))
    ((report),) = reports(lake, [{"kind": "complete", "columns": ["added"]}])
    assert (report.results[0].outcome, report.results[0].broken) == ("failed", 5)
