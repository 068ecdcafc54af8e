"""The sink: claimed files into tables, by the commit protocol (docs/explanation/commit_protocol.md).

Rules
1. The host clock is checked before anything is claimed: an arrival time that is wrong poisons every later join.
2. Raw bytes are in the object store before anything else happens to a file.
3. Alarms are written before the commits: a crash can repeat one, which its key makes harmless, but not lose one.
4. Tables commit in the order raw, quarantine, silver, each by compare-and-swap from where it stands.
5. What quarantine took stands: after a crash, silver takes of these files exactly what is not in quarantine.
6. Memory is bounded by `IngestSection.commit_rows` and the largest file; files are read one after the other.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from appliance.base.clock import Clock, from_us, parse_rfc3339, rfc3339, to_us
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.config.model import IngestSection
from appliance.governance.lineage import FileRecord
from appliance.ingestion import batch as contents
from appliance.ingestion import codes, declarations, reading, rows
from appliance.ingestion.batch import Judged, TakenFile
from appliance.ingestion.decode import Limits, decode
from appliance.ingestion.history import Flags, ReadingHistory, RecordHistory
from appliance.ingestion.positions import PROPERTY, Batch, Positions, restart_point
from appliance.ingestion.rules import OK
from appliance.ingestion.seen import KeySet
from appliance.ingestion.spool import ClaimedFile, Spool
from appliance.observability.alerts import Alert, Alerts
from appliance.storage import names
from appliance.storage.objects import FolderStore
from appliance.storage.tables import LINEAGE, CommitLost, Head, Lake, LineageWriter
from appliance.storage.upkeep import expire_when_due

_log = logging.getLogger(__name__)

TABLES = ((names.RAW, rows.RAW), (names.QUARANTINE, rows.QUARANTINE), (names.READINGS, rows.SILVER))  # commit order
NEWEST_ARRIVAL = "appliance.newest_arrival"  # snapshot property of raw.records, RFC 3339
EARLIEST_CLOCK = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
RACES = 5  # lost in a row before a run gives up; under the spool's lock only upkeep and reparse can win one


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What a run did.

    Attributes:
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


class Sink:
    def __init__(
        self,
        *,
        spool_folder: Path,
        declarations_folder: Path,
        lake: Lake,
        objects: FolderStore,
        lineage: LineageWriter,
        alerts: Alerts,
        settings: IngestSection,
        clock: Clock,
    ) -> None:
        self.spool = Spool(
            spool_folder / "readings",
            "readings",
            suffixes=(reading.SUFFIX,),
            max_file_bytes=settings.max_file_bytes,
        )
        self._declarations_folder = declarations_folder
        self._lake = lake
        self._objects = objects
        self._lineage = lineage
        self._alerts = alerts
        self._settings = settings
        self._clock = clock
        self._limits = Limits(max_file_bytes=settings.max_file_bytes, max_expansion=settings.max_expansion)

    def run(self, *, until_empty: bool = True, progress: Progress | None = None) -> IngestReport:
        """Take what is in the spool; with `until_empty` also what comes in meanwhile.

        Raises:
            ApplianceError: APL-INGEST-003 the clock is wrong, APL-INGEST-004 the log was touched, APL-BASE-002 the
                disk is full, APL-BASE-006 another run is at work. What was committed stays.
        """
        progress = progress or NoProgress()
        declared = declarations.load(self._declarations_folder)
        with self.spool.exclusive():
            for name, schema in TABLES:
                self._lake.ensure(name, schema)
            run = _Run(self, declared)
            while True:
                now = self.checked_now()
                run.claim(to_us(now))
                if not run.take(progress) or not until_empty:
                    break
            run.report_refused_files()
            return run.report

    def checked_now(self) -> dt.datetime:
        """See `checked_now`."""
        return checked_now(self._clock, self._lake, names.RAW)


def checked_now(clock: Clock, lake: Lake, table: str) -> dt.datetime:
    """The host clock, if it can be believed: after 2023 and not before the newest arrival in `table`.

    Raises:
        ApplianceError: APL-INGEST-003.
    """
    now = clock.now()
    newest = lake.head(table).properties.get(NEWEST_ARRIVAL)
    least = max(EARLIEST_CLOCK, parse_rfc3339(newest)) if newest else EARLIEST_CLOCK
    if now < least:
        raise ApplianceError(codes.CLOCK_WRONG, f"the clock says {rfc3339(now)}, expected {rfc3339(least)} or later")
    return now


def newer_arrival(head: Head, arrived_us: int) -> str:
    """The value of `NEWEST_ARRIVAL` after rows that arrived at `arrived_us`."""
    newest = rfc3339(from_us(arrived_us))
    known = head.properties.get(NEWEST_ARRIVAL)
    return known if known is not None and parse_rfc3339(known) > parse_rfc3339(newest) else newest


def refused_file_alerts(spool: Spool, now: dt.datetime) -> Iterator[Alert]:
    """One alert for each file that was refused and still lies there; all but the new ones are known by their key."""
    for each in spool.refused():
        yield Alert(
            code="SPOOL_REFUSED",
            severity="warning",
            subject=f"file {each.name}",
            message=f"not taken from {spool.source}: {each.reason}",
            at=rfc3339(now),
            key=f"SPOOL_REFUSED/{spool.source}/{each.path.name}",
            facts={"name": each.name, "reason": each.reason},
        )


class _Run:
    """One run of the sink: the histories that live as long as it, and its report."""

    def __init__(self, sink: Sink, declared: declarations.Declared) -> None:
        self._sink = sink
        self._spool = sink.spool
        self._lake = sink._lake
        self._declared = declared
        self._records = RecordHistory(self._lake, self._spool.source)
        self._history = ReadingHistory(self._lake)
        self._late_us = duration_us(sink._settings.late_after)
        self.report = IngestReport()

    def claim(self, now_us: int) -> None:
        taken_most = max(self._positions(name).of(self._spool.source) for name, _ in TABLES)
        self._spool.claim(now_us=now_us, least_position=taken_most)

    def take(self, progress: Progress) -> bool:
        """Take the log from the restart point to its end; gives whether there was anything."""
        start = restart_point((self._positions(name) for name, _ in TABLES), self._spool.source)
        self._spool.release(start)  # left by a run that was killed after its last commit
        waiting = self._spool.log()
        if not waiting:
            return False
        if waiting[0].position != start:
            raise ApplianceError(
                codes.SPOOL_DAMAGED, f"the log begins at {waiting[0].position}, the tables stand at {start}"
            )
        progress.begin("ingest readings", len(waiting))
        pending: list[TakenFile] = []
        for file in waiting:
            pending.append(self._read(file))
            if sum(each.decoded.rows.num_rows for each in pending) >= self._sink._settings.commit_rows:
                self._commit(pending)
                progress.advance(len(pending))
                pending = []
        if pending:
            self._commit(pending)
            progress.advance(len(pending))
        return True

    def report_refused_files(self) -> None:
        new = self._sink._alerts.record(refused_file_alerts(self._spool, self._sink._clock.now()))
        self.report = replace(self.report, refused_files=len(new), alarms=(*self.report.alarms, *new))

    def _read(self, file: ClaimedFile) -> TakenFile:
        data = self._spool.read(file)
        digest = self._sink._objects.put(data)
        decoded = decode(data, self._sink._limits)
        trust = self._sink._settings.trust_received_at
        return TakenFile(
            file=file,
            digest=digest,
            size_bytes=len(data),
            arrived_us=contents.arrival_us(file, decoded, trust_received_at=trust),
            decoded=decoded,
        )

    def _commit(self, files: Sequence[TakenFile]) -> None:
        batch = Batch(source=self._spool.source, start=files[0].file.position, end=files[-1].file.position + 1)
        silver = self._lake.head(names.READINGS)
        judged = contents.judge(batch, files, self._declared, self._records, self._history, silver.snapshot_id)
        alarms = self._sink._alerts.record(judged.alerts)
        arrived = [each.arrived_us for each in files]
        facts = contents.describe(batch, self._declared, min(arrived), max(arrived))
        accepted = self._settled(judged)
        self._commit_raw(judged, facts, max(arrived))
        inputs = [self._lake.head(names.RAW).properties[LINEAGE]]
        self._take(names.QUARANTINE, judged, lambda part: contents.quarantine_rows(judged, part), inputs, facts)
        snapshot_id = self._take(
            names.READINGS, judged, lambda part: contents.silver_rows(judged, part, accepted), inputs, facts
        )
        if snapshot_id is not None and np.array_equal(accepted, judged.codes == OK):
            self._history.committed(snapshot_id)
        self._spool.release(batch.end)
        for name, _ in TABLES:
            expire_when_due(self._lake, name)
        self._count(judged, accepted, alarms)

    def _settled(self, judged: Judged) -> Flags:
        """Which readings silver takes: the accepted ones, but of files that quarantine has taken, all it has not."""
        accepted: Flags = judged.codes == OK
        stands = self._positions(names.QUARANTINE).of(judged.batch.source)
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

    def _commit_raw(self, judged: Judged, facts: Mapping[str, Any], newest_us: int) -> None:
        objects = self._sink._objects
        document = self._sink._lineage.write(
            kind="raw",
            name=judged.batch.source,
            files=[
                FileRecord(path=objects.relative_path_of(each.digest), digest=each.digest, size=each.size_bytes)
                for each in judged.files
            ],
            inputs=[],
            facts=facts,
        )
        newest = newer_arrival(self._lake.head(names.RAW), newest_us)
        self._take(
            names.RAW, judged, lambda part: contents.raw_rows(judged, part), [document], facts, {NEWEST_ARRIVAL: newest}
        )

    def _take(
        self,
        name: str,
        judged: Judged,
        select: Any,
        inputs: Sequence[str],
        facts: Mapping[str, Any],
        properties: Mapping[str, str] | None = None,
    ) -> int | None:
        """Commit the part of the batch that the table has not taken; gives the snapshot, None when there is none."""
        for _ in range(RACES):
            head = self._lake.head(name)
            positions = Positions.parse(head.properties.get(PROPERTY))
            part = positions.untaken(judged.batch)
            if part is None:
                return None
            given = {**(properties or {}), PROPERTY: positions.advance(part).format()}
            chosen: pa.Table = select(part)
            try:
                commit = self._lake.append(name, chosen, expected=head, properties=given, inputs=inputs, facts=facts)
            except CommitLost:
                _log.info("commit lost, trying again", extra={"table": name})
                continue
            self.report = replace(self.report, commits=self.report.commits + 1)
            return commit.snapshot_id
        raise CommitLost(codes.STALE_BATCH, f"{name}: lost {RACES} races in a row")

    def _positions(self, name: str) -> Positions:
        head: Head = self._lake.head(name)
        return Positions.parse(head.properties.get(PROPERTY))

    def _count(self, judged: Judged, accepted: Flags, alarms: Sequence[Alert]) -> None:
        delay = judged.readings.arrived_us - judged.readings.columns.event_time
        old = self.report
        self.report = replace(
            old,
            files=old.files + len(judged.files),
            readings=old.readings + judged.readings.table.num_rows,
            accepted=old.accepted + int(accepted.sum()),
            refused=dict(Counter(old.refused) + contents.counts_by_code(judged)),
            late=old.late + int((delay[accepted] > self._late_us).sum()),
            behind=self._history.behind,
            alarms=(*old.alarms, *alarms),
        )
