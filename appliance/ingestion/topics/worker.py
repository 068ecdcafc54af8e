"""A worker: takes records of a topic's partitions into the tables, exactly once, beside any number of others.

Rules
1. The tables say where a partition stands; what the consumer group has stored is a hint for other tools. A partition
   that is assigned is read from the least position over the three tables.
2. Records are read to memory up to `MAX_BUFFER_BYTES`, and not read on until they are committed.
3. A worker that lost a partition cannot commit: the tables have moved on (`StaleBatch`). It then reads anew from where
   they stand.
4. Only committed transactions are read. Offsets without a record (control records, compacted ones) belong to the batch
   that spans them.
5. A value with a schema id that the registry does not know waits: what lies before it is committed, the partition
   stands still, an alert names the id. Nothing behind it is lost. An id in `refused` is not waited for.
6. Records that the broker has deleted before they were taken are an error, or with `accept_gap` an alert.
7. Dead letters are copied to a topic of their own, if there is one: those of a commit after it, and what an earlier
   worker left when a partition begins.
8. A server that goes away is waited for, `RESTART_S` at most: the broker, the object store, the catalog, and where
   there are letters to seal the key store. It is back
   when a commit was made, or when all is taken: a full drive can be read. One that was never there is an error at once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition, errors

from appliance.base.clock import Clock
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion.commit import Committer, IngestReport, Landing
from appliance.ingestion.declarations import Declared
from appliance.ingestion.letter_sealing import LetterSeal
from appliance.ingestion.positions import Batch, StaleBatch
from appliance.ingestion.raw_object import keep_segments
from appliance.ingestion.schemas.registry import RegisteredSchema, SchemaRegistry
from appliance.ingestion.topics import alerts, codes
from appliance.ingestion.topics.arrival import check_times
from appliance.ingestion.topics.buffer import Buffer, ids_of, segment_of
from appliance.ingestion.topics.connection import (
    AWAY,
    RESTART_S,
    Connection,
    begins_of,
    ends_of,
    named,
    opened,
    partitions_of,
    source_of,
)
from appliance.ingestion.topics.dead_letters import DeadLetterTopic, holds_letters
from appliance.ingestion.topics.standing import Standing, tell
from appliance.storage.tables import CommitLost

_log = logging.getLogger(__name__)

MAX_BUFFER_BYTES = 64 << 20
LEAST_READING_BYTES = 12.0  # of a reading in a value
POLL_S = 1.0  # kafka-python loses the rest of a group's negotiation that is longer than this; seen at 0.2 s
STALL_S = 15.0  # without a record, though there are some to be read: then the client is replaced
ASK_AGAIN_S = 5.0  # how often the registry is asked for an id that is waited for, and the broker whether it is there
HINT_S = 3.0  # without it kafka-python asks for ever
SESSION_S = 10.0  # a worker that was killed holds its partitions for so long; 45 s by the client's default


@dataclass(frozen=True, kw_only=True)
class TopicReport:
    """What a run did.

    Attributes:
        taken: over all partitions; `files` are records.
        lag: partition -> offsets before its end that are not taken.
        waiting: partition -> schema id that it waits for.
    """

    taken: IngestReport
    lag: dict[int, int]
    waiting: dict[int, int]


@dataclass(kw_only=True)
class _Partition:
    buffer: Buffer
    waits_for: int = 0


class _StalledError(Exception):
    """The client has partitions with records to be read, and gives none."""


class TopicWorker:
    """One worker. `commit_after_s` in seconds; `standing_folder` is where it tells how far its partitions are."""

    def __init__(
        self,
        *,
        connection: Connection,
        topic: str,
        group: str,
        landing: Landing,
        schemas: SchemaRegistry,
        declared: Declared,
        clock: Clock,
        commit_after_s: float,
        standing_folder: Path,
        refused: Collection[int] = (),
        dead_letters: DeadLetterTopic | None = None,
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._group = group
        self._landing = landing
        self._seal = LetterSeal(landing.data_keys)
        self._schemas = schemas
        self._clock = clock
        self._commit_after_s = commit_after_s
        self._standing_folder = standing_folder
        self._refused = frozenset(refused)
        self._dead_letters = dead_letters
        self._accept_gap = False
        self._was_well = False  # broker and tables have answered
        self._away_since = 0.0  # monotonic, when a server failed that has not done its work since; 0: none
        self._committer = Committer(landing, declared)
        self._reading_bytes = LEAST_READING_BYTES  # of a reading in a value, as the last commit had it
        self._commit_s = 0.0  # of the last one
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._known: dict[int, RegisteredSchema] = {}
        self._report = IngestReport()

    def run(
        self,
        *,
        until_end: bool,
        stop: Callable[[], bool] = lambda: False,
        accept_gap: bool = False,
        progress: Progress | None = None,
    ) -> TopicReport:
        """Take records until `stop` says so, or with `until_end` until every partition is at its end or waits.

        Raises:
            ApplianceError: APL-TOPIC-001 to 008, APL-TOPIC-011 the broker's clock is wrong, APL-SCHEMA-004 to 011 the
                registry cannot be asked, APL-INGEST-015 a check cannot be judged, APL-BASE-002 the disk is full; with a
                letter to seal those of the data keys. What was committed stays; run it again.
        """
        self._accept_gap = accept_gap
        progress = progress or NoProgress()
        progress.begin(f"records of {self._topic}", None)
        self._landing.ensure_tables()
        while True:
            try:
                return self._run(until_end=until_end, stop=stop, progress=progress)
            except _StalledError:
                _log.warning("the client stands still before what there is to read; another one is made")
            except ApplianceError as error:
                self._away_since = self._away_since or time.monotonic()
                given_up = until_end or stop() or time.monotonic() - self._away_since > RESTART_S
                if error.code not in AWAY or not self._was_well or given_up:
                    raise
                _log.warning("waiting for a server: %s", error)
                time.sleep(POLL_S)

    def _run(self, *, until_end: bool, stop: Callable[[], bool], progress: Progress) -> TopicReport:
        consumer = opened(
            self._connection,
            KafkaConsumer,
            group_id=self._group,
            client_id="appliance-sink",
            session_timeout_ms=int(SESSION_S * 1000),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_poll_records=10_000,
            fetch_max_bytes=MAX_BUFFER_BYTES // 2,
        )
        try:
            with named(self._connection):
                partitions_of(consumer, self._topic)
                listener = _Listener(consumer)
                consumer.subscribe([self._topic], listener=listener)
                self._loop(consumer, listener, until_end=until_end, stop=stop, progress=progress)
                found = self._tell(consumer)
                self._committer.tell(self._clock.now(), ended=True)
                return TopicReport(
                    taken=self._report,
                    lag={name.partition: each.lag for name, each in found.items()},
                    waiting={name.partition: each.waits_for for name, each in found.items() if each.waits_for},
                )
        finally:
            self._partitions.clear()
            with contextlib.suppress(errors.KafkaError, OSError):
                consumer.close(autocommit=False, timeout_ms=int(STALL_S * 1000))

    def _follow(self, consumer: KafkaConsumer, listener: _Listener) -> set[TopicPartition]:
        """Forget what other workers have now, and begin what is new here; gives the latter.

        What was read of a lost partition and not committed is the other worker's to read again.
        """
        assigned = consumer.assignment()
        begun = listener.take(assigned)
        for each in [name for name in self._partitions if name not in assigned or name in begun]:
            del self._partitions[each]
        self._begin(consumer, begun)
        return begun

    def _begin(self, consumer: KafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        """Read partitions from where the tables stand."""
        if not partitions:
            return
        begins, ends = begins_of(consumer, partitions), ends_of(consumer, partitions)
        for each in set(partitions) & consumer.assignment():  # what was lost meanwhile is not ours to read
            start = self._landing.restart_point(source_of(each))
            if self._dead_letters is not None:
                self._dead_letters.send(source_of(each), start)
            if ends[each] < start:
                raise ApplianceError(codes.TOPIC_ANEW, f"{source_of(each)} ends at {ends[each]}, taken up to {start}")
            if start < begins[each]:
                self._gap(each, start, begins[each])
            consumer.seek(each, max(start, begins[each]))
            consumer.resume(each)
            self._partitions[each] = _Partition(buffer=Buffer(start=start, end=start))

    def _loop(
        self,
        consumer: KafkaConsumer,
        listener: _Listener,
        *,
        until_end: bool,
        stop: Callable[[], bool],
        progress: Progress,
    ) -> None:
        began = asked = moved = time.monotonic()
        while True:
            found = consumer.poll(timeout_ms=int(POLL_S * 1000))
            now = time.monotonic()
            begun = self._follow(consumer, listener)
            self._was_well = True
            ended = not found and self._at_end(consumer)
            if ended and not any(each.buffer.records for each in self._partitions.values()):
                self._away_since = 0.0  # all is taken
            if found or begun or ended or not consumer.assignment():
                moved = time.monotonic()
            elif now - moved > STALL_S:
                raise _StalledError
            for partition, records in found.items():
                if partition in self._partitions and partition not in begun:
                    check_times(source_of(partition), records)
                    self._partitions[partition].buffer.add(records, records[-1].offset + 1)
            if now - asked >= ASK_AGAIN_S:
                asked = now
                self._ask_again(consumer)
                self._committer.tell(self._clock.now())
                self._tell(consumer)  # asks the broker: one that is gone looks to `poll` like an idle topic
            at_end = until_end and ended  # and once more after the commit
            enough = min(MAX_BUFFER_BYTES, self._landing.settings.commit_rows * self._reading_bytes)
            full = sum(each.buffer.size_bytes for each in self._partitions.values()) >= enough
            if full or at_end or stop() or now - began >= self._commit_after_s:
                began = now
                progress.advance(self._commit(consumer))
            if stop() or (at_end and self._at_end(consumer)):
                return

    def _commit(self, consumer: KafkaConsumer) -> int:
        """Commit what was read, all partitions together; gives the records."""
        for partition, each in self._partitions.items():
            self._hold_unknown(consumer, partition, each)
        filled = {name: each.buffer for name, each in self._partitions.items() if each.buffer.records}
        began = time.monotonic()
        try:
            report = self._committed(filled) if filled else IngestReport()
        except (StaleBatch, CommitLost) as error:
            _log.warning("taken by another worker: %s", error)
            self._begin(consumer, list(filled))
            return 0
        self._report += report
        if filled:
            self._commit_s = time.monotonic() - began
            self._away_since = 0.0
            self._hint(consumer, {name: buffer.start for name, buffer in filled.items()})
        return report.files

    def _committed(self, filled: Mapping[TopicPartition, Buffer]) -> IngestReport:
        batches = [Batch(source=source_of(name), start=each.start, end=each.end) for name, each in filled.items()]
        found = [segment_of(each.records, self._known) for each in filled.values()]
        sources = [each.source for each in batches]
        chunks = keep_segments(self._landing.objects, self._seal, list(zip(sources, found, strict=True)))
        report = self._committer.commit([(batch, [chunk]) for batch, chunk in zip(batches, chunks, strict=True)])
        if report.readings:
            self._reading_bytes = sum(each.size_bytes for each in filled.values()) / report.readings
        for buffer in filled.values():
            buffer.taken()
        if self._dead_letters is not None and holds_letters(report.refused):
            for partition, buffer in filled.items():
                self._dead_letters.send(source_of(partition), buffer.start)
        return report

    def _hold_unknown(self, consumer: KafkaConsumer, partition: TopicPartition, each: _Partition) -> None:
        """Stand still before the first value whose schema id the registry does not know."""
        for place, id in enumerate(ids_of(each.buffer.records)):
            if id == 0 or id in self._refused or self._is_known(id):
                continue
            each.waits_for = id
            consumer.seek(partition, each.buffer.cut(place))
            consumer.pause(partition)
            found = alerts.unknown_schema(source_of(partition), id, each.buffer.end, self._clock.now())
            self._landing.alerts.record([found])
            return

    def _is_known(self, id: int) -> bool:
        if id not in self._known:
            found = self._schemas.by_id(id)
            if found is None:
                return False
            self._known[id] = found
        return True

    def _ask_again(self, consumer: KafkaConsumer) -> None:
        for partition, each in self._partitions.items():
            if each.waits_for and self._is_known(each.waits_for):
                each.waits_for = 0
                consumer.resume(partition)

    def _at_end(self, consumer: KafkaConsumer) -> bool:
        assigned = consumer.assignment()
        if not assigned or set(assigned) != set(self._partitions):
            return False
        ends = ends_of(consumer, assigned)
        try:
            return all(
                each.waits_for or consumer.position(name) >= ends[name] for name, each in self._partitions.items()
            )
        except errors.IllegalStateError:
            return False  # one was lost meanwhile

    def _tell(self, consumer: KafkaConsumer) -> dict[TopicPartition, Standing]:
        """Write down where the partitions stand."""
        ends = ends_of(consumer, self._partitions)
        now = self._clock.now()
        found = {
            name: Standing(
                source=source_of(name),
                taken=each.buffer.start,
                end=ends[name],
                waits_for=each.waits_for,
                at=now,
                commit_s=round(self._commit_s, 3),
            )
            for name, each in self._partitions.items()
        }
        for each in found.values():
            tell(self._standing_folder, each)
        return found

    def _hint(self, consumer: KafkaConsumer, starts: Mapping[TopicPartition, int]) -> None:
        """For tools that show the lag of a group; nothing rests on it."""
        given = {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in starts.items()}
        try:
            consumer.commit(given, timeout_ms=int(HINT_S * 1000))
        except errors.KafkaError as error:
            _log.info("the group's offset was not stored: %s", error)

    def _gap(self, partition: TopicPartition, start: int, begins: int) -> None:
        source = source_of(partition)
        if not self._accept_gap:
            raise ApplianceError(codes.RECORDS_GONE, f"offsets {start} to {begins - 1} of {source} are gone")
        self._landing.alerts.record([alerts.gap(source, start, begins - 1, self._clock.now())])


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes what was assigned, which stands still until the worker has found out where to begin.

    kafka-python calls it in the thread of its connections, where nothing may wait for an answer.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._lock = threading.Lock()
        self._fresh: set[TopicPartition] = set()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        with self._lock:
            self._fresh -= set(revoked)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        for each in assigned:
            self._consumer.pause(each)
            self._consumer.seek(each, 0)
        with self._lock:
            self._fresh |= set(assigned)

    def take(self, assigned: Collection[TopicPartition]) -> set[TopicPartition]:
        """Which of the assigned ones are new since they were last taken."""
        with self._lock:
            found = self._fresh & set(assigned)
            self._fresh -= found
        return found
