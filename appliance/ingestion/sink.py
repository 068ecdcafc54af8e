"""The sink: claimed files of the spool into tables, by the commit protocol (docs/explanation/commit_protocol.md).

Rules
1. The host clock is checked before anything is claimed: an arrival time that is wrong poisons every later join.
2. A file is decoded and its raw bytes are in the object store, sealed where it gave nothing, before anything else
   happens to it; what follows is `ingestion.commit`.
3. Memory is bounded by `IngestSection.commit_rows` and the largest file; files are read one after the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from appliance.base.clock import Clock, parse_rfc3339, rfc3339, to_us
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion import codes, declarations, reading
from appliance.ingestion.chunk import Chunk, chunk_of_file
from appliance.ingestion.commit import NEWEST_ARRIVAL, Committer, IngestReport, Landing
from appliance.ingestion.decode import Decoded, Limits, decode
from appliance.ingestion.letter_sealing import LetterSeal
from appliance.ingestion.positions import Batch
from appliance.ingestion.raw_object import keep_file
from appliance.ingestion.spool import ClaimedFile, Spool
from appliance.observability.alerts import Alert
from appliance.storage import names
from appliance.storage.tables import Lake

EARLIEST_CLOCK = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
SKEW = dt.timedelta(seconds=5)  # between this host and a broker's, both under one time service; beyond it one is wrong


class Sink:
    def __init__(self, *, spool_folder: Path, declarations_folder: Path, landing: Landing, clock: Clock) -> None:
        settings = landing.settings
        self.spool = Spool(
            spool_folder / "readings",
            "readings",
            suffixes=(reading.SUFFIX,),
            max_file_bytes=settings.max_file_bytes,
        )
        self.landing = landing
        self._seal = LetterSeal(landing.data_keys)
        self._declarations_folder = declarations_folder
        self._clock = clock
        self._limits = Limits(max_file_bytes=settings.max_file_bytes, max_expansion=settings.max_expansion)

    def run(self, *, until_empty: bool = True, progress: Progress | None = None) -> IngestReport:
        """Take what is in the spool; with `until_empty` also what comes in meanwhile.

        Raises:
            ApplianceError: APL-INGEST-003 the clock is wrong, APL-INGEST-004 the log was touched, APL-INGEST-015 a
                check cannot be judged, APL-BASE-002 the disk is full, APL-BASE-006 another run is at work; with a
                letter to seal those of the data keys. What was committed stays.
        """
        progress = progress or NoProgress()
        declared = declarations.load(self._declarations_folder)
        with self.spool.exclusive():
            self.landing.ensure_tables()
            committer = Committer(self.landing, declared)
            report = IngestReport()
            while True:
                now_us = to_us(self.checked_now())
                self.spool.claim(now_us=now_us, least_position=self.landing.taken_most(self.spool.source))
                taken = self._take(committer, progress)
                report += taken
                if not taken.files or not until_empty:
                    break
            committer.tell(self._clock.now(), ended=True)
            new = self.landing.alerts.record(refused_file_alerts(self.spool, self._clock.now()))
            return report + IngestReport(refused_files=len(new), alarms=tuple(new))

    def _take(self, committer: Committer, progress: Progress) -> IngestReport:
        """Take the log from the restart point to its end."""
        start = self.landing.restart_point(self.spool.source)
        self.spool.release(start)  # left by a run that was killed after its last commit
        waiting = self.spool.log()
        if waiting and waiting[0].position != start:
            raise ApplianceError(
                codes.SPOOL_DAMAGED, f"the log begins at {waiting[0].position}, the tables stand at {start}"
            )
        progress.begin("ingest readings", len(waiting))
        report = IngestReport()
        pending: list[Chunk] = []
        for file in waiting:
            pending.append(self._read(file))
            full = sum(each.rows.num_rows for each in pending) >= self.landing.settings.commit_rows
            if full or file is waiting[-1]:
                end = file.position + 1
                batch = Batch(source=self.spool.source, start=int(pending[0].positions[0]), end=end)
                report += committer.commit([(batch, pending)])
                self.spool.release(end)
                committer.tell(self._clock.now())
                progress.advance(len(pending))
                pending = []
        return report

    def _read(self, file: ClaimedFile) -> Chunk:
        data = self.spool.read(file)
        decoded = decode(data, self._limits)
        arrived_us = arrival_us(file, decoded, trust_received_at=self.landing.settings.trust_received_at)
        digest, object_size = keep_file(
            self.landing.objects,
            self._seal,
            data,
            decoded,
            source=self.spool.source,
            position=file.position,
            arrived_us=arrived_us,
        )
        return chunk_of_file(
            decoded,
            digest=digest,
            position=file.position,
            size=len(data),
            object_size=object_size,
            arrived_us=arrived_us,
            name=file.name,
        )

    def checked_now(self) -> dt.datetime:
        """See `checked_now`."""
        return checked_now(self._clock, self.landing.lake, names.RAW)


def arrival_us(file: ClaimedFile, decoded: Decoded, *, trust_received_at: bool) -> int:
    """The collector's stamp if it is to be believed and not after the claim; else the time of the claim."""
    if trust_received_at and decoded.received_at is not None:
        return min(to_us(decoded.received_at), file.claimed_us)
    return file.claimed_us


def checked_now(clock: Clock, lake: Lake, table: str) -> dt.datetime:
    """The host clock, if it can be believed: after 2023 and no more than `SKEW` before the newest arrival in `table`.

    Raises:
        ApplianceError: APL-INGEST-003.
    """
    now = clock.now()
    newest = lake.head(table).properties.get(NEWEST_ARRIVAL)
    least = max(EARLIEST_CLOCK, parse_rfc3339(newest)) if newest else EARLIEST_CLOCK
    if now < least - SKEW:
        raise ApplianceError(codes.CLOCK_WRONG, f"the clock says {rfc3339(now)}, expected {rfc3339(least)} or later")
    return now


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
