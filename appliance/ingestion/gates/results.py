"""What came of checks: reports, and the table ``ledger.gates`` that keeps them.

Rules
1. One row a check and run, with the digest of the contract. It is kept before anybody acts on a run over a snapshot;
   a sink, which acts row by row, tells what it judged since its last rows.
2. ``stage`` is where a check was judged, see `contract.Stage`. Rows from before there was such a column are of
   ``snapshot``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from appliance.base.clock import rfc3339
from appliance.ingestion import codes
from appliance.ingestion.gates.contract import Contract, Stage
from appliance.ingestion.gates.verdict import Result, describe, kind_of
from appliance.ingestion.rows import INSTANT
from appliance.storage import names
from appliance.storage.tables import CommitLost, Lake
from appliance.storage.upkeep import expire_when_due

NEVER_RUN = "never run"
RACES = 50  # lost in a row; workers tell their results side by side
RESULTS = pa.schema(
    [
        pa.field("checked_at", INSTANT, nullable=False),
        pa.field("table", pa.string(), nullable=False),
        pa.field("snapshot_id", pa.int64(), nullable=False),
        pa.field("contract", pa.string(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("check", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("observed", pa.string(), nullable=False),
        pa.field("expected", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("broken", pa.int64(), nullable=False),
        pa.field("sample", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
    ]
)
"""``sample`` is a JSON list of the keys of rows that break the check."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of one table's contract.

    Attributes:
        snapshot_id: that was judged, or that stood when a sink told; 0 when there is no table or no row yet.
        owner: whom to ask.
    """

    table: str
    snapshot_id: int
    contract: str
    version: int
    owner: str
    results: tuple[Result, ...]
    stage: Stage = "snapshot"

    @property
    def passed(self) -> bool:
        return not any(each.stops for each in self.results)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A check that is declared, at one of the stages where it is judged, and the newest outcome of it there.

    Attributes:
        outcome: as in `verdict.Result`, or `NEVER_RUN`.
        checked_at: RFC 3339; empty where there is none.
    """

    table: str
    version: int
    owner: str
    check: str
    stage: Stage
    kind: str
    severity: str
    expected: str
    outcome: str
    observed: str
    broken: int
    checked_at: str

    @property
    def stops(self) -> bool:
        return self.outcome in ("failed", "skipped")


def standings(contracts: Iterable[Contract], kept: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> list[Standing]:
    """Of every check of the contracts, in their order; `kept` is what `newest` gave."""
    found = []
    for contract in contracts:
        for check, stage in contract.judged():
            last = kept.get((contract.table, check.id, stage))
            one = Standing(
                table=contract.table,
                version=contract.version,
                owner=contract.owner,
                check=check.id,
                stage=stage,
                kind=kind_of(check),
                severity=check.severity,
                expected=describe(check),
                outcome=last["outcome"] if last else NEVER_RUN,
                observed=last["observed"] if last else "",
                broken=last["broken"] if last else 0,
                checked_at=rfc3339(last["checked_at"]) if last else "",
            )
            found.append(one)
    return found


def report_of(
    contract: Contract, snapshot_id: int | None, results: Sequence[Result], stage: Stage = "snapshot"
) -> Report:
    return Report(
        table=contract.table,
        snapshot_id=snapshot_id or 0,
        contract=contract.digest,
        version=contract.version,
        owner=contract.owner,
        results=tuple(results),
        stage=stage,
    )


def keep(lake: Lake, reports: Sequence[Report], now: dt.datetime) -> None:
    """Add the results to the table.

    Raises:
        CommitLost: APL-INGEST-002, too many others did at the same time.
        ApplianceError: APL-BASE-002 the disk is full; nothing was added.
    """
    rows = pa.Table.from_pylist(
        [
            {
                "checked_at": now,
                "table": report.table,
                "snapshot_id": report.snapshot_id,
                "contract": report.contract,
                "version": report.version,
                "check": each.check,
                "kind": each.kind,
                "outcome": each.outcome,
                "observed": each.observed,
                "expected": each.expected,
                "rows": each.rows,
                "broken": each.broken,
                "sample": json.dumps(each.sample, default=str),
                "stage": report.stage,
            }
            for report in reports
            for each in report.results
        ],
        schema=RESULTS,
    )
    facts = {"tables": {report.table: report.contract for report in reports}, "checked_at": rfc3339(now)}
    for _ in range(RACES):
        try:
            lake.ensure(names.GATES, RESULTS)
            lake.append(names.GATES, rows, expected=lake.head(names.GATES), properties={}, inputs=[], facts=facts)
        except CommitLost:
            continue
        expire_when_due(lake, names.GATES)
        return
    raise CommitLost(codes.STALE_BATCH, f"{names.GATES}: lost {RACES} races in a row")


def newest(lake: Lake) -> Mapping[tuple[str, str, str], Mapping[str, Any]]:
    """(table, check, stage) -> the newest kept row about it, without its sample."""
    if names.GATES not in lake.tables():
        return {}
    there = lake.schema(names.GATES).names
    wanted = [name for name in RESULTS.names if name != "sample" and name in there]
    found = lake.scan(names.GATES, columns=wanted).sort_by("checked_at")
    keys = [name for name in ("table", "check", "stage") if name in wanted]
    numbered = found.append_column("number", pa.array(np.arange(found.num_rows)))
    last = numbered.group_by(keys).aggregate([("number", "max")])["number_max"]
    rows = ({**each, "stage": each.get("stage") or "snapshot"} for each in found.take(last.sort()).to_pylist())
    return {(each["table"], each["check"], each["stage"]): each for each in rows}
