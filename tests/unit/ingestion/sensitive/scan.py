"""Looks for planted texts in every file below a folder, in the forms that a leak would have."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

GZIP, ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"


def forms(text: str) -> set[bytes]:
    """The text as bytes: UTF-8, UTF-16 of both orders, hexadecimal, and base64 at each of the three offsets."""
    plain = text.encode()
    found = {plain, text.encode("utf-16-le"), text.encode("utf-16-be"), plain.hex().encode()}
    for skipped in range(3):
        encoded = base64.b64encode(bytes(skipped) + plain)
        # Without the characters that the bytes around it share.
        found.add(encoded[(0, 2, 3)[skipped] :][: 4 * (len(plain) // 3) - 4])
    return found


def contents(data: bytes) -> Iterator[bytes]:
    """The bytes, and what is packed in them."""
    yield data
    for magic, unpack in ((GZIP, gzip.decompress), (ZSTD, zstandard.ZstdDecompressor().decompress)):
        if data.startswith(magic):
            yield unpack(data)
    if data[:4] == b"PAR1":
        for batch in pq.ParquetFile(pa.BufferReader(data)).iter_batches():
            yield repr(batch.to_pylist()).encode()
    if data[:4] == b"Obj\x01":
        with contextlib.suppress(EOFError):  # a file cut short: what stands before
            for each in fastavro.reader(io.BytesIO(data)):
                yield repr(each).encode()
    if data[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda"):
        yield zlib.decompress(data)


def leaks(folder: Path, *texts: str) -> list[str]:
    """Files below `folder` that hold one of the texts; also those whose name does."""
    wanted = [form for text in texts for form in forms(text)]
    found = []
    for path in sorted(folder.rglob("*")):
        if any(text in path.name for text in texts):
            found.append(f"name of {path}")
        if path.is_file() and any(form in content for content in contents(path.read_bytes()) for form in wanted):
            found.append(str(path.relative_to(folder)))
    return found
