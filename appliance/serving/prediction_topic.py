"""The way of predictions through a topic of Kafka: closed segments into it, and whole segments out of it.

Rules
1. The gateway knows nothing of it. It answers with the brokers away, and its segments wait.
2. A segment is one transaction. How far segments were sent is written down beside them as a hint: where it is lost or
   wrong, some are sent again, and are known by their numbers.
3. What comes out must be what the gateway's file of that number says. Who else could write to the topic, or another
   site that was given the same one, would otherwise pass for the gateway.
4. One process of a site is at work here at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.ingestion.topics.buffer import Record
from appliance.ingestion.topics.connection import Connection
from appliance.ingestion.topics.log_reader import check_topic, read_to_end
from appliance.ingestion.topics.transactions import TransactionProducer
from appliance.serving import codes, prediction_log
from appliance.serving.prediction_records import TakenSegment, records_of


class PredictionTopic:
    """The topic of one site.

    Attributes:
        source: its one partition, as the position maps name it.
    """

    def __init__(self, *, topic: str, writer: Connection, reader: Connection, folder: Path) -> None:
        """`folder` is the prediction log."""
        self.source = f"kafka:{topic}:0"
        self._topic, self._writer, self._reader = topic, writer, reader
        self._folder = folder
        self._hint = folder / "sent" / f"{topic}.txt"

    def alone(self) -> AbstractContextManager[None]:
        """Wait until no other process of the site sends and takes."""
        return atomic.exclusive(self._folder / ".topic.lock")

    def check(self) -> None:
        """Whether both users find the topic as it must be. Raises ApplianceError: APL-TOPIC-001 to 006."""
        for each in (self._writer, self._reader):
            check_topic(each, self._topic)

    def sent(self) -> int:
        """How many segments were sent, as far as is known."""
        try:
            return int(self._hint.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def send(self, start: int) -> int:
        """Send the closed segments from `start` on (the number of those before them); gives how many are closed.

        Raises:
            ApplianceError: APL-TOPIC-001 to 006, 010; APL-SERVE-007 a segment is damaged; APL-BASE-002 the disk is
                full. What was not sent is sent the next time.
        """
        segments = prediction_log.segments(self._folder)
        waiting = list(enumerate(segments, start=1))[start:]
        if waiting:
            # Of a fixed id, so that the next process ends what a killed one has begun.
            with TransactionProducer(self._writer, self._topic, f"serving-{self._topic}") as producer:
                for number, path in waiting:
                    producer.send(records_of(number, prediction_log.read_lines(path)))
                    atomic.write_bytes(self._hint, b"%d" % number)
        return len(segments)

    def check_own(self, segment: TakenSegment) -> None:
        """Compare a segment that came out with the gateway's file. Raises ApplianceError: APL-SERVE-009."""
        path = prediction_log.segment_path(self._folder, segment.number)
        data = path.read_bytes() if path.is_file() else None
        came = b"".join((each.value or b"") + b"\n" for each in segment.records)
        if data is None or data[: data.rfind(b"\n") + 1] != came:
            first = f" from offset {segment.records[0].offset}" if segment.records else ""
            said = "has no such segment" if data is None else "wrote something else"
            raise ApplianceError(
                codes.NOT_A_PREDICTION, f"segment {segment.number}{first}: the gateway {said}", where=self.source
            )

    def read(self, start: int) -> closing[Generator[Sequence[Record]]]:
        """See `read_to_end`."""
        return closing(read_to_end(self._reader, self._topic, start))
