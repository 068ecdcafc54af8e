"""The topic of dead letters: a copy of what the tables keep of a topic's undecodable records, for who follows topics.

Rules
1. The tables are the truth: a letter is sent after the commit that took it.
2. The value is the bytes as they came; a letter that was purged has none, so that compaction takes away what was sent
   of it before. The key names the letter, ``SOURCE:OFFSET``; headers say why it failed, which
   schema it names, when it arrived, and the digest of the bytes. What is sent again has the same key, so that
   compaction leaves one of it.
3. How far letters were sent is a small file beside the standing of the partition. Without it all are sent again.
4. Only letters of topics are sent: their bytes were in the broker before. Those of the spool leave by ``take-out``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
from kafka import KafkaProducer

from appliance.base import atomic
from appliance.base.digest import digest_bytes
from appliance.ingestion import decode
from appliance.ingestion.letter_sealing import Place, name_of
from appliance.ingestion.letters import Letter, Letters
from appliance.ingestion.schemas.frame import read_frames
from appliance.ingestion.topics.connection import Connection, named, opened
from appliance.ingestion.topics.log_reader import check_topic
from appliance.ingestion.topics.producer import acknowledged

MAX_RECORD_BYTES = 2 << 20  # of the topic too: a record of the greatest size that the broker took, and headers
_CODES = frozenset({decode.DECODE, decode.SCHEMA, decode.SIZE})


class Sent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Letters of `source` below the offset `below` are in the topic."""

    source: str
    below: int


class DeadLetterTopic:
    """Of one site. `folder` is where it keeps how far letters were sent."""

    def __init__(self, *, connection: Connection, topic: str, letters: Letters, folder: Path) -> None:
        self._connection, self.topic = connection, topic
        self.letters = letters
        self._folder = folder

    def check(self) -> None:
        """Raises ApplianceError: APL-TOPIC-001 to 006."""
        check_topic(self._connection, self.topic)

    def send(self, source: str, below: int) -> int:
        """Send the letters of `source` below the offset `below` that were not sent; gives how many these were.

        Raises:
            ApplianceError: APL-TOPIC-001 to 006, APL-TOPIC-010 some were not acknowledged, APL-STORAGE-004,
                APL-BASE-002. All of them are sent again next time.
        """
        begin = self._sent(source)
        if begin >= below:
            return 0
        found = [each for each in self.letters.find(source=source, closed=True) if begin <= each.position < below]
        if found:
            self._produce(found)
        self._folder.mkdir(exist_ok=True)
        atomic.write_bytes(self._file(source), msgspec.json.encode(Sent(source=source, below=below)))
        return len(found)

    def send_again(self, letters: Iterable[Letter]) -> None:
        """Send letters as they are now: those that were purged without a value. What came by a spool is left out.

        Raises:
            ApplianceError: as `send`.
        """
        found = [each for each in letters if is_of_topic(each)]
        if found:
            self._produce(found)

    def _produce(self, letters: Sequence[Letter]) -> None:
        """One that is purged while it is sent is sent again without its value."""
        self.check()  # a producer only waits for a topic that is not there
        producer = opened(
            self._connection,
            KafkaProducer,
            client_id="appliance-letters",
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            max_request_size=MAX_RECORD_BYTES,
            allow_auto_create_topics=False,
        )
        try:
            told: dict[Place, Letter] = {}
            sent = []
            with named(self._connection):
                for letter, data in self.letters.with_bytes(letters):
                    headers = list(headers_of(letter, data).items())
                    sent.append(
                        producer.send(self.topic, key=name_of(letter.place).encode(), value=data, headers=headers)
                    )
                    if data is not None:
                        told[letter.place] = letter
            acknowledged(self._connection, sent)
        finally:
            producer.close()
        gone = [told[place] for place in self.letters.purged(told)]
        if gone:
            self._produce(gone)

    def _sent(self, source: str) -> int:
        try:
            return msgspec.json.decode(self._file(source).read_bytes(), type=Sent).below
        except (OSError, msgspec.DecodeError):
            return 0

    def _file(self, source: str) -> Path:
        _, topic, partition = source.split(":")
        return self._folder / f"{topic}-{partition}.letters"


def holds_letters(refused: Mapping[str, int]) -> bool:
    """Whether any of the refused could not be decoded; `refused` by reason code."""
    return not _CODES.isdisjoint(refused)


def is_of_topic(letter: Letter) -> bool:
    """Whether a letter came by a topic (rule 4)."""
    return letter.source.startswith("kafka:")


def headers_of(letter: Letter, data: bytes | None) -> dict[str, bytes]:
    """Text in ASCII. ``schema_id`` is there when the bytes have a frame; nothing of the bytes when there are none."""
    found = {
        "code": letter.code,
        "source": letter.source,
        "offset": str(letter.position),
        "arrived_at": letter.arrived_at,
    }
    if data is not None:
        frames = read_frames(pa.array([data], pa.binary()))
        found["digest"] = digest_bytes(data)
        if not frames.faults:
            found["schema_id"] = str(int(frames.ids[0]))
    return {key: value.encode("ascii") for key, value in found.items()}
