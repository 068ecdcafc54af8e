"""The raw object of a topic: consecutive records of one partition as they came, in a Parquet file.

Rules
1. A segment reads without a broker and without a registry: it holds keys, values, headers, offsets and times of the
   records, and every schema that its values were written with.
2. A value is a reading batch in Confluent's frame (`schemas.frame`). What is none is a fault of that record alone.
3. Same bytes, same result: decoding asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appliance.ingestion import reading
from appliance.ingestion.decode import SCHEMA, Decoded, Fault, empty_rows
from appliance.ingestion.schemas.frame import read_frames
from appliance.ingestion.schemas.reading_batches import decode_reading_batches
from appliance.ingestion.schemas.registry import RegisteredSchema

MAGIC = b"PAR1"
SCHEMAS = b"appliance.schemas"  # metadata key: JSON list of `RegisteredSchema`, by id
RECORDS = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("arrived_at", pa.timestamp("us", tz="UTC"), nullable=False),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
    ]
)
"""One row per record. ``arrived_at`` is when the broker appended it."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """`records` are `RECORDS`, by offset; `schemas` are those of their values, by id."""

    records: pa.Table
    schemas: Mapping[int, RegisteredSchema]


def pack(segment: Segment) -> bytes:
    """The bytes of the raw object."""
    written = msgspec.json.encode([segment.schemas[id] for id in sorted(segment.schemas)])
    table = segment.records.replace_schema_metadata({SCHEMAS: written})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", compression_level=1, use_dictionary=["key"])
    return bytes(buffer.getvalue())


def unpack(data: bytes) -> Segment:
    """Read a raw object, which its digest has vouched for.

    Raises:
        ValueError: it is not a segment.
    """
    table = pq.read_table(pa.BufferReader(data))
    written = (table.schema.metadata or {}).get(SCHEMAS)
    if written is None or table.schema.names != RECORDS.names:
        raise ValueError("not a segment of a topic")
    schemas = msgspec.json.decode(written, type=list[RegisteredSchema])
    records = table.replace_schema_metadata(None).cast(RECORDS)
    return Segment(records=records, schemas={each.id: each for each in schemas})


def decode_segment(segment: Segment) -> Decoded:
    """Rows, headers and faults; ``record`` is the place of the value in the segment. Raises nothing."""
    frames = read_frames(segment.records["value"].combine_chunks())
    faults: list[Fault] = list(frames.faults)
    rows, headers = [empty_rows()], [reading.HEADERS.empty_table()]
    for id in np.unique(frames.ids[frames.ids > 0]).tolist():
        places = np.flatnonzero(frames.ids == id)
        writer = segment.schemas.get(id)
        if writer is None:
            detail = f"schema {id} is unknown and was refused"
            faults += [Fault(code=SCHEMA, record=place, detail=detail) for place in places.tolist()]
            continue
        found = decode_reading_batches(frames.payloads(places), writer)
        rows.append(_placed(found.rows, places))
        headers.append(_placed(found.headers, places))
        faults += [
            Fault(code=each.code, record=int(places[each.record or 0]), detail=each.detail) for each in found.faults
        ]
    return Decoded(
        rows=_in_order(rows),
        headers=_in_order(headers),
        faults=tuple(sorted(faults, key=lambda fault: fault.record or 0)),
    )


def value_sizes(records: pa.Table) -> npt.NDArray[np.int64]:
    """Bytes of each value; 0 where there is none."""
    sizes: npt.NDArray[np.int64] = pc.fill_null(pc.binary_length(records["value"]), 0).to_numpy().astype(np.int64)
    return sizes


def _placed(table: pa.Table, places: npt.NDArray[np.int64]) -> pa.Table:
    """With the places in the segment for the ordinals among the values of one schema."""
    column = table.schema.get_field_index("record")
    numbers = places[table["record"].to_numpy()].astype(np.int32)
    return table.set_column(column, table.schema.field(column), pa.array(numbers))


def _in_order(tables: list[pa.Table]) -> pa.Table:
    """By place; within one as they come. Values of one schema, by far the usual case, are in order already."""
    filled = [each for each in tables if each.num_rows] or tables[:1]
    if len(filled) == 1:
        return filled[0]
    table = pa.concat_tables(filled).unify_dictionaries().combine_chunks()
    return table.take(pa.array(np.argsort(table["record"].to_numpy(), kind="stable")))
