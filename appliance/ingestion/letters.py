"""Dead letters: what came in and gave no rows. Listed, taken out as it came, and answered by a mended copy.

Rules
1. A letter is an item of a source that could not be decoded, wholly or in part: rows of ``quarantine.readings`` without
   an index. Its bytes are in its raw object, sealed where nothing of it could be decoded (`ingestion.letter_sealing`).
2. It is shown by its size, its digest and the schema that it names, never by its content. Its bytes leave by
   `take_out`, which a command records first, and where a site names a topic for them those of a topic by that one.
3. A mended copy is one or more reading batches. It must decode without a fault, else nothing is sent. It goes into the
   spool, where it is judged like everything that comes in; readings that are there already are recognised.
4. The letter stays in quarantine, so that the ledger holds; ``ledger.letters`` says that it was answered, and by what.
   Ended between the two, the letter is open still, and the same copy sent again brings nothing in twice.
5. A letter whose key was destroyed (`ingestion.purge`) is purged: nothing is told of its bytes, and it is not answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from appliance.base import atomic
from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.ingestion import codes, reading, segment
from appliance.ingestion.commit import RACES, Landing
from appliance.ingestion.decode import Limits, decode
from appliance.ingestion.encode import Batches, encode_batches
from appliance.ingestion.letter_sealing import LETTER, LetterSeal, Place, name_of
from appliance.ingestion.rows import INSTANT
from appliance.ingestion.schemas.frame import read_frames
from appliance.ingestion.spool import Spool
from appliance.storage import names
from appliance.storage.tables import CommitLost

ANSWERS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("answered_at", INSTANT, nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
    ]
)
"""One row per answer: the letter, and name and digest of the file that was put into the spool."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A dead letter. `lost` are its stretches that could not be decoded; `answered` is when a mended copy was sent,
    `purged` when its key was destroyed."""

    source: str
    position: int
    code: str
    detail: str
    lost: int
    arrived_at: str
    raw_digest: str
    answered: str | None
    purged: str | None

    @property
    def place(self) -> Place:
        return self.source, self.position


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is told of a letter's bytes; `schema_id` of a value in a topic that has a frame."""

    size_bytes: int
    digest: str
    schema_id: int | None


class MendedReading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reading of a mended copy; ``event_time`` as the device sends it."""

    event_time: int
    measure: str
    value: float
    quality: str = "good"
    unit: str


class MendedBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a mended copy: a reading batch (`reading.SCHEMA`) as JSON."""

    device_id: str
    firmware: str
    sequence: int
    produced_at: int
    trace_id: str = ""
    readings: tuple[MendedReading, ...]


class Letters:
    def __init__(self, *, landing: Landing, spool: Spool, clock: Clock) -> None:
        self._lake = landing.lake
        self._objects = landing.objects
        self._spool = spool
        self._clock = clock
        self._data_keys = landing.data_keys
        self._seal = LetterSeal(landing.data_keys)
        settings = landing.settings
        self._limits = Limits(max_file_bytes=settings.max_file_bytes, max_expansion=settings.max_expansion)

    def find(self, *, source: str | None = None, code: str | None = None, closed: bool = False) -> tuple[Letter, ...]:
        """Letters by source and position: the open ones, with `closed` also those that were answered or purged.

        Raises:
            ApplianceError: APL-INGEST-007; where letters were purged those of the data keys.
        """
        if names.QUARANTINE not in self._lake.tables():
            return ()
        where = "index is null" + (f" and code = '{_plain(code)}'" if code else "")
        columns = ("source", "position", "record", "code", "detail", "arrived_at", "raw_digest")
        found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for row in self._lake.scan(names.QUARANTINE, columns=columns, where=where).to_pylist():
            if source in (None, row["source"]):
                found.setdefault((row["source"], row["position"]), []).append(row)
        answers, purged = self._answers(), self.purged(found)
        letters = (_letter(rows, answers.get(key), purged.get(key)) for key, rows in sorted(found.items()))
        return tuple(each for each in letters if closed or (each.answered is None and each.purged is None))

    def some(self, source: str, positions: Sequence[int]) -> tuple[Letter, ...]:
        """Raises ApplianceError: APL-INGEST-009."""
        found = {each.position: each for each in self.find(source=source, closed=True)}
        for each in positions:
            if each not in found:
                raise ApplianceError(codes.NO_SUCH_LETTER, f"{source} has none at position {each}")
        return tuple(found[each] for each in dict.fromkeys(positions))

    def one(self, source: str, position: int) -> Letter:
        """Raises ApplianceError: APL-INGEST-009."""
        return self.some(source, [position])[0]

    def purged(self, places: Iterable[Place]) -> dict[Place, str]:
        """Of letters at these places those that were purged, and when.

        Raises:
            ApplianceError: those of the data keys, where any letter was purged.
        """
        by_name = {name_of(each): each for each in places}
        return {by_name[name]: at for name, at in self._data_keys.erased(LETTER, by_name).items()}

    def bytes_of(self, letter: Letter) -> bytes:
        """The bytes as they came; empty for a record without a value.

        Raises:
            ApplianceError: APL-INGEST-011, APL-STORAGE-004, those of the data keys.
        """
        _check_not_purged(letter)
        data = next(self.with_bytes([letter]))[1]
        if data is None:
            raise ApplianceError(codes.LETTER_PURGED, f"{name_of(letter.place)}: its key is destroyed")
        return data

    def with_bytes(self, letters: Iterable[Letter]) -> Iterator[tuple[Letter, bytes | None]]:
        """Each letter with its bytes, None where it was purged; those of one raw object follow each other, and for them
        it is read once, and their keys with it.

        Raises:
            ApplianceError: APL-STORAGE-004, those of the data keys.
        """
        for group in self.stored(letters):
            sealed = {letter.place: each for letter, each in group if isinstance(each, segment.SealedLetter)}
            opened = self._seal.open(sealed) if sealed else {}
            for letter, each in group:
                yield letter, each if isinstance(each, bytes) else opened[letter.place]

    def stored(self, letters: Iterable[Letter]) -> Iterator[list[tuple[Letter, bytes | segment.SealedLetter]]]:
        """The letters by raw object, each as it lies there: in clear, or sealed.

        Raises:
            ApplianceError: APL-STORAGE-004.
        """
        for digest, group in groupby(sorted(letters, key=_by_object), key=lambda each: each.raw_digest):
            data = self._objects.read(digest)
            if not data.startswith(segment.MAGIC):
                yield [(letter, data) for letter in group]
                continue
            found = segment.unpack(data)
            place_of = {offset: number for number, offset in enumerate(found.records["offset"].to_pylist())}
            places = [(letter, place_of[letter.position]) for letter in group]
            yield [
                (letter, found.letters.get(place) or found.records["value"][place].as_py() or b"")
                for letter, place in places
            ]

    def look(self, letter: Letter) -> Look:
        """What may be told of the bytes. Raises as `bytes_of`."""
        data = self.bytes_of(letter)
        frames = read_frames(pa.array([data], pa.binary()))
        of_topic = letter.source.startswith("kafka:")
        return Look(
            size_bytes=len(data),
            digest=digest_bytes(data),
            schema_id=int(frames.ids[0]) if of_topic and not frames.faults else None,
        )

    def take_out(self, letter: Letter, target: Path) -> int:
        """Write the bytes to a new file, mode 600; gives how many there are.

        Raises:
            ApplianceError: APL-INGEST-010 there is a file already, APL-BASE-002, and as `bytes_of`.
        """
        if target.exists():
            raise ApplianceError(codes.ANSWER_REFUSED, "the file is there already", where=str(target))
        data = self.bytes_of(letter)
        atomic.write_bytes(target, data, mode=0o600)
        return len(data)

    def answer(self, letter: Letter, file: Path) -> str:
        """Send a mended copy: a spool file, or reading batches as JSON lines; gives the name of the file in the spool.

        Raises:
            ApplianceError: APL-INGEST-010 it is not mended, nothing was sent; APL-INGEST-011; APL-BASE-002.
        """
        _check_not_purged(letter)
        try:
            mended = file.read_bytes()
        except OSError as error:
            raise ApplianceError(codes.ANSWER_REFUSED, f"cannot be read: {error.strerror}", where=str(file)) from error
        data = mended if mended.startswith(b"Obj\x01") else encode_batches(_from_json(mended))
        decoded = decode(data, self._limits)
        if decoded.faults or not decoded.rows.num_rows:
            why = decoded.faults[0].detail if decoded.faults else "it holds no reading"
            raise ApplianceError(codes.ANSWER_REFUSED, why)
        source = re.sub(r"[^A-Za-z0-9._-]", "-", letter.source)
        name = f"answer-{source}-{letter.position}-{digest_bytes(data)[7:19]}{reading.SUFFIX}"
        atomic.write_bytes(self._spool.incoming / name, data)
        row = {
            "source": letter.source,
            "position": letter.position,
            "answered_at": self._clock.now(),
            "file": name,
            "digest": digest_bytes(data),
        }
        self._lake.ensure(names.LETTERS, ANSWERS)
        for _ in range(RACES):
            try:
                self._lake.append(
                    names.LETTERS,
                    pa.Table.from_pylist([row], ANSWERS),
                    expected=self._lake.head(names.LETTERS),
                    properties={},
                    inputs=[],
                    facts={"letter": f"{letter.source}:{letter.position}", "file": name},
                )
            except CommitLost:
                continue
            return name
        raise CommitLost(codes.STALE_BATCH, f"{names.LETTERS}: lost {RACES} races in a row")

    def _answers(self) -> dict[tuple[str, int], str]:
        if names.LETTERS not in self._lake.tables():
            return {}
        rows = self._lake.scan(names.LETTERS).sort_by("answered_at").to_pylist()
        return {(row["source"], row["position"]): rfc3339(row["answered_at"]) for row in rows}


def _by_object(letter: Letter) -> tuple[str, int]:
    return letter.raw_digest, letter.position


def _check_not_purged(letter: Letter) -> None:
    if letter.purged is not None:
        raise ApplianceError(codes.LETTER_PURGED, f"{name_of(letter.place)} was purged at {letter.purged}")


def _letter(rows: Sequence[dict[str, Any]], answered: str | None, purged: str | None) -> Letter:
    first = min(rows, key=lambda row: row["record"] or 0)
    return Letter(
        source=first["source"],
        position=first["position"],
        code=first["code"],
        detail=first["detail"],
        lost=len(rows),
        arrived_at=rfc3339(first["arrived_at"]),
        raw_digest=first["raw_digest"],
        answered=answered,
        purged=purged,
    )


def _plain(code: str) -> str:
    """A code as it may stand in a filter.

    Raises:
        ApplianceError: APL-INGEST-007.
    """
    if not re.fullmatch(r"[A-Z_]{1,40}", code):
        raise ApplianceError(codes.REASON_UNKNOWN, f"got {code[:40]!r}")
    return code


def _from_json(text: bytes) -> Batches:
    """Raises ApplianceError: APL-INGEST-010, naming the line."""
    batches = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                batches.append(msgspec.json.decode(line, type=MendedBatch))
            except (msgspec.DecodeError, json.JSONDecodeError) as error:
                raise ApplianceError(codes.ANSWER_REFUSED, f"line {number}: {error}") from error
    if not batches:
        raise ApplianceError(codes.ANSWER_REFUSED, "neither an Avro container file nor reading batches as JSON lines")
    rows = [each for batch in batches for each in batch.readings]
    offsets = [0]
    for batch in batches:
        offsets.append(offsets[-1] + len(batch.readings))
    try:
        return Batches(
            device_id=pa.array([each.device_id for each in batches]),
            firmware=pa.array([each.firmware for each in batches]),
            sequence=pa.array([each.sequence for each in batches], pa.int64()),
            produced_at=pa.array([each.produced_at for each in batches], pa.int64()),
            trace_id=pa.array([each.trace_id for each in batches]),
            offsets=pa.array(offsets, pa.int64()),
            event_time=pa.array([each.event_time for each in rows], pa.int64()),
            measure=pa.array([each.measure for each in rows]),
            value=pa.array([each.value for each in rows], pa.float64()),
            quality=pa.array([each.quality for each in rows]),
            unit=pa.array([each.unit for each in rows]),
        )
    except (OverflowError, pa.ArrowInvalid) as error:
        raise ApplianceError(codes.ANSWER_REFUSED, f"a number does not fit: {error}") from error
