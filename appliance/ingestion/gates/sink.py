"""Checks that are judged in the sink: which readings break one, before they are accepted.

Rules
1. Judged are the readings that every earlier rule accepts. One that breaks several checks is refused for the first of
   them in the file.
2. The conditions are those of `gates.plan`, by the same engine: a check means in the sink what it means between stages.
   Where a contract looks at newer rows only (``over``), a reading's own arrival is the clock.
3. A check that cannot be judged - no such column, no such table, none of its rows - is skipped, and that stops the sink
   before anything is committed.
4. The keys of a table that is referred to are read once for each of its snapshots.
5. What was judged is counted when it was committed, and told to ``ledger.gates`` at most once in `TELL_EVERY` and when
   a run ends. What a killed run had not told stays untold; its refused rows are in quarantine all the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from appliance.base.clock import from_us, rfc3339
from appliance.base.errors import ApplianceError
from appliance.ingestion import codes, rows
from appliance.ingestion.gates.contract import Contract, Refers
from appliance.ingestion.gates.engine import EngineError, answers, columns_of, columns_of_others, connect
from appliance.ingestion.gates.plan import (
    ARRIVED_AT,
    ROW_NUMBER,
    SAMPLE_ROWS,
    columns_needed,
    compile_contract,
    first_broken,
    tables_referred_to,
)
from appliance.ingestion.gates.results import keep, report_of
from appliance.ingestion.gates.verdict import Result, judge
from appliance.observability.alerts import Alert
from appliance.storage import codes as storage_codes
from appliance.storage import names
from appliance.storage.tables import Head, Lake

TELL_EVERY = dt.timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the checks say of the readings of a batch.

    Attributes:
        first: int32 per reading, the place in `results` of the first check that it breaks; -1: it breaks none.
        results: what came of each check over the readings that were judged.
    """

    first: npt.NDArray[np.int32]
    results: tuple[Result, ...]


@dataclass(kw_only=True)
class _Sum:
    """Of one check since it was last told."""

    rows: int = 0
    broken: int = 0
    sample: list[dict[str, Any]] = field(default_factory=list)


class SinkGate:
    """The contract of ``silver.readings`` in one run of a sink; not for several threads.

    Attributes:
        columns: of ``silver.readings``, which `judge` must be given.
    """

    def __init__(self, lake: Lake, contract: Contract) -> None:
        self._lake = lake
        self._whole = contract
        self._contract = msgspec.structs.replace(contract, checks=list(contract.in_sink))
        needed = columns_needed(self._contract) | {ARRIVED_AT}
        self.columns = pa.schema([each for each in rows.SILVER if each.name in needed])
        self._tables = tables_referred_to(self._contract.checks)
        self._held: Mapping[str, Head] | None = None  # of the tables that are referred to, as their keys were read
        self._connection = connect()
        self._start_anew()
        self._told_at: dt.datetime | None = None

    def read_keys(self) -> None:
        """Look at the tables that are referred to as they are now; what follows is judged by that.

        Raises:
            ApplianceError: APL-INGEST-015, a check cannot be judged.
        """
        heads = {name: head for name in self._tables if (head := self._head(name)) is not None}
        if heads == self._held:
            return
        self._held = None
        others = columns_of_others(self._lake, list(heads))
        self._plan = compile_contract(self._contract, columns_of(self.columns), others, now_us=None)
        for each in self._plan.asked:
            if each.unfit:
                raise ApplianceError(
                    codes.CHECK_SKIPPED, f"check {each.check.id} of {self._contract.table}: {each.unfit}"
                )
        for number, name in enumerate(self._tables):
            self._connection.register(f"other_{number}", self._keys(name, heads[name]))
        self._held = heads

    @property
    def facts(self) -> Mapping[str, Any]:
        """For the document of a commit: the contract, and the snapshots of the tables that it refers to."""
        found: dict[str, Any] = {"contract": self._whole.digest}
        if self._held:
            found["refers"] = {name: str(head.snapshot_id or "") for name, head in self._held.items()}
        return found

    def judge(self, table: pa.Table, among: npt.NDArray[np.bool_]) -> Judgement:
        """Judge readings as columns of `columns`; they are those of a batch that `among` marks.

        Raises:
            ApplianceError: APL-INGEST-015, the engine gave up: the keys of a table are more than its memory holds.
        """
        first = np.full(among.size, -1, np.int32)
        self._connection.register("rows", table.append_column(ROW_NUMBER, pa.array(np.flatnonzero(among))))
        try:
            results = answers(self._connection, self._plan, 0)
            if any(each.broken for each in results):
                found = self._connection.execute(first_broken(self._plan.asked)).fetchnumpy()
                first[found[ROW_NUMBER]] = found["place"]
        except EngineError as error:
            raise ApplianceError(codes.CHECK_SKIPPED, f"{self._contract.table}: {error}") from error
        finally:
            self._connection.unregister("rows")
        return Judgement(first=first, results=results)

    def alerts(self, judgement: Judgement, arrived_us: npt.NDArray[np.int64]) -> list[Alert]:
        """One for each check that readings break, known by the hour in which the first of them arrived."""
        if not any(each.broken for each in judgement.results):
            return []
        at = rfc3339(from_us(int(arrived_us[judgement.first >= 0].min())))
        return [
            Alert(
                code="CONTRACT",
                severity="warning",
                subject=f"check {each.check} of {self._contract.table}",
                message=f"{each.broken} of {each.rows} readings break it and go to quarantine; "
                f"expected {each.expected}; ask {self._contract.owner}",
                at=at,
                key=f"CONTRACT/{self._contract.table}/{each.check}/{at[:13]}",
                facts={"check": each.check, "contract": self._whole.digest, "rows": each.rows, "broken": each.broken},
            )
            for each in judgement.results
            if each.broken
        ]

    def count(self, judgement: Judgement) -> None:
        """The readings were committed as they were judged."""
        for found, each in zip(self._sums, judgement.results, strict=True):
            found.rows += each.rows
            found.broken += each.broken
            found.sample += each.sample[: SAMPLE_ROWS - len(found.sample)]

    def tell(self, now: dt.datetime, *, ended: bool) -> None:
        """Keep what was counted, if it is time for it or the run has ended.

        Raises:
            ApplianceError: see `results.keep`; it stays counted.
        """
        self._told_at = self._told_at or now
        if not ended and abs(now - self._told_at) < TELL_EVERY:
            return
        found: Sequence[Result] = [
            replace(judge(check, each.rows, each.broken, 0), sample=tuple(each.sample))
            for check, each in zip(self._contract.checks, self._sums, strict=True)
            if each.rows
        ]
        if found:
            snapshot_id = self._lake.head(names.READINGS).snapshot_id
            keep(self._lake, [report_of(self._whole, snapshot_id, found, "sink")], now)
        self._start_anew()
        self._told_at = now

    def _start_anew(self) -> None:
        self._sums = [_Sum() for _ in self._contract.checks]

    def _head(self, name: str) -> Head | None:
        try:
            return self._lake.head(name)
        except ApplianceError as error:
            if error.code != storage_codes.TABLE_MISSING:
                raise
            return None

    def _keys(self, name: str, head: Head) -> pa.Table:
        """Distinct rows of the columns that checks refer to."""
        wanted = sorted(
            {to for each in self._contract.checks if isinstance(each, Refers) and each.table == name for to in each.to}
        )
        found = self._lake.scan(name, columns=wanted, snapshot_id=head.snapshot_id)
        return found.group_by(wanted).aggregate([])
