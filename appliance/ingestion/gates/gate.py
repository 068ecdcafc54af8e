"""Runs contracts on snapshots, between stages.

Rules
1. A run names the snapshot that it judged; rows that came later are not covered by it.
2. The queries see the data files of that snapshot and nothing else.
3. Results are kept before anybody acts on them.
4. A table that is asked for and has no contract, or a contract without its table, stops the stage like a failed check.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance.base.clock import Clock, from_us, to_us
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion import codes
from appliance.ingestion.gates import results
from appliance.ingestion.gates.contract import Contract
from appliance.ingestion.gates.engine import answers, columns_of, columns_of_others, connect
from appliance.ingestion.gates.plan import compile_contract, tables_referred_to
from appliance.ingestion.gates.results import Report, report_of
from appliance.ingestion.gates.verdict import skipped
from appliance.storage.tables import Lake


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
        results.keep(self._lake, reports, from_us(to_us(self._clock.now())))
        return tuple(reports)

    def newest(self) -> Mapping[tuple[str, str, str], Mapping[str, Any]]:
        """(table, check, stage) -> the newest kept row about it."""
        return results.newest(self._lake)

    def _judge(self, contract: Contract) -> Report:
        now_us = to_us(self._clock.now())
        if contract.table not in self._lake.tables():
            return report_of(contract, None, [skipped(each, "no such table") for each in contract.checks])
        head = self._lake.head(contract.table)
        numbered = tables_referred_to(contract.checks)
        others = columns_of_others(self._lake, numbered)
        plan = compile_contract(contract, columns_of(self._lake.schema(contract.table)), others, now_us=now_us)
        with connect() as connection:
            connection.register("rows", self._lake.dataset(contract.table, head.snapshot_id))
            for number, other in enumerate(numbered):
                if other in others:
                    connection.register(f"other_{number}", self._lake.dataset(other))
            return report_of(contract, head.snapshot_id, answers(connection, plan, now_us))
