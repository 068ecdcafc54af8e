"""How sealed values look: cells of a table, texts of refused lines, and whole files. Pure but for the keys it is given.

A cell is ``sealed:`` and base64 of what `DataKey.seal` gives. Its place is table, column, source, position and line.

A sealed file is what the object store keeps of a drop::

    APPLIANCE-SEALED-1\\n   content (32 bytes)   count (4)   count x [key id (16), length (4)]   the segments

A segment is a stretch of the file under one key: lines of one subject, or what belongs to nobody that is known. Those
under the id of zeros are clear: the header of a CSV file. Numbers are big-endian. ``content`` is a keyed hash of the
file's bytes: equal files are known by it, and nothing else follows from it.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from appliance.base.errors import ApplianceError
from appliance.ingestion.sensitive import codes
from appliance.trust.data_keys import ID_BYTES, OVERHEAD_BYTES, DataKey

MAGIC = b"APPLIANCE-SEALED-1\n"
CLEAR = bytes(ID_BYTES)
CELL = "sealed:"
CONTENT_BYTES = 32
PIECE_BYTES = 64 * 1024 * 1024  # of a file that is not read as a whole
_ENTRY = struct.Struct(f">{ID_BYTES}sI")


def place_of(*parts: str | int) -> bytes:
    """Where a value stands, as bytes that differ for different places."""
    texts = [str(each).encode() for each in parts]
    return b"".join(len(each).to_bytes(4, "big") + each for each in texts)


def seal_text(text: str, key: DataKey, place: bytes) -> str:
    return CELL + base64.urlsafe_b64encode(key.seal(text.encode(), place)).decode()


def is_sealed(text: str | None) -> bool:
    return text is not None and text.startswith(CELL)


def key_id_of(text: str) -> bytes:
    """The key that a sealed text needs.

    Raises:
        ApplianceError: APL-SENSITIVE-003, it is not one.
    """
    return _decoded(text)[:ID_BYTES]


def open_text(text: str, key: DataKey, place: bytes) -> str:
    """Raises:
    ApplianceError: APL-SENSITIVE-003, APL-TRUST-038.
    """
    return key.open(_decoded(text), place).decode()


def _decoded(text: str) -> bytes:
    try:
        found = base64.b64decode(text.removeprefix(CELL), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApplianceError(codes.NOT_SEALED, f"not base64: {error}") from error
    if not is_sealed(text) or len(found) < ID_BYTES:
        raise ApplianceError(codes.NOT_SEALED, f"expected {CELL!r} and at least {ID_BYTES} bytes, got {len(found)}")
    return found


@dataclass(frozen=True, kw_only=True)
class SealedFile:
    """A sealed file, taken apart: segments are still sealed, each with the id of its key."""

    content: bytes
    segments: tuple[tuple[bytes, bytes], ...]

    @property
    def key_ids(self) -> frozenset[bytes]:
        return frozenset(id for id, _ in self.segments) - {CLEAR}


def seal_file(content: bytes, parts: Sequence[tuple[bytes, bytes]], keys: Mapping[bytes, DataKey]) -> bytes:
    """The sealed form of ``(key id, bytes)`` in the order of the file; neighbours of one key become one segment."""
    merged: list[tuple[bytes, list[bytes]]] = []
    for id, data in parts:
        if merged and merged[-1][0] == id:
            merged[-1][1].append(data)
        else:
            merged.append((id, [data]))
    sealed = []
    for number, (id, pieces) in enumerate(merged):
        plain = b"".join(pieces)
        sealed.append((id, plain if id == CLEAR else keys[id].seal(plain, _segment(content, number))))
    head = [MAGIC, content, len(sealed).to_bytes(4, "big"), *(_ENTRY.pack(id, len(data)) for id, data in sealed)]
    return b"".join([*head, *(data for _, data in sealed)])


def seal_stream(file: BinaryIO, size_bytes: int, content: bytes, key: DataKey) -> Iterator[bytes]:
    """The sealed form of `size_bytes` of a file under one key, piece by piece.

    Raises:
        ApplianceError: APL-SENSITIVE-003, the file ends before that.
    """
    lengths = [min(PIECE_BYTES, size_bytes - start) for start in range(0, size_bytes, PIECE_BYTES)]
    yield MAGIC + content + len(lengths).to_bytes(4, "big")
    yield from (_ENTRY.pack(key.id, length + OVERHEAD_BYTES) for length in lengths)
    for number, length in enumerate(lengths):
        plain = file.read(length)
        if len(plain) != length:
            raise ApplianceError(codes.NOT_SEALED, f"expected {size_bytes} bytes, the file is shorter")
        yield key.seal(plain, _segment(content, number))


def is_sealed_file(data: bytes) -> bool:
    return data.startswith(MAGIC)


def parse_file(data: bytes) -> SealedFile:
    """Raises:
    ApplianceError: APL-SENSITIVE-003, it is not a sealed file, or not a whole one.
    """
    start = len(MAGIC) + CONTENT_BYTES + 4
    if not is_sealed_file(data) or len(data) < start:
        raise ApplianceError(codes.NOT_SEALED, "it does not begin as a sealed file does")
    count = int.from_bytes(data[start - 4 : start], "big")
    at = start + count * _ENTRY.size
    if len(data) < at:
        raise ApplianceError(codes.NOT_SEALED, f"expected {count} segments, it ends within their list")
    segments = []
    for id, length in _ENTRY.iter_unpack(data[start:at]):
        segments.append((id, data[at : at + length]))
        at += length
    if at != len(data):
        raise ApplianceError(codes.NOT_SEALED, f"expected {at} bytes, got {len(data)}")
    return SealedFile(content=data[len(MAGIC) : len(MAGIC) + CONTENT_BYTES], segments=tuple(segments))


def open_file(file: SealedFile, keys: Mapping[bytes, DataKey | None]) -> tuple[bytes, int]:
    """The file's bytes without those whose key is gone, and how many segments that were.

    Raises:
        ApplianceError: APL-TRUST-038.
    """
    opened, gone = [], 0
    for number, (id, data) in enumerate(file.segments):
        if id == CLEAR:
            opened.append(data)
            continue
        key = keys.get(id)
        if key is None:
            gone += 1
        else:
            opened.append(key.open(data, _segment(file.content, number)))
    return b"".join(opened), gone


def _segment(content: bytes, number: int) -> bytes:
    return place_of("file", content.hex(), number)
