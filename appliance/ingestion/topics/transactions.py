"""Writes records to the one partition of a topic, some at a time and these all or none.

Rules
1. The producer is idempotent and waits for all replicas. Whoever opens another one with the same transactional id ends
   what the first had begun: a writer that was killed leaves nothing that a reader waits for.
2. Nothing waits for ever. A transaction whose end was not heard of in time may have been committed or not: send it
   again, readers tell repeats.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from kafka import KafkaProducer, errors

from appliance.base.errors import ApplianceError
from appliance.ingestion.topics import codes
from appliance.ingestion.topics.buffer import Outgoing
from appliance.ingestion.topics.connection import Connection, as_error, named, opened, within
from appliance.ingestion.topics.log_reader import check_topic
from appliance.ingestion.topics.producer import ACKNOWLEDGED_S, BATCH_BYTES, acknowledged

BLOCK_S = 10.0  # for the topic's metadata and the transaction's coordinator
CLOSE_S = 2.0  # of what there is to be sent when a transaction has failed


class TransactionProducer:
    """Close it after use; it is a context manager."""

    def __init__(self, connection: Connection, topic: str, transactional_id: str) -> None:
        """Raises ApplianceError: APL-TOPIC-001 to 006, 006 also for a topic that has not one partition."""
        self._connection, self._topic = connection, topic
        check_topic(connection, topic)  # a producer only waits for one that is not there
        self._producer = opened(
            connection,
            KafkaProducer,
            client_id="appliance-serving",
            acks="all",
            enable_idempotence=True,
            transactional_id=transactional_id,
            compression_type="zstd",
            batch_size=BATCH_BYTES,
            linger_ms=20,
            max_block_ms=int(BLOCK_S * 1000),
            delivery_timeout_ms=int(ACKNOWLEDGED_S * 1000),
            request_timeout_ms=int(BLOCK_S * 1000),
            allow_auto_create_topics=False,
        )
        try:
            with named(connection):
                self._producer.init_transactions()
        except ApplianceError:
            self._close(CLOSE_S)
            raise

    def __enter__(self) -> TransactionProducer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close(ACKNOWLEDGED_S if kind is None else CLOSE_S)

    def send(self, records: Iterable[Outgoing]) -> None:
        """Write all records in one transaction.

        Raises:
            ApplianceError: APL-TOPIC-002 to 005; APL-TOPIC-010 it was not acknowledged that all are written. No
                further one can be sent then.
        """
        with named(self._connection):
            self._producer.begin_transaction()
            sent = [
                self._producer.send(
                    self._topic, key=each.key, value=each.value, headers=list(each.headers), partition=0
                )
                for each in records
            ]
        acknowledged(self._connection, sent)
        try:
            within(ACKNOWLEDGED_S, self._producer.commit_transaction)
        except errors.KafkaError as error:
            raise as_error(self._connection, error, codes.SEND_FAILED) from error

    def _close(self, within_s: float) -> None:
        with contextlib.suppress(errors.KafkaError):
            self._producer.close(timeout=within_s)
