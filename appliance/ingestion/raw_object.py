"""A raw object, whatever source it came from, decoded again: for a reparse, and for who verifies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from appliance.ingestion import segment
from appliance.ingestion.chunk import Chunk, chunk_of_file, chunk_of_values
from appliance.ingestion.decode import Limits, decode


def chunks_of(data: bytes, limits: Limits, *, digest: str, positions: Sequence[int]) -> Iterator[Chunk]:
    """The items at `positions`: one chunk each for a spool file, one with all its records for a segment.

    A spool file does not know its position: two claimed files may have the same bytes.
    """
    if data.startswith(segment.MAGIC):
        yield chunk_of_segment(segment.unpack(data), digest=digest, object_size=len(data))
        return
    decoded = decode(data, limits)
    for position in positions:
        yield chunk_of_file(decoded, digest=digest, position=position, size=len(data))


def chunk_of_segment(found: segment.Segment, *, digest: str, object_size: int) -> Chunk:
    """All records of a segment as items."""
    records = found.records
    return chunk_of_values(
        segment.decode_segment(found),
        digest=digest,
        object_size=object_size,
        offsets=records["offset"].to_numpy(),
        sizes=segment.value_sizes(records),
        arrived_us=records["arrived_at"].cast("int64").to_numpy().astype(np.int64),
    )
