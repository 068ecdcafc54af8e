"""Checks that name rows agree with a walk over the rows in plain Python."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.base.clock import to_us
from appliance.ingestion.gates.contract import Check, Codes, Complete, Contract, Range, Refers, Unique
from appliance.ingestion.gates.plan import Column, compile_contract
from appliance.ingestion.gates.verdict import judge

NOW_US = to_us(dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
COLUMNS = {"id": Column(number=True), "word": Column(text=True), "value": Column(number=True, floating=True)}
SCHEMA = pa.schema([("id", pa.int64()), ("word", pa.string()), ("value", pa.float64())])
WORDS = st.none() | st.sampled_from(["", "a", "b", "it's", '"'])
VALUES = st.none() | st.sampled_from([-1.5, 0.0, -0.0, 2.0, 1e300, float("nan"), float("inf")])
ROWS = st.lists(st.tuples(WORDS, VALUES), max_size=12)
CHECKS: list[Check] = [
    Complete(id="complete", columns=["word", "value"]),
    Range(id="range", column="value", minimum=-1.0, maximum=2.0),
    Codes(id="codes", column="word", allowed=["a", "it's"]),
    Unique(id="unique", columns=["word"]),
    Refers(id="refers", columns=["word"], table="o.o", to=["word"]),
]


def walked(check: Check, rows: list[dict[str, Any]], known: set[str]) -> tuple[int, int]:
    """Rows in scope and rows that break the check."""
    missing = [row for row in rows if row["word"] in (None, "") or row["value"] is None or math.isnan(row["value"])]
    values = [row["value"] for row in rows if row["value"] is not None]
    words = [row["word"] for row in rows if row["word"] is not None]
    match check:
        case Complete():
            return len(rows), len(missing)
        case Range():
            return len(values), sum(not -1.0 <= each <= 2.0 for each in values)
        case Codes():
            return len(words), sum(each not in ("a", "it's") for each in words)
        case Unique():
            return len(rows), sum(count - 1 for count in Counter(row["word"] for row in rows).values())
        case _:
            return len(words), sum(each not in known for each in words)


@settings(deadline=None)
@given(ROWS, st.sets(st.sampled_from(["a", "b", ""])), st.none() | st.sampled_from(["a", "it's"]))
def test_queries_agree_with_a_walk(drawn: list[tuple[Any, Any]], known: set[str], scope: str | None) -> None:
    rows = [{"id": number, "word": word, "value": value} for number, (word, value) in enumerate(drawn)]
    where: dict[str, str | list[str]] = {} if scope is None else {"word": scope}
    checks = [type(each)(**{**{name: getattr(each, name) for name in each.__struct_fields__}, "where": where})
              for each in CHECKS]  # fmt: skip
    contract = Contract(table="t.t", version=1, owner="o", keys=["id"], checks=checks)
    plan = compile_contract(contract, COLUMNS, {"o.o": {"word": Column(text=True)}}, now_us=NOW_US)
    inside = [row for row in rows if scope is None or row["word"] == scope]
    with duckdb.connect(":memory:") as connection:
        connection.register("rows", pa.Table.from_pylist(rows, SCHEMA))
        connection.register("other_0", pa.table({"word": pa.array(sorted(known), pa.string())}))
        summary = connection.execute(plan.summary).fetchall()[0]
        numbers = dict(zip(plan.in_summary, zip(summary[::2], summary[1::2], strict=True), strict=True))
        for asked in plan.asked:
            check = asked.check
            found = connection.execute(asked.measure).fetchall()[0] if asked.measure else numbers[check.id]
            assert found == walked(check, inside, known), check
            result = judge(check, found[0], found[1], NOW_US)
            assert bool(connection.execute(asked.sample).fetchall()) == bool(result.broken)
