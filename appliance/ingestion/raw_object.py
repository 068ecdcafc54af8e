"""Raw objects, whatever source they came from: kept, and decoded again for a reparse and for who verifies.

Rules
1. What comes in is decoded once, before it is kept: letters are sealed then (`ingestion.letter_sealing`).
2. A raw object decoded again gives the chunk that it gave when it was kept, without a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from appliance.ingestion import segment
from appliance.ingestion.chunk import Chunk, chunk_of_file, chunk_of_values
from appliance.ingestion.decode import Decoded, Limits, decode
from appliance.ingestion.letter_sealing import LetterSeal, Unsealed, faults_of_letters
from appliance.storage.objects import ObjectStore


def keep_segments(objects: ObjectStore, seal: LetterSeal, given: Sequence[tuple[str, segment.Segment]]) -> list[Chunk]:
    """Put the records of one or more sources into the object store, with one request for the keys of all letters.

    Raises:
        ApplianceError: as `LetterSeal.seal`, nothing is put then; those of the object store.
    """
    decoded = [segment.decode_segment(each) for _, each in given]
    sealed = seal.seal(
        [
            Unsealed(source=source, segment=each, faults=faults_of_letters(found))
            for (source, each), found in zip(given, decoded, strict=True)
        ]
    )
    chunks = []
    for each, found in zip(sealed, decoded, strict=True):
        data = segment.pack(each)
        chunks.append(_chunk(each, found, digest=objects.put(data), object_size=len(data)))
    return chunks


def keep_file(
    objects: ObjectStore,
    seal: LetterSeal,
    data: bytes,
    decoded: Decoded,
    *,
    source: str,
    position: int,
    arrived_us: int,
) -> tuple[str, int]:
    """Put a file of a spool into the object store; gives digest and size of the object.

    Raises:
        ApplianceError: as `keep_segments`.
    """
    if decoded.faults and not decoded.headers.num_rows:
        (sealed,) = seal.seal(
            [Unsealed(source=source, segment=_segment_of_file(data, position, arrived_us), faults={0: decoded.faults})]
        )
        if sealed.letters:
            data = segment.pack(sealed)
    return objects.put(data), len(data)


def chunks_of(data: bytes, limits: Limits, *, digest: str, positions: Sequence[int]) -> Iterator[Chunk]:
    """The items at `positions`: one chunk each for a spool file, one with all its records for a segment.

    A spool file does not know its position: two claimed files may have the same bytes.
    """
    if data.startswith(segment.MAGIC):
        found = segment.unpack(data)
        yield _chunk(found, segment.decode_segment(found), digest=digest, object_size=len(data))
        return
    decoded = decode(data, limits)
    for position in positions:
        yield chunk_of_file(decoded, digest=digest, position=position, size=len(data), object_size=len(data))


def _chunk(found: segment.Segment, decoded: Decoded, *, digest: str, object_size: int) -> Chunk:
    """All records of a segment as items."""
    records = found.records
    return chunk_of_values(
        decoded,
        digest=digest,
        object_size=object_size,
        offsets=records["offset"].to_numpy(),
        sizes=segment.value_sizes(found),
        arrived_us=records["arrived_at"].cast("int64").to_numpy().astype(np.int64),
        letters={place: each.faults for place, each in found.letters.items()},
    )


def _segment_of_file(data: bytes, position: int, arrived_us: int) -> segment.Segment:
    values = {"offset": position, "arrived_at": arrived_us, "key": None, "value": data, "headers": None}
    columns = [pa.array([values[each.name]], each.type) for each in segment.RECORDS]
    return segment.Segment(records=pa.Table.from_arrays(columns, schema=segment.RECORDS), schemas={})
