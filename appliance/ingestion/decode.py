"""Strict reading of a spool file: an Avro object container file (Avro 1.11) of reading batches, into columns.

Rules
1. Nothing that the file claims is believed before it is checked against the bytes that are there: counts, sizes,
   lengths. Decompression stops at the declared limits.
2. The writer's schema must be ours, by canonical form; else the file is refused as a whole.
3. What does not decode is a `Fault` and costs no more than its framing forces: a bad record costs the rest of its
   block, broken framing costs what lies before the next sync marker. Everything else of the file is kept.
4. Same bytes, same result; the file's name, the clock and other files play no part.

Not here: what the values mean (`ingestion.rules`), and keeping the raw bytes (`ingestion.sink`).
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from appliance.base.clock import parse_rfc3339
from appliance.ingestion import avro_kernel, reading

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MAX_HEADER_BYTES = 64 * 1024  # schema and stamps; ours takes less than 1 KiB
MAX_HEADER_ENTRIES = 64
MAX_BLOCK_BYTES = 64 * 1024 * 1024  # of one block, unpacked; writers use 16 KiB to a few MiB

DECODE, SCHEMA, SIZE = "DECODE", "SCHEMA", "SIZE"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of hostile input.

    Attributes:
        max_file_bytes: of the file as it lies in the spool.
        max_expansion: unpacked bytes per byte of the file.
    """

    max_file_bytes: int = 256 * 1024 * 1024
    max_expansion: int = 50


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A stretch of the file that gave no rows.

    Attributes:
        code: reason code, ``DECODE``, ``SCHEMA`` or ``SIZE``.
        record: ordinal of the first record that is lost; None when the whole file is.
        detail: what was found, for people.
    """

    code: str
    record: int | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a file holds: `reading.ARROW` rows, `reading.HEADERS` records, faults, and the collector's stamp."""

    rows: pa.Table
    headers: pa.Table
    faults: tuple[Fault, ...] = ()
    received_at: dt.datetime | None = None


class _RefusedError(Exception):
    """The file, or with `whole_file` unset perhaps only a block of it, cannot be read; carries the fault."""

    def __init__(self, code: str, detail: str, *, whole_file: bool = False) -> None:
        super().__init__(detail)
        self.fault = Fault(code=code, record=None, detail=detail)
        self.whole_file = whole_file


@dataclass(kw_only=True)
class _Blocks:
    """Blocks in order: unpacked bytes side by side, and where each lies."""

    parts: list[bytes | memoryview] = field(default_factory=list)
    spans: list[tuple[int, int, int, int]] = field(default_factory=list)  # start, end, count, first record
    faults: list[Fault] = field(default_factory=list)
    size: int = 0
    ordinal: int = 0

    def add(self, content: bytes | memoryview, count: int) -> None:
        if count > len(content) // avro_kernel.MIN_RECORD_BYTES:
            self.lose(SIZE, f"a block of {len(content)} bytes claims {count} records")
            return
        self.parts.append(content)
        self.spans.append((self.size, self.size + len(content), count, self.ordinal))
        self.size += len(content)
        self.ordinal += count

    def lose(self, code: str, detail: str) -> None:
        self.faults.append(Fault(code=code, record=self.ordinal, detail=detail))
        self.ordinal += 1


def decode(data: bytes, limits: Limits) -> Decoded:
    """Rows, records and faults of the spool file `data`. Raises nothing: what is wrong is in `faults`."""
    try:
        metadata, start = _header(data, limits)
        codec = _check_metadata(metadata)
        blocks = _Blocks()
        _read_blocks(data, start, codec, limits.max_expansion * len(data), blocks)
    except _RefusedError as error:
        return Decoded(rows=empty_rows(), headers=reading.HEADERS.empty_table(), faults=(error.fault,))
    rows, headers, faults = _columns(blocks)
    stamp = metadata.get(reading.RECEIVED_AT)
    return Decoded(rows=rows, headers=headers, faults=faults, received_at=_stamp(stamp))


def empty_rows() -> pa.Table:
    return reading.ARROW.empty_table()


def _long(data: bytes | memoryview, at: int) -> tuple[int, int]:
    bits = shift = 0
    while True:
        if at >= len(data):
            raise _RefusedError(DECODE, "the file ends inside a number")
        byte = data[at]
        at += 1
        bits |= (byte & 0x7F) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise _RefusedError(DECODE, "a number has more than 64 bits")
    return (bits >> 1) ^ -(bits & 1), at


def _header_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _long(data, at)
    if not 0 <= length <= MAX_HEADER_BYTES:
        raise _RefusedError(
            SIZE, f"the header claims a field of {length} bytes, at most {MAX_HEADER_BYTES} are allowed"
        )
    if at + length > len(data):
        raise _RefusedError(DECODE, f"the file ends inside a header field of {length} bytes")
    return data[at : at + length], at + length


def _header(data: bytes, limits: Limits) -> tuple[dict[str, bytes], int]:
    if len(data) > limits.max_file_bytes:
        raise _RefusedError(SIZE, f"the file has {len(data)} bytes, at most {limits.max_file_bytes} are allowed")
    if not data.startswith(MAGIC):
        raise _RefusedError(DECODE, f"not an Avro container file: begins with {data[:4].hex() or 'nothing'}")
    at = len(MAGIC)
    metadata: dict[str, bytes] = {}
    while True:
        count, at = _long(data, at)
        if count == 0:
            return metadata, at
        if count < 0:
            _, at = _long(data, at)
            count = -count
        if len(metadata) + count > MAX_HEADER_ENTRIES:
            raise _RefusedError(SIZE, f"the header claims {count} entries, at most {MAX_HEADER_ENTRIES} are allowed")
        for _ in range(count):
            key, at = _header_bytes(data, at)
            value, at = _header_bytes(data, at)
            metadata[key.decode("utf-8", "replace")] = value


def _check_metadata(metadata: dict[str, bytes]) -> str:
    """Gives the codec."""
    try:
        ours = reading.is_reading_batch(metadata.get("avro.schema", b""))
    except ValueError as error:
        raise _RefusedError(SCHEMA, f"the writer's schema is not one: {error}") from error
    if not ours:
        raise _RefusedError(SCHEMA, "the writer's schema is not that of a reading batch")
    codec = metadata.get("avro.codec", b"null").decode("ascii", "replace")
    if codec not in ("null", "deflate"):
        raise _RefusedError(DECODE, "its codec is neither null nor deflate")
    return codec


def _stamp(text: bytes | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text.decode("ascii"))
    except (ValueError, OverflowError):
        return None  # an unreadable stamp is no stamp: the time of the claim counts


def _read_blocks(data: bytes, start: int, codec: str, max_bytes: int, blocks: _Blocks) -> None:
    sync = data[start : start + SYNC_BYTES]
    if len(sync) < SYNC_BYTES:
        raise _RefusedError(DECODE, "the file ends inside its header")
    view = memoryview(data)
    at = start + SYNC_BYTES
    while at < len(data):
        try:
            content, count, end = _block(view, at, sync)
            blocks.add(_inflate(content, max_bytes - blocks.size) if codec == "deflate" else content, count)
            at = end + SYNC_BYTES
        except _RefusedError as error:
            if error.whole_file:
                raise
            blocks.lose(error.fault.code, error.fault.detail)
            found = data.find(sync, at)
            if found < 0:
                return
            at = found + SYNC_BYTES


def _block(view: memoryview, at: int, sync: bytes) -> tuple[memoryview, int, int]:
    """Content, claimed count of records, and where the content ends."""
    count, start = _long(view, at)
    size, start = _long(view, start)
    end = start + size
    if count < 0 or size < 0 or size > MAX_BLOCK_BYTES:
        raise _RefusedError(SIZE, f"a block claims {count} records in {size} bytes")
    if end + SYNC_BYTES > len(view):
        raise _RefusedError(DECODE, f"a block of {size} bytes runs past the end of the file")
    if view[end : end + SYNC_BYTES] != sync:
        raise _RefusedError(DECODE, f"no sync marker at byte {end}")
    return view[start:end], count, end


def _inflate(content: memoryview, max_bytes: int) -> bytes:
    limit = min(MAX_BLOCK_BYTES, max_bytes)
    unpacker = zlib.decompressobj(-15)
    try:
        unpacked = unpacker.decompress(content, limit + 1)
    except zlib.error as error:
        raise _RefusedError(DECODE, f"a block does not inflate: {error}") from error
    if len(unpacked) > limit:
        raise _RefusedError(SIZE, f"the file unpacks to more than {limit} bytes", whole_file=True)
    if not unpacker.eof:
        raise _RefusedError(DECODE, "a compressed block is cut short")
    return unpacked


def _columns(blocks: _Blocks) -> tuple[pa.Table, pa.Table, tuple[Fault, ...]]:
    content = blocks.parts[0] if len(blocks.parts) == 1 else b"".join(blocks.parts)
    data = np.frombuffer(content, np.uint8) if blocks.size else np.empty(0, np.uint8)
    spans = np.array(blocks.spans, np.int64).reshape(-1, 4)
    max_rows = data.size // avro_kernel.MIN_READING_BYTES + 1  # pages that are not touched cost nothing
    max_records = data.size // avro_kernel.MIN_RECORD_BYTES + 1
    words = np.empty((5, max_rows), np.int32)
    numbers = np.empty((4, max_rows), np.int64)
    values = np.empty(max_rows, np.uint64)
    record_numbers = np.empty((5, max_records), np.int64)
    record_words = np.empty((2, max_records), np.int32)
    block_faults = np.zeros((len(blocks.spans), 4), np.int64)
    n, records, starts, lengths = avro_kernel.decode_blocks(
        data, spans, words, numbers, values, record_numbers, record_words, block_faults
    )
    texts = [data[start : start + length].tobytes() for start, length in zip(starts, lengths, strict=True)]
    dictionary, renumber = _dictionary(texts)

    def word(codes: npt.NDArray[np.int32]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(renumber[codes] if renumber is not None else codes), dictionary)

    device, firmware, measure, quality, unit = (word(words[column, :n]) for column in range(5))
    event_time, sequence, record, index = (numbers[column, :n] for column in range(4))
    rows = pa.Table.from_arrays(
        [
            device,
            measure,
            pa.array(event_time),
            pa.array(values[:n].view(np.float64)),
            unit,
            quality,
            firmware,
            pa.array(sequence),
            pa.array(record.astype(np.int32)),
            pa.array(index.astype(np.int32)),
        ],
        schema=reading.ARROW,
    )
    kept = record_numbers[:, :records]
    headers = pa.Table.from_arrays(
        [
            word(record_words[0, :records]),
            word(record_words[1, :records]),
            pa.array(kept[0]),
            pa.array(kept[1]),
            pa.array(kept[2].astype(np.int32)),
            pa.array(kept[3]),
            pa.array(kept[4].astype(np.int32)),
        ],
        schema=reading.HEADERS,
    )
    faults = [*blocks.faults, *_kernel_faults(block_faults)]
    return rows, headers, tuple(sorted(faults, key=lambda fault: fault.record or 0))


def _dictionary(texts: list[bytes]) -> tuple[pa.Array, npt.NDArray[np.int32] | None]:
    """Distinct strings; with a renumbering when two byte strings read as the same text (bad UTF-8 becomes U+FFFD)."""
    numbers: dict[str, int] = {}
    order = [numbers.setdefault(text.decode("utf-8", "replace"), len(numbers)) for text in texts]
    renumber = np.array(order, np.int32) if len(numbers) < len(texts) else None
    return pa.array(list(numbers), pa.string()), renumber


def _kernel_faults(found: npt.NDArray[np.int64]) -> Iterator[Fault]:
    names: dict[int, Any] = avro_kernel.REASONS
    for reason, record, at, lost in found[found[:, 0] != 0].tolist():
        through = f", and with it {lost - 1} more of its block" if lost > 1 else ""
        yield Fault(code=DECODE, record=record, detail=f"{names[reason]} (unpacked byte {at}){through}")
