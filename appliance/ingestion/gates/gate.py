"""Runs contracts on snapshots and keeps what came of it.

Rules
1. A run names the snapshot that it judged; rows that came later are not covered by it.
2. The queries see the data files of that snapshot and nothing else: no files, no network, no extensions.
3. Results go to ``ledger.gates`` before anybody acts on them, one row a check, with the digest of the contract.
4. A table that is asked for and has no contract, or a contract without its table, stops the stage like a failed check.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa

from appliance.base.clock import Clock, from_us, rfc3339, to_us
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion import codes
from appliance.ingestion.gates.contract import Contract
from appliance.ingestion.gates.plan import Asked, Column, Plan, compile_contract
from appliance.ingestion.gates.verdict import Result, judge, skipped
from appliance.ingestion.rows import INSTANT
from appliance.storage import names
from appliance.storage.tables import CommitLost, Lake
from appliance.storage.upkeep import expire_when_due

MEMORY_LIMIT = "1GB"  # of one run; larger groups spill nowhere, they fail
RACES = 5
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
    ]
)
"""``sample`` is a JSON list of the keys of rows that break the check."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of one table's contract.

    Attributes:
        snapshot_id: that was judged; 0 when there is no table or no row yet.
        owner: whom to ask.
    """

    table: str
    snapshot_id: int
    contract: str
    version: int
    owner: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        return not any(each.stops for each in self.results)


class Gates:
    """The contracts of a site over its lake."""

    def __init__(self, *, lake: Lake, contracts: Sequence[Contract], clock: Clock) -> None:
        self._lake = lake
        self._contracts = {each.table: each for each in contracts}
        self._clock = clock

    @property
    def contracts(self) -> tuple[Contract, ...]:
        return tuple(self._contracts.values())

    def run(self, tables: Iterable[str] | None = None, *, progress: Progress | None = None) -> tuple[Report, ...]:
        """Judge these tables, or all that have a contract, and keep the results.

        Raises:
            ApplianceError: APL-INGEST-008, a table has no contract; APL-BASE-002, results cannot be written. Nobody may
                act on a run that ended so.
        """
        progress = progress or NoProgress()
        asked = sorted(self._contracts if tables is None else set(tables))
        without = [name for name in asked if name not in self._contracts]
        if without:
            raise ApplianceError(codes.CONTRACT_MISSING, f"no contract for {', '.join(without)}")
        progress.begin("checking contracts", len(asked))
        reports = []
        for name in asked:
            reports.append(self._judge(self._contracts[name]))
            progress.advance(1)
        self._keep(reports)
        return tuple(reports)

    def newest(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """(table, check) -> the newest kept row about it."""
        if names.GATES not in self._lake.tables():
            return {}
        found = self._lake.scan(names.GATES).sort_by("checked_at").to_pylist()
        return {(each["table"], each["check"]): each for each in found}

    def _judge(self, contract: Contract) -> Report:
        now_us = to_us(self._clock.now())
        if contract.table not in self._lake.tables():
            return _report(contract, 0, tuple(skipped(each, "no such table") for each in contract.checks))
        head = self._lake.head(contract.table)
        columns = {field.name: _column(field.type) for field in self._lake.schema(contract.table)}
        oldest_us = now_us - duration_us(contract.over.last) if contract.over else None
        plan = compile_contract(contract, columns, oldest_us=oldest_us)
        with _connect() as connection:
            connection.register("rows", self._lake.dataset(contract.table, head.snapshot_id))
            for number, other in enumerate(plan.others):
                if other in self._lake.tables():
                    connection.register(f"other_{number}", self._lake.dataset(other))
            results = _answers(connection, plan, self._lake.tables(), now_us)
        return _report(contract, head.snapshot_id or 0, results)

    def _keep(self, reports: Sequence[Report]) -> None:
        now = from_us(to_us(self._clock.now()))
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
                }
                for report in reports
                for each in report.results
            ],
            schema=RESULTS,
        )
        self._lake.ensure(names.GATES, RESULTS)
        facts = {"tables": {report.table: report.contract for report in reports}, "checked_at": rfc3339(now)}
        for _ in range(RACES):
            head = self._lake.head(names.GATES)
            try:
                self._lake.append(names.GATES, rows, expected=head, properties={}, inputs=[], facts=facts)
            except CommitLost:
                continue
            expire_when_due(self._lake, names.GATES)
            return
        raise CommitLost(codes.STALE_BATCH, f"{names.GATES}: lost {RACES} races in a row")


def _connect() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY_LIMIT,
            "lock_configuration": "true",
        },
    )


def _answers(
    connection: duckdb.DuckDBPyConnection, plan: Plan, tables: Sequence[str], now_us: int
) -> tuple[Result, ...]:
    row = connection.execute(plan.summary).fetchall()[0] if plan.summary else ()
    numbers = dict(zip(plan.in_summary, zip(row[::2], row[1::2], strict=True), strict=True))
    return tuple(_answer(connection, each, numbers, tables, now_us) for each in plan.asked)


def _answer(
    connection: duckdb.DuckDBPyConnection,
    asked: Asked,
    numbers: Mapping[str, tuple[Any, Any]],
    tables: Sequence[str],
    now_us: int,
) -> Result:
    check = asked.check
    if asked.unfit:
        return skipped(check, asked.unfit)
    other = getattr(check, "table", None)
    if other is not None and other not in tables:
        return skipped(check, f"no table {other}")
    if asked.measure:
        try:
            rows, figure = connection.execute(asked.measure).fetchall()[0]
        except duckdb.BinderException as error:
            return skipped(check, str(error).splitlines()[0])
    else:
        rows, figure = numbers[check.id]
    result = judge(check, int(rows), figure, now_us)
    if not result.broken or not asked.sample:
        return result
    found = connection.sql(asked.sample).to_arrow_table().to_pylist()
    return replace(result, sample=tuple(found))


def _report(contract: Contract, snapshot_id: int, results: tuple[Result, ...]) -> Report:
    return Report(
        table=contract.table,
        snapshot_id=snapshot_id,
        contract=contract.digest,
        version=contract.version,
        owner=contract.owner,
        results=results,
    )


def _column(type: pa.DataType) -> Column:
    return Column(
        text=pa.types.is_string(type) or pa.types.is_large_string(type),
        number=pa.types.is_floating(type) or pa.types.is_integer(type),
        floating=pa.types.is_floating(type),
        time=pa.types.is_timestamp(type),
    )
