"""Batches of one or more sources into the three tables, by the commit protocol (docs/explanation/commit_protocol.md).

Rules
1. Raw bytes are in the object store before anything else happens to a batch; the caller has put them there.
2. Alarms are written before the commits: a crash can repeat one, which its key makes harmless, but not lose one.
3. Tables commit in the order raw, quarantine, silver, each by compare-and-swap from where it stands.
4. What quarantine took stands: after a crash, silver takes of these items exactly what is not in quarantine.
5. Verdicts know the accepted readings of one snapshot of silver. When silver has moved on, a reading that came in
   meanwhile goes to quarantine as a duplicate, in a commit of its own, before silver commits.
6. A check of the contract that cannot be judged stops a batch before its first commit.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from appliance.base.clock import from_us, parse_rfc3339, rfc3339
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.config.model import IngestSection
from appliance.governance.lineage import FileRecord
from appliance.ingestion import batch as contents
from appliance.ingestion import codes, rows
from appliance.ingestion.batch import Judged
from appliance.ingestion.chunk import Chunk
from appliance.ingestion.declarations import Declared
from appliance.ingestion.history import Flags, ReadingHistory, RecordHistory
from appliance.ingestion.positions import PROPERTY, Batch, Positions, restart_point
from appliance.ingestion.rules import DUPLICATE, OK
from appliance.ingestion.seen import KeySet
from appliance.observability.alerts import Alert, Alerts
from appliance.storage import names
from appliance.storage.objects import ObjectStore
from appliance.storage.tables import LINEAGE, CommitLost, Head, Lake, LineageWriter
from appliance.storage.upkeep import expire_when_due
from appliance.trust.data_keys import DataKeys

if TYPE_CHECKING:
    from appliance.ingestion.gates.sink import SinkGate

_log = logging.getLogger(__name__)

TABLES = ((names.RAW, rows.RAW), (names.QUARANTINE, rows.QUARANTINE), (names.READINGS, rows.SILVER))  # commit order
NEWEST_ARRIVAL = "appliance.newest_arrival"  # snapshot property of raw.records, RFC 3339
RACES = 50  # lost in a row before a batch is given up; each was won by another writer, so somebody gets on


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What a run did, or one batch of it.

    Attributes:
        files: items taken: files of a spool, records of a topic.
        refused: refused readings and undecodable stretches by reason code.
        late: accepted readings that arrived later than `ingest.late_after` after their event.
        behind: accepted readings that came after a newer one of their device and measure.
        refused_files: files that were not even claimed.
        alarms: alerts that are new.
    """

    files: int = 0
    readings: int = 0
    accepted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    late: int = 0
    behind: int = 0
    commits: int = 0
    refused_files: int = 0
    alarms: tuple[Alert, ...] = ()

    def __add__(self, other: IngestReport) -> IngestReport:
        return IngestReport(
            files=self.files + other.files,
            readings=self.readings + other.readings,
            accepted=self.accepted + other.accepted,
            refused=dict(Counter(self.refused) + Counter(other.refused)),
            late=self.late + other.late,
            behind=self.behind + other.behind,
            commits=self.commits + other.commits,
            refused_files=self.refused_files + other.refused_files,
            alarms=(*self.alarms, *other.alarms),
        )


@dataclass(frozen=True, kw_only=True)
class Landing:
    """Where readings go, the same for all sources of a site."""

    lake: Lake
    objects: ObjectStore
    lineage: LineageWriter
    alerts: Alerts
    data_keys: DataKeys
    settings: IngestSection

    def ensure_tables(self) -> None:
        for name, schema in TABLES:
            self.lake.ensure(name, schema)

    def positions(self, name: str) -> Positions:
        return Positions.parse(self.lake.head(name).properties.get(PROPERTY))

    def restart_point(self, source: str) -> int:
        """Where reading of the source resumes."""
        return restart_point((self.positions(name) for name, _ in TABLES), source)

    def taken_most(self, source: str) -> int:
        """Where the table that has taken most of the source stands."""
        return max(self.positions(name).of(source) for name, _ in TABLES)


class Committer:
    """Commits batches for the length of a run."""

    def __init__(self, landing: Landing, declared: Declared) -> None:
        self._landing = landing
        self._lake = landing.lake
        self._declared = declared
        self._records: dict[str, RecordHistory] = {}
        self._readings = ReadingHistory(landing.lake)
        self._late_us = duration_us(landing.settings.late_after)
        self._gate = gate_of(landing, declared)

    def commit(self, given: Sequence[tuple[Batch, Sequence[Chunk]]]) -> IngestReport:
        """Take batches of different sources, in one commit of each table.

        A batch may begin before the first item of its chunks: a topic has offsets without records.

        Raises:
            StaleBatch: APL-INGEST-002, another worker took items of a batch, or some before them are missing.
            ApplianceError: APL-BASE-002 the disk is full; APL-INGEST-015 a check cannot be judged. What was committed
                stays.
        """
        if self._gate is not None:
            self._gate.read_keys()
        silver = self._lake.head(names.READINGS)
        behind = self._readings.behind
        judged = [
            contents.judge(
                batch,
                chunks,
                self._declared,
                self._history_of(batch.source),
                self._readings,
                silver.snapshot_id,
                gate=self._gate,
                goes_on=number > 0,
            )
            for number, (batch, chunks) in enumerate(given)
        ]
        alarms = self._landing.alerts.record([alert for each in judged for alert in each.alerts])
        facts = {
            "batches": [contents.describe(each) for each in judged],
            "measures": self._declared.measures.digest,
            **(self._gate.facts if self._gate is not None else {}),
        }
        accepted = [self._settled(each) for each in judged]
        commits = self._commit_raw(judged, facts)
        inputs = [self._lake.head(names.RAW).properties[LINEAGE]]
        commits += self._take(names.QUARANTINE, judged, contents.quarantine_rows, inputs, facts)
        taken, accepted = self._take_silver(judged, accepted, inputs, facts)
        for name, _ in TABLES:
            expire_when_due(self._lake, name)
        found = [self._report(each, ok) for each, ok in zip(judged, accepted, strict=True)]
        whole = IngestReport(commits=commits + taken, behind=self._readings.behind - behind, alarms=tuple(alarms))
        return sum(found, whole)

    def tell(self, now: dt.datetime, *, ended: bool = False) -> None:
        """Keep what the checks for the sink found, if it is time for it or the run has ended; see `SinkGate.tell`."""
        if self._gate is not None:
            self._gate.tell(now, ended=ended)

    def _history_of(self, source: str) -> RecordHistory:
        if source not in self._records:
            self._records[source] = RecordHistory(self._lake, source)
        return self._records[source]

    def _settled(self, judged: Judged) -> Flags:
        """Which readings silver takes: the accepted ones, but of items that quarantine has taken, all it has not."""
        accepted: Flags = judged.codes == OK
        stands = self._landing.positions(names.QUARANTINE).of(judged.batch.source)
        if stands <= judged.batch.start:
            return accepted
        found = self._lake.scan(
            names.QUARANTINE,
            columns=("position", "record", "index"),
            where=f"source = '{judged.batch.source}' and position >= {judged.batch.start} and index >= 0",
        )
        there = KeySet(3)
        there.add(np.stack([found[each].to_numpy() for each in ("position", "record", "index")], axis=1))
        table, position = judged.readings.table, judged.readings.position
        identities = np.stack([position, table["record"].to_numpy(), table["index"].to_numpy()], axis=1)
        refused = there.add(identities.astype(np.int64))
        settled: Flags = np.where(position < stands, ~refused, accepted)
        return settled

    def _commit_raw(self, judged: Sequence[Judged], facts: Mapping[str, Any]) -> int:
        objects = self._landing.objects
        documents = [
            self._landing.lineage.write(
                kind="raw",
                name=each.batch.source,
                files=[
                    FileRecord(path=objects.site_name(chunk.digest), digest=chunk.digest, size=chunk.object_size)
                    for chunk in each.chunks
                ],
                inputs=[],
                facts=contents.describe(each),
            )
            for each in judged
        ]
        newest_us = max(int(chunk.arrived_us.max()) for each in judged for chunk in each.chunks)
        newest = newer_arrival(self._lake.head(names.RAW), newest_us)
        return self._take(names.RAW, judged, contents.raw_rows, documents, facts, {NEWEST_ARRIVAL: newest})

    def _take(
        self,
        name: str,
        judged: Sequence[Judged],
        select: Callable[[Judged, Batch], pa.Table],
        inputs: Sequence[str],
        facts: Mapping[str, Any],
        properties: Mapping[str, str] | None = None,
    ) -> int:
        """Commit the parts of the batches that the table has not taken; gives how many commits that took, 0 or 1."""
        for _ in range(RACES):
            head = self._lake.head(name)
            untaken, positions = _untaken(head, judged)
            parts = [(each, part) for each, part in zip(judged, untaken, strict=True) if part is not None]
            if not parts:
                return 0
            given = {**(properties or {}), PROPERTY: positions.format()}
            rows = pa.concat_tables([select(each, part) for each, part in parts])
            try:
                self._lake.append(name, rows, expected=head, properties=given, inputs=inputs, facts=facts)
            except CommitLost:
                _log.info("commit lost, trying again", extra={"table": name})
                continue
            return 1
        raise _races_lost(name)

    def _take_silver(
        self, judged: Sequence[Judged], accepted: Sequence[Flags], inputs: Sequence[str], facts: Mapping[str, Any]
    ) -> tuple[int, list[Flags]]:
        """Commit the accepted readings; gives the commits and the readings that were accepted in the end."""
        commits, settled, accepted = 0, accepted, list(accepted)
        known = judged[0].silver_snapshot
        for _ in range(RACES):
            head = self._lake.head(names.READINGS)
            untaken, positions = _untaken(head, judged)
            if all(part is None for part in untaken):
                return commits, accepted
            if head.snapshot_id != known:
                came = self._came_meanwhile(judged, accepted, head)
                if any(each.any() for each in came):
                    self._refuse(judged, came, untaken, inputs, facts)
                    accepted = [ok & ~each for ok, each in zip(accepted, came, strict=True)]
                    commits += 1
            parts = [
                contents.silver_rows(each, part, ok)
                for each, part, ok in zip(judged, untaken, accepted, strict=True)
                if part is not None
            ]
            try:
                commit = self._lake.append(
                    names.READINGS,
                    pa.concat_tables(parts),
                    expected=head,
                    properties={PROPERTY: positions.format()},
                    inputs=inputs,
                    facts=facts,
                )
            except CommitLost:
                _log.info("commit lost, trying again", extra={"table": names.READINGS})
                continue
            as_judged = all(np.array_equal(ok, each.codes == OK) for ok, each in zip(accepted, judged, strict=True))
            if head.snapshot_id == known and as_judged:
                self._readings.committed(commit.snapshot_id)
            self._count(judged, untaken, settled)
            return commits + 1, accepted
        raise _races_lost(names.READINGS)

    def _count(self, judged: Sequence[Judged], untaken: Sequence[Batch | None], settled: Sequence[Flags]) -> None:
        """What silver took as it was judged here: not what another worker took, nor what an earlier run had refused."""
        for each, part, ok in zip(judged, untaken, settled, strict=True):
            if self._gate is None or each.judgement is None or part != each.batch:
                continue
            if np.array_equal(ok, each.codes == OK):
                self._gate.count(each.judgement)

    def _came_meanwhile(self, judged: Sequence[Judged], accepted: Sequence[Flags], head: Head) -> list[Flags]:
        """Which accepted readings are in silver now, by another source or a reparse."""
        now = ReadingHistory(self._lake)
        found = []
        for number, (each, ok) in enumerate(zip(judged, accepted, strict=True)):
            columns = each.readings.columns
            found.append(
                now.repeated(
                    columns.device, columns.measure, columns.event_time, ok, head.snapshot_id, goes_on=number > 0
                )
            )
        return found

    def _refuse(
        self,
        judged: Sequence[Judged],
        came: Sequence[Flags],
        untaken: Sequence[Batch | None],
        inputs: Sequence[str],
        facts: Mapping[str, Any],
    ) -> None:
        refused = pa.concat_tables(
            [
                contents.refused_rows(replace(each, codes=np.where(now, np.int8(DUPLICATE), np.int8(OK))), part)
                for each, now, part in zip(judged, came, untaken, strict=True)
                if part is not None
            ]
        )
        for _ in range(RACES):
            head = self._lake.head(names.QUARANTINE)
            try:
                self._lake.append(names.QUARANTINE, refused, expected=head, properties={}, inputs=inputs, facts=facts)
            except CommitLost:
                continue
            return
        raise _races_lost(names.QUARANTINE)

    def _report(self, judged: Judged, accepted: Flags) -> IngestReport:
        delay = judged.readings.arrived_us - judged.readings.columns.event_time
        return IngestReport(
            files=sum(each.items for each in judged.chunks),
            readings=judged.readings.table.num_rows,
            accepted=int(accepted.sum()),
            refused=contents.counts_by_code(judged),
            late=int((delay[accepted] > self._late_us).sum()),
        )


def gate_of(landing: Landing, declared: Declared) -> SinkGate | None:
    """The checks for the sink; None, and no engine, where the site has none."""
    if declared.contract is None:
        return None
    from appliance.ingestion.gates.sink import SinkGate

    return SinkGate(landing.lake, declared.contract)


def _untaken(head: Head, judged: Sequence[Judged]) -> tuple[list[Batch | None], Positions]:
    """Per batch the part that a table has not taken, and the table's map when it has taken them.

    Raises:
        StaleBatch: APL-INGEST-002.
    """
    positions = Positions.parse(head.properties.get(PROPERTY))
    parts = [positions.untaken(each.batch) for each in judged]
    for part in parts:
        if part is not None:
            positions = positions.advance(part)
    return parts, positions


def newer_arrival(head: Head, arrived_us: int) -> str:
    """The value of `NEWEST_ARRIVAL` after rows that arrived at `arrived_us`."""
    newest = rfc3339(from_us(arrived_us))
    known = head.properties.get(NEWEST_ARRIVAL)
    return known if known is not None and parse_rfc3339(known) > parse_rfc3339(newest) else newest


def _races_lost(name: str) -> ApplianceError:
    return CommitLost(codes.STALE_BATCH, f"{name}: lost {RACES} races in a row")
