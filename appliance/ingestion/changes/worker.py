"""Takes the topics of a connector into the tables, exactly once: one process for all of its tables.

Rules
1. The tables say where each topic stands (`landing`); there is no consumer group. Two processes that take the same
   topics do no harm: the one that comes second reads on from where the first one has got to.
2. What was read is committed after `commit_after_s`, or when `MAX_RECORDS` or `MAX_BYTES` are waiting, or at the end.
3. A record that cannot be taken stops its run: what lies before it is committed, then the error names it. Changes are
   in order, and a later one must not overtake it.
4. Only committed transactions are read. Records that the broker has deleted before they were taken are an error.
5. Before the first record and every `LOOK_AGAIN_S` the source is looked at: a gap (`slot`) raises an alert and ends
   the run, as do changes that Connect can no longer bring.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition, errors

from appliance.base.clock import Clock, from_us
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion.changes.event import Change, Reader, Table
from appliance.ingestion.changes.fold import Taken
from appliance.ingestion.changes.landing import ChangeLanding, runs_of
from appliance.ingestion.positions import StaleBatch
from appliance.ingestion.topics import codes as topic_codes
from appliance.ingestion.topics.buffer import LOG_APPEND_TIME
from appliance.ingestion.topics.connection import (
    AWAY,
    RESTART_S,
    Connection,
    begins_of,
    ends_of,
    named,
    opened,
    partitions_if_any,
    source_of,
)
from appliance.ingestion.topics.standing import Standing, tell
from appliance.storage.tables import CommitLost, Lake

_log = logging.getLogger(__name__)

MAX_RECORDS = 10_000
MAX_BYTES = 32 << 20
POLL_S = 0.5
LOOK_AGAIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class ChangeReport:
    """What a run did.

    Attributes:
        changes: table in the lake -> changes taken.
        lag: topic -> records before its end that are not taken.
    """

    changes: Mapping[str, int]
    lag: Mapping[str, int]


@dataclass(kw_only=True)
class _Waiting:
    """Records of a partition that were read and are not committed: `start` is where the tables stand."""

    landing: ChangeLanding
    table: str
    start: int
    end: int
    records: list[Any] = field(default_factory=list)
    size_bytes: int = 0


class ChangeWorker:
    """`topics` maps each topic to the name of its table in the lake, `readers` to what reads its records.

    `look` raises what is wrong with the source.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        topics: Mapping[str, str],
        readers: Mapping[str, Reader],
        lake: Lake,
        commit_after_s: float,
        look: Callable[[], None],
        standing_folder: Path,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._lake = lake
        self._commit_after_s = commit_after_s
        self._look = look
        self._standing_folder = standing_folder
        self._clock = clock
        self._was_well = False  # broker and tables have answered
        self._away_since = 0.0  # monotonic, when a server failed that has not done its work since; 0: none
        self._readers = readers
        self._commit_s = 0.0
        self._taken = dict.fromkeys(topics.values(), 0)

    def run(
        self, *, until_end: bool, stop: Callable[[], bool] = lambda: False, progress: Progress | None = None
    ) -> ChangeReport:
        """Take changes until `stop` says so, or with `until_end` until every topic is at its end.

        Raises:
            ApplianceError: APL-CHANGE-001 to 012, APL-TOPIC-001 to 008, APL-BASE-002. What was committed stays.
        """
        progress = progress or NoProgress()
        progress.begin("changes", None)
        while True:
            self._look()
            try:
                return self._run(until_end=until_end, stop=stop, progress=progress)
            except (StaleBatch, CommitLost) as error:
                _log.warning("taken by another process: %s", error)
            except ApplianceError as error:
                self._away_since = self._away_since or time.monotonic()
                given_up = until_end or stop() or time.monotonic() - self._away_since > RESTART_S
                if error.code not in AWAY or not self._was_well or given_up:
                    raise
                _log.warning("waiting for a server: %s", error)
                time.sleep(POLL_S)

    def _run(self, *, until_end: bool, stop: Callable[[], bool], progress: Progress) -> ChangeReport:
        consumer = opened(
            self._connection,
            KafkaConsumer,
            client_id="appliance-changes",
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            fetch_max_bytes=MAX_BYTES // 2,
        )
        try:
            with named(self._connection):
                return self._loop(consumer, until_end=until_end, stop=stop, progress=progress)
        finally:
            with contextlib.suppress(errors.KafkaError, OSError):
                consumer.close(autocommit=False)

    def _loop(
        self, consumer: KafkaConsumer, *, until_end: bool, stop: Callable[[], bool], progress: Progress
    ) -> ChangeReport:
        waiting = self._begin(consumer, {})
        committed = looked = time.monotonic()
        while True:
            now = time.monotonic()
            if now - looked >= LOOK_AGAIN_S:
                self._look()
                waiting, looked = self._begin(consumer, waiting), now
            for partition, records in (consumer.poll(timeout_ms=int(POLL_S * 1000)) if waiting else {}).items():
                each = waiting[partition]
                each.records += records
                each.size_bytes += sum(len(record.value or b"") for record in records)
                each.end = records[-1].offset + 1
            if not waiting:
                time.sleep(POLL_S)
            ended = all(lag == 0 for lag in self._lag(consumer, waiting).values())
            self._was_well, read = True, any(each.records for each in waiting.values())
            if ended and not read:
                self._away_since = 0.0  # all is taken
            full = any(len(each.records) >= MAX_RECORDS or each.size_bytes >= MAX_BYTES for each in waiting.values())
            last = stop() or (until_end and ended)
            if full or last or now - committed >= self._commit_after_s:
                committed = now = time.monotonic()
                for partition, each in waiting.items():
                    progress.advance(self._commit(partition, each))
                self._commit_s = time.monotonic() - now
                if read:
                    self._away_since = 0.0
                self._tell(consumer, waiting)
            if last:
                lag = self._lag(consumer, waiting)
                found = {partition.topic: behind for partition, behind in lag.items()}
                return ChangeReport(
                    changes=dict(self._taken), lag={topic: found.get(topic, 0) for topic in self._topics}
                )

    def _begin(
        self, consumer: KafkaConsumer, waiting: dict[TopicPartition, _Waiting]
    ) -> dict[TopicPartition, _Waiting]:
        """Read topics that were made meanwhile, too: Connect makes one with the first change of its table."""
        found = [
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in sorted(partitions_if_any(consumer, topic))
        ]
        new = [each for each in found if each not in waiting]
        if not new:
            return waiting
        stands = {each: consumer.position(each) for each in waiting}
        consumer.assign(found)
        for partition, offset in stands.items():
            consumer.seek(partition, offset)
        begins, ends = begins_of(consumer, new), ends_of(consumer, new)
        for each in new:
            landing = ChangeLanding(self._lake, self._topics[each.topic])
            source = source_of(each)
            start = landing.restart_point(source)
            if ends[each] < start:
                raise ApplianceError(topic_codes.TOPIC_ANEW, f"{source} ends at {ends[each]}, taken up to {start}")
            if start < begins[each]:
                raise ApplianceError(
                    topic_codes.RECORDS_GONE, f"offsets {start} to {begins[each] - 1} of {source} are gone"
                )
            consumer.seek(each, start)
            waiting[each] = _Waiting(landing=landing, table=self._topics[each.topic], start=start, end=start)
        return waiting

    def _lag(self, consumer: KafkaConsumer, waiting: Mapping[TopicPartition, _Waiting]) -> dict[TopicPartition, int]:
        ends = ends_of(consumer, waiting)
        return {each: max(ends[each] - consumer.position(each), 0) for each in waiting}

    def _tell(self, consumer: KafkaConsumer, waiting: Mapping[TopicPartition, _Waiting]) -> None:
        """Write down where the topics stand, for people and metrics."""
        ends = ends_of(consumer, waiting)
        for partition, each in waiting.items():
            found = Standing(
                source=source_of(partition),
                taken=each.start,
                end=ends[partition],
                waits_for=0,
                at=self._clock.now(),
                commit_s=round(self._commit_s, 3),
            )
            tell(self._standing_folder, found)

    def _commit(self, partition: TopicPartition, waiting: _Waiting) -> int:
        """Commit what was read; gives the records. Raises what the first record that cannot be taken is."""
        source, end = source_of(partition), waiting.end
        read: list[tuple[Table, Taken]] = []
        failure: ApplianceError | None = None
        for record in waiting.records:
            if record.timestamp_type != LOG_APPEND_TIME:
                raise ApplianceError(
                    topic_codes.TOPIC_UNFIT, f"{partition.topic} keeps the producers' times", where=source
                )
            try:
                found = self._readers[partition.topic].read(record.key, record.value)
            except ApplianceError as error:
                failure = ApplianceError(error.code, error.message, where=f"{source} offset {record.offset}")
                end = record.offset
                break
            if found is not None:
                read.append((found[0], _taken(found[1], source, record)))
        for run in runs_of(source, waiting.start, end, read):
            waiting.landing.commit(run)
            waiting.start = run.batch.end
            self._taken[waiting.table] += len(run.taken)
        if failure is not None:
            raise failure
        count = len(waiting.records)
        if read:
            waiting.records, waiting.size_bytes = [], 0
        return count if read else 0


def _taken(change: Change, source: str, record: Any) -> Taken:
    return Taken(change=change, source=source, position=record.offset, arrived_at=from_us(int(record.timestamp) * 1000))
