"""Reads the one partition of a topic from an offset to its end, once.

Only committed transactions are read. There is no consumer group: where reading goes on is the caller's to know.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence

from kafka import KafkaConsumer, TopicPartition, errors

from appliance.base.errors import ApplianceError
from appliance.ingestion.topics import codes
from appliance.ingestion.topics.arrival import check_times
from appliance.ingestion.topics.buffer import Record
from appliance.ingestion.topics.connection import (
    Connection,
    begins_of,
    ends_of,
    named,
    opened,
    partitions_of,
    source_of,
)

FETCH_BYTES = 8 << 20  # what is in memory at once is about twice this
POLL_S = 0.5
CLOSE_S = 5.0
STALL_S = 30.0  # without a record, though there are some to be read


def read_to_end(connection: Connection, topic: str, start: int) -> Generator[Sequence[Record]]:
    """Records from offset `start` to where the partition ended when reading began, in order, some at a time.

    Those that the broker has deleted are passed over: the caller numbers its records. Close the iterator after use.

    Raises:
        ApplianceError: APL-TOPIC-001 to 006, 006 also for a topic that has not one partition; 008 it ends before
            `start`; 011 the broker's clock is wrong.
    """
    partition = TopicPartition(topic, 0)
    with _consumer(connection, topic) as consumer:
        consumer.assign([partition])
        begin, end = begins_of(consumer, [partition])[partition], ends_of(consumer, [partition])[partition]
        if end < start:
            raise ApplianceError(codes.TOPIC_ANEW, f"{source_of(partition)} ends at {end}, taken up to {start}")
        consumer.seek(partition, max(start, begin))
        yield from _read(consumer, partition, end)


def check_topic(connection: Connection, topic: str) -> None:
    """Whether the user comes in and finds a topic of one partition.

    Raises:
        ApplianceError: APL-TOPIC-001 to 006.
    """
    with _consumer(connection, topic):
        pass


@contextlib.contextmanager
def _consumer(connection: Connection, topic: str) -> Iterator[KafkaConsumer]:
    consumer = opened(
        connection,
        KafkaConsumer,
        client_id="appliance-predictions",
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    try:
        with named(connection):
            count = len(partitions_of(consumer, topic))
            if count != 1:
                raise ApplianceError(codes.TOPIC_UNFIT, f"topic {topic!r} has {count} partitions, expected 1")
            yield consumer
    finally:
        with contextlib.suppress(errors.KafkaError, OSError):
            consumer.close(autocommit=False, timeout_ms=int(CLOSE_S * 1000))


def _read(consumer: KafkaConsumer, partition: TopicPartition, end: int) -> Iterator[Sequence[Record]]:
    moved, stands = time.monotonic(), -1
    while (position := consumer.position(partition)) < end:
        if position != stands:
            moved, stands = time.monotonic(), position
        elif time.monotonic() - moved > STALL_S:
            raise ApplianceError(codes.UNREACHABLE, f"no record of {source_of(partition)} behind {position} came")
        records = consumer.poll(timeout_ms=int(POLL_S * 1000)).get(partition, [])
        if records:
            check_times(source_of(partition), records)
            yield records
