"""The frame of a value on the wire (Confluent wire format): magic 0, schema id, and for Protobuf which message.

    0x00 | id, 4 bytes big endian | payload
    0x00 | id, 4 bytes big endian | path | payload          Protobuf

The path leads to the message within its file: a count, then so many positions, each of the message within the one
before; all are zig-zag varints. The first message of the file, by far the usual one, is the single byte 0.

Rules
1. Many values are read at once, by numpy, without a copy of their bytes.
2. A value without a frame is a fault of its own and costs no other.
3. Whether a registry knows the id is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from appliance.ingestion.decode import DECODE, Fault
from appliance.ingestion.schemas.registry import MAX_ID

MAGIC = 0
FRAME_BYTES = 5
MAX_PATH = 16  # messages within messages; protoc allows 32 and people use 2
_FIRST = (0,)


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The frames of n values.

    Attributes:
        ids: int32, shape (n,); 0 where the value has no frame.
        starts, ends: int64, shape (n,): where the payloads lie in `data`; both 0 where the value has no frame.
        data: uint8, shape (n_bytes,): all bytes, not copied.
        faults: values without a frame, in order; `record` is the ordinal of the value.
    """

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]
    faults: tuple[Fault, ...]

    def payloads(self, ordinals: Sequence[int] | npt.NDArray[np.int64]) -> list[memoryview]:
        """The payloads of these values, not copied; empty for one without a frame."""
        view = self.data.data
        at = np.asarray(ordinals, np.int64)
        spans = zip(self.starts[at].tolist(), self.ends[at].tolist(), strict=True)
        return [view[start:end] for start, end in spans]


def read_frames(values: pa.Array) -> Frames:
    """The frames of `values`, an array of binary or large binary. Null (a tombstone) is a value without a frame.

    Raises:
        TypeError: another type of array.
    """
    offsets, data = _buffers(values)
    starts, ends = offsets[:-1], offsets[1:]
    present = np.ones(len(values), bool) if values.null_count == 0 else values.is_valid().to_numpy(zero_copy_only=False)
    long_enough = present & (ends - starts >= FRAME_BYTES)
    at = np.where(long_enough, starts, 0)
    framed = long_enough.copy()
    ids = np.zeros(len(values), np.int64)
    if data.size >= FRAME_BYTES:
        framed &= data[at] == MAGIC
        for byte in range(1, FRAME_BYTES):
            ids = ids << 8 | data[at + byte]
    whole = framed & (ids > 0) & (ids <= MAX_ID)
    faults = tuple(
        Fault(
            code=DECODE,
            record=ordinal,
            detail="no value"
            if not present[ordinal]
            else f"a value of {ends[ordinal] - starts[ordinal]} bytes is too short for a frame"
            if not long_enough[ordinal]
            else f"a value begins with {data[starts[ordinal]]:#04x}, expected 0x00"
            if not framed[ordinal]
            else f"{ids[ordinal]} is not an id that a registry gives",
        )
        for ordinal in np.flatnonzero(~whole).tolist()
    )
    return Frames(
        ids=np.where(whole, ids, 0).astype(np.int32),
        starts=np.where(whole, starts + FRAME_BYTES, 0),
        ends=np.where(whole, ends, 0),
        data=data,
        faults=faults,
    )


def write_frame(id: int, payload: bytes, *, path: Sequence[int] | None = None) -> bytes:
    """A value as it goes onto the wire; `path` leads to the message of a Protobuf payload."""
    within = b"" if path is None else _path_bytes(tuple(path))
    return bytes([MAGIC]) + id.to_bytes(4, "big") + within + payload


def read_path(payload: bytes | memoryview) -> tuple[tuple[int, ...], int]:
    """The path to the message of a Protobuf payload, and where the message begins.

    Raises:
        ValueError: the bytes are no path.
    """
    if len(payload) and payload[0] == 0:
        return _FIRST, 1
    count, at = _varint(payload, 0)
    if not 0 < count <= MAX_PATH:
        raise ValueError(f"the path to the message claims {count} steps, at most {MAX_PATH} are read")
    path = []
    for _ in range(count):
        step, at = _varint(payload, at)
        if step < 0:
            raise ValueError(f"the path to the message holds {step}")
        path.append(step)
    return tuple(path), at


def _buffers(values: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Offsets, shape (n + 1,), and all bytes."""
    if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
        raise TypeError(f"expected an array of binary, got {values.type}")
    width = np.int64 if pa.types.is_large_binary(values.type) else np.int32
    _, offsets, data = values.buffers()
    if offsets is None or len(values) == 0:
        return np.zeros(len(values) + 1, np.int64), np.empty(0, np.uint8)
    found = np.frombuffer(offsets, width, count=len(values) + 1, offset=values.offset * np.dtype(width).itemsize)
    return found.astype(np.int64), np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)


def _varint(payload: bytes | memoryview, at: int) -> tuple[int, int]:
    bits = shift = 0
    while True:
        if at >= len(payload):
            raise ValueError("the bytes end inside the path to the message")
        byte = payload[at]
        at += 1
        bits |= (byte & 0x7F) << shift
        if byte < 128:
            return (bits >> 1) ^ -(bits & 1), at
        shift += 7
        if shift > 28:  # five bytes hold every 32-bit number
            raise ValueError("a number in the path to the message has more than 32 bits")


def _path_bytes(path: tuple[int, ...]) -> bytes:
    if path == _FIRST:
        return b"\0"
    out = bytearray()
    for number in (len(path), *path):
        bits = number << 1
        while bits >= 128:
            out.append(bits & 0x7F | 128)
            bits >>= 7
        out.append(bits)
    return bytes(out)
