"""A chunk: consecutive items of one source whose bytes lie in one raw object, decoded.

An item is what has a position: a file of a spool, or a record of a topic partition. A spool file is a chunk of its own
and may hold many reading batches; records of a partition come many to a chunk, one reading batch each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from appliance.ingestion.decode import Decoded, Fault

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Attributes:
    digest, object_size: of the raw object, its size in bytes.
    positions, sizes, arrived_us: per item: its position (ascending), its bytes, when it arrived.
    names: per item, what it was called; empty for records of a topic.
    rows: `reading.ARROW` in order of item; ``record`` counts the records within the item.
    row_item: per row the number of its item in this chunk.
    headers: `reading.HEADERS` in order of item.
    header_item: per header the number of its item.
    faults: what gave no rows, each with the number of its item.
    """

    digest: str
    object_size: int
    positions: Longs
    sizes: Longs
    arrived_us: Longs
    names: Sequence[str]
    rows: pa.Table
    row_item: Longs
    headers: pa.Table
    header_item: Longs
    faults: Sequence[tuple[int, Fault]]

    @property
    def items(self) -> int:
        return len(self.positions)


def chunk_of_file(
    decoded: Decoded,
    *,
    digest: str,
    position: int,
    size: int = 0,
    object_size: int = 0,
    arrived_us: int = 0,
    name: str = "",
) -> Chunk:
    """The one item that a spool file is."""
    return Chunk(
        digest=digest,
        object_size=object_size,
        positions=np.array([position], np.int64),
        sizes=np.array([size], np.int64),
        arrived_us=np.array([arrived_us], np.int64),
        names=(name,),
        rows=decoded.rows,
        row_item=np.zeros(decoded.rows.num_rows, np.int64),
        headers=decoded.headers,
        header_item=np.zeros(decoded.headers.num_rows, np.int64),
        faults=tuple((0, fault) for fault in decoded.faults),
    )


def chunk_of_values(
    decoded: Decoded,
    *,
    digest: str,
    object_size: int,
    offsets: Longs,
    sizes: Longs,
    arrived_us: Longs,
    letters: Mapping[int, Sequence[Fault]],
) -> Chunk:
    """One item for each value, which `decoded` counts as records; `letters` are the faults of items beside it."""
    faults = [
        *((place, replace(each, record=0)) for each in decoded.faults if (place := each.record or 0) not in letters),
        *((place, each) for place, found in letters.items() for each in found),
    ]
    row_item = decoded.rows["record"].to_numpy().astype(np.int64)
    first = pa.array(np.zeros(decoded.rows.num_rows, np.int32))
    return Chunk(
        digest=digest,
        object_size=object_size,
        positions=offsets,
        sizes=sizes,
        arrived_us=arrived_us,
        names=("",) * len(offsets),
        rows=decoded.rows.set_column(decoded.rows.schema.get_field_index("record"), "record", first),
        row_item=row_item,
        headers=decoded.headers,
        header_item=decoded.headers["record"].to_numpy().astype(np.int64),
        faults=tuple(sorted(faults, key=lambda each: each[0])),
    )


def join(parts: Sequence[pa.Table]) -> pa.Table:
    """Tables of several chunks side by side, with one dictionary for each column of words."""
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def per_row(chunks: Sequence[Chunk], name: str) -> Longs:
    """``positions`` or ``arrived_us`` of the item of each row of all chunks."""
    return np.concatenate([getattr(each, name)[each.row_item] for each in chunks])


def per_header(chunks: Sequence[Chunk], name: str) -> Longs:
    """``positions`` or ``arrived_us`` of the item of each header of all chunks."""
    return np.concatenate([getattr(each, name)[each.header_item] for each in chunks])
