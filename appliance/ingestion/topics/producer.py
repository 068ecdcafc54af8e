"""Sends reading batches to a topic: what a collector at the edge of the site does.

A batch is one record, keyed by its device, so that the readings of a device stay in order and in one partition. The
producer is idempotent and waits for all replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from kafka import KafkaProducer, errors

from appliance.base.errors import ApplianceError
from appliance.ingestion import reading
from appliance.ingestion.encode import Batches, encode_records
from appliance.ingestion.schemas.frame import write_frame
from appliance.ingestion.schemas.registry import SchemaRegistry
from appliance.ingestion.topics import codes
from appliance.ingestion.topics.connection import Connection, as_error, opened

ACKNOWLEDGED_S = 30.0
BATCH_BYTES = 256 * 1024  # some hundred records, so that neither side works batch by batch for a few


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """A record that every replica has."""

    partition: int
    offset: int


def subject_of(topic: str) -> str:
    """The subject of a topic's values, as every Confluent client names it."""
    return f"{topic}-value"


def values_of(batches: Batches, schema_id: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and framed value of each batch."""
    content, ends = encode_records(batches)
    starts = np.concatenate([[0], ends])[:-1]
    devices = batches.device_id
    keys = devices.to_pylist() if isinstance(devices, pa.Array | pa.ChunkedArray) else list(devices)
    for key, start, end in zip(keys, starts.tolist(), ends.tolist(), strict=True):
        yield str(key).encode(), write_frame(schema_id, bytes(content[start:end]))


class ReadingProducer:
    """Close it after use; it is a context manager."""

    def __init__(self, connection: Connection, topic: str, schemas: SchemaRegistry) -> None:
        """Raises ApplianceError: APL-TOPIC-001 to 005, APL-TOPIC-009 the schema is not registered."""
        self._connection = connection
        self._topic = topic
        self._schema_id = _registered(schemas, subject_of(topic))
        self._producer = opened(
            connection,
            KafkaProducer,
            client_id="appliance-collector",
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            linger_ms=20,
            batch_size=BATCH_BYTES,
        )

    def __enter__(self) -> ReadingProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close()

    def send(self, batches: Batches) -> list[Acknowledged]:
        """Send all batches and wait until they are acknowledged, in their order.

        Raises:
            ApplianceError: APL-TOPIC-005 the user may not, APL-TOPIC-010 some were not acknowledged.
        """
        sent = [
            self._producer.send(self._topic, key=key, value=value) for key, value in values_of(batches, self._schema_id)
        ]
        found = []
        for future in sent:
            try:
                given = future.get(timeout=ACKNOWLEDGED_S)
            except errors.KafkaError as error:
                raise as_error(self._connection, error, codes.SEND_FAILED) from error
            found.append(Acknowledged(partition=given.partition, offset=given.offset))
        return found


def _registered(schemas: SchemaRegistry, subject: str) -> int:
    for version in reversed(schemas.versions(subject)):
        if version.schema.kind == "AVRO" and reading.is_reading_batch(version.schema.text):
            return version.schema.id
    raise ApplianceError(codes.SCHEMA_MISSING, f"subject {subject!r} has no version that is a reading batch")
