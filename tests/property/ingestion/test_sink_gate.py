"""A check means in the sink what it means over a snapshot: both find the same rows in scope and the same broken."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.base.clock import FixedClock
from appliance.governance.lineage import Lineage
from appliance.ingestion import rows
from appliance.ingestion.gates.contract import Codes, Complete, Contract, Over, Range, Refers, RowCheck
from appliance.ingestion.gates.gate import Gates
from appliance.ingestion.gates.sink import Judgement, SinkGate
from appliance.storage.files import SiteFiles
from appliance.storage.tables import Lake
from tests.small_site import ListLog

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NULLABLE = pa.schema([field.with_nullable(True) for field in rows.SILVER])
REFERENCE = pa.schema([("name", pa.string()), ("kind", pa.string()), ("number", pa.int64())])
FEW = ["", "a", "A", "it's", '"', "é", "e\u0301", "ﬀ", "a\x00b", " a", "✓🙂", "NULL", "%"]
WORDS = st.none() | st.sampled_from(FEW) | st.text(max_size=3)
TEXTS = st.sampled_from(FEW) | st.text(max_size=3)
VALUES = st.none() | st.sampled_from([-1.5, 0.0, -0.0, 2.0, 5e-324, 1e300, float("nan"), float("inf"), -float("inf")])
INTEGERS = st.none() | st.integers(0, 4)
DAYS = st.integers(0, 4)  # before NOW
ROW = st.tuples(WORDS, WORDS, VALUES, INTEGERS, DAYS)
WHERE = st.dictionaries(
    st.sampled_from(["measure", "quality", "sequence", "value"]),
    TEXTS | st.lists(TEXTS, min_size=1, max_size=3) | st.sampled_from(["0", "2.0", "nan", "1"]),
    max_size=2,
)
LIMITS = st.sampled_from([(-1.0, 2.0), (None, 0.0), (0.0, None), (0.5, 0.5)])


@st.composite
def checks(draw: st.DrawFn) -> list[RowCheck]:
    found: list[RowCheck] = []
    for number in range(draw(st.integers(1, 4))):
        common: dict[str, Any] = {"id": f"c{number}", "in_sink": True, "where": draw(WHERE), "may_be_empty": True}
        low, high = draw(LIMITS)
        names = draw(st.lists(st.sampled_from(["measure", "quality", "value"]), min_size=1, unique=True))
        found.append(
            draw(
                st.sampled_from(
                    [
                        Complete(**common, columns=names),
                        Range(**common, column=draw(st.sampled_from(["value", "sequence"])), minimum=low, maximum=high),
                        Codes(
                            **common,
                            column=draw(st.sampled_from(["measure", "sequence", "value"])),
                            allowed=draw(st.lists(TEXTS | st.sampled_from(["0", "0.0", "-0.0", "nan"]), min_size=1)),
                        ),
                        Refers(**common, columns=["measure"], table="t.things", to=["name"]),
                        Refers(**common, columns=["quality", "measure"], table="t.things", to=["kind", "name"]),
                        Refers(**common, columns=["sequence"], table="t.things", to=["number"]),
                    ]
                )
            )
        )
    return found


def silver(drawn: list[tuple[Any, ...]]) -> pa.Table:
    times = [NOW - dt.timedelta(days=days) for *_, days in drawn]
    given = {
        "measure": [row[0] for row in drawn],
        "quality": [row[1] for row in drawn],
        "value": [row[2] for row in drawn],
        "sequence": [row[3] for row in drawn],
        "event_time": times,
        "arrived_at": [NOW] * len(drawn),
    }
    plain = {field.name: given.get(field.name, [None] * len(drawn)) for field in NULLABLE}
    return pa.table(plain, schema=NULLABLE)


def as_decoded(table: pa.Table, gate: SinkGate) -> pa.Table:
    """Words as dictionaries, as the decoder gives them."""
    chosen = table.select(gate.columns.names)
    for place, field in enumerate(gate.columns):
        if pa.types.is_string(field.type):
            chosen = chosen.set_column(place, field.name, chosen[field.name].dictionary_encode())
    return chosen


def judged(lake: Lake, contract: Contract, table: pa.Table, parts: int) -> list[Judgement]:
    """The table in so many batches."""
    gate = SinkGate(lake, contract)
    gate.read_keys()
    step = max(1, -(-table.num_rows // parts))
    batches = [table.slice(start, step) for start in range(0, table.num_rows, step)] or [table]
    return [gate.judge(as_decoded(each, gate), np.ones(each.num_rows, np.bool_)) for each in batches]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(ROW, max_size=14),
    st.lists(st.tuples(WORDS, WORDS, INTEGERS), min_size=1, max_size=5),
    checks(),
    st.none() | st.integers(1, 4),
    st.integers(1, 3),
)
def test_the_sink_and_the_gate_agree(
    drawn: list[tuple[Any, ...]], known: list[tuple[Any, ...]], asked: list[RowCheck], days: int | None, parts: int
) -> None:
    over = None if days is None else Over(column="event_time", last=f"{days}d")
    contract = Contract(table="silver.readings", version=1, owner="o", keys=["position"], checks=[*asked], over=over)
    table = silver(drawn)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lake = Lake(folder / "lake", SiteFiles(folder), Lineage(folder / "lineage", ListLog()))
        things = pa.Table.from_pylist([dict(zip(REFERENCE.names, row, strict=True)) for row in known], REFERENCE)
        for target, added in (("silver.readings", table), ("t.things", things)):
            lake.ensure(target, added.schema)
            lake.append(target, added, expected=lake.head(target), properties={}, inputs=[], facts={})
        (report,) = Gates(lake=lake, contracts=[contract], clock=FixedClock(NOW)).run()
        batches = judged(lake, contract, table, parts)
        alone = []
        for place, found in enumerate(report.results):
            rows_of_sink = sum(each.results[place].rows for each in batches)
            assert (rows_of_sink, sum(each.results[place].broken for each in batches)) == (found.rows, found.broken)
            one = Contract(table=contract.table, version=1, owner="o", checks=[asked[place]], over=over)
            (single,) = judged(lake, one, table, 1)
            alone.append(single.first >= 0)
            assert int(alone[-1].sum()) == found.broken, asked[place]
        first = np.concatenate([each.first for each in batches])
        assert first.tolist() == [
            next((n for n, mask in enumerate(alone) if mask[row]), -1) for row in range(len(drawn))
        ]
