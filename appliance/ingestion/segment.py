"""The raw object of a topic: consecutive records of one partition as they came, in a Parquet file.

Rules
1. A segment reads without a broker and without a registry: it holds keys, values, headers, offsets and times of the
   records, and every schema that its values were written with.
2. A value is a reading batch in Confluent's frame (`schemas.frame`). What is none is a fault of that record alone.
3. Same bytes, same result: decoding asks nobody.
4. A letter, a record that gave no reading batch, is sealed (`ingestion.letter_sealing`): its key, value and headers are
   null, and the column ``letter`` holds what was found, the size, and the sealed bytes. A segment without letters has
   no such column. A file of a spool that gave no batch is kept in the same form, as a segment of one record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
FAULT = pa.struct([("code", pa.string()), ("record", pa.int32()), ("detail", pa.string())])
LETTER = pa.field(
    "letter", pa.struct([("faults", pa.list_(FAULT)), ("size_bytes", pa.int64()), ("sealed", pa.binary())])
)
"""The column of letters; null for every other record."""


@dataclass(frozen=True, kw_only=True)
class SealedLetter:
    """What a segment holds in the place of a letter.

    Attributes:
        faults: what was found; `record` counts within the item.
        size_bytes: of the value, or of the file.
        sealed: by `ingestion.letter_sealing`; None where the letter was purged before these bytes came again.
    """

    faults: tuple[Fault, ...]
    size_bytes: int
    sealed: bytes | None


@dataclass(frozen=True, kw_only=True)
class Segment:
    """`records` are `RECORDS`, by offset; `schemas` those of their values, by id; `letters` by place in `records`."""

    records: pa.Table
    schemas: Mapping[int, RegisteredSchema]
    letters: Mapping[int, SealedLetter] = field(default_factory=dict)


def pack(segment: Segment) -> bytes:
    """The bytes of the raw object."""
    written = msgspec.json.encode([segment.schemas[id] for id in sorted(segment.schemas)])
    table = segment.records
    if segment.letters:
        table = table.append_column(LETTER, _letter_column(segment))
    table = table.replace_schema_metadata({SCHEMAS: written})
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
    if written is None or table.schema.names not in (RECORDS.names, [*RECORDS.names, LETTER.name]):
        raise ValueError("not a segment of a topic")
    schemas = msgspec.json.decode(written, type=list[RegisteredSchema])
    return Segment(
        records=table.select(RECORDS.names).replace_schema_metadata(None).cast(RECORDS),
        schemas={each.id: each for each in schemas},
        letters=_letters_of(table) if LETTER.name in table.schema.names else {},
    )


def decode_segment(segment: Segment) -> Decoded:
    """Rows, headers and faults; ``record`` is the place of the value in the segment. Raises nothing.

    Sealed letters give nothing here: their faults stand in `segment.letters`.
    """
    frames = read_frames(segment.records["value"].combine_chunks())
    faults = [each for each in frames.faults if each.record not in segment.letters]
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


def value_sizes(segment: Segment) -> npt.NDArray[np.int64]:
    """Bytes of each value; 0 where there is none."""
    lengths = pc.binary_length(segment.records["value"])
    sizes: npt.NDArray[np.int64] = pc.fill_null(lengths, 0).to_numpy().astype(np.int64)
    for place, letter in segment.letters.items():
        sizes[place] = letter.size_bytes
    return sizes


def _letter_column(segment: Segment) -> pa.Array:
    written: list[dict[str, object] | None] = [None] * segment.records.num_rows
    for place, letter in segment.letters.items():
        faults = [{"code": each.code, "record": each.record, "detail": each.detail} for each in letter.faults]
        written[place] = {"faults": faults, "size_bytes": letter.size_bytes, "sealed": letter.sealed}
    return pa.array(written, LETTER.type)


def _letters_of(table: pa.Table) -> dict[int, SealedLetter]:
    """Raises ValueError: the column is not `LETTER`."""
    column = table[LETTER.name].combine_chunks()
    if column.type != LETTER.type:
        raise ValueError(f"not a segment of a topic: {LETTER.name} is {column.type}")
    return {
        place: SealedLetter(
            faults=tuple(Fault(**each) for each in found["faults"]),
            size_bytes=found["size_bytes"],
            sealed=found["sealed"],
        )
        for place in np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)).tolist()
        if (found := column[place].as_py())
    }


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
