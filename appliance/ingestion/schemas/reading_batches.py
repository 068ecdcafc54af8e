"""Reading batches by registry id: values of any schema that the wire form can read, as the tables that it gives.

Rules
1. Values whose schema is the wire form itself, by canonical form, go straight to the compiled decoder.
2. Values of an evolved schema are resolved to the wire form first and take the same way then: the columns, the limits
   and the words of faults are those of `ingestion.decode`.
3. Times on the wire are microseconds. A schema that says so (``timestamp-micros``) is read; one that says another unit
   is refused, though its bytes could be read.
4. A fault names the ordinal of its value. One value costs no other.
"""

from __future__ import annotations

import functools
import io
import json
import secrets
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute

from appliance.ingestion import avro_kernel, decode, reading
from appliance.ingestion.decode import DECODE, SCHEMA, SIZE, Decoded, Fault, Limits
from appliance.ingestion.schemas import avro_values
from appliance.ingestion.schemas.registry import RegisteredSchema

_WIRE = RegisteredSchema(id=0, kind="AVRO", text=reading.SCHEMA_JSON)
_TRAILING = avro_kernel.REASONS[avro_kernel.TRAILING]
_OWN_LIMITS = Limits(max_file_bytes=1 << 62)  # what a value may weigh is the broker's business, and a block's limit


def decode_reading_batches(values: Sequence[bytes | memoryview], writer: RegisteredSchema) -> Decoded:
    """Rows, records and faults of `values`, payloads without their frames, all written with `writer`.

    ``record`` in the tables and in the faults is the ordinal of the value; every value gives a record or a fault.
    Raises nothing: what is wrong is in `faults`.
    """
    how = _resolution(writer)
    if isinstance(how, str):
        faults = tuple(Fault(code=SCHEMA, record=ordinal, detail=how) for ordinal in range(len(values)))
        return Decoded(rows=decode.empty_rows(), headers=reading.HEADERS.empty_table(), faults=faults)
    faults_found: list[Fault] = []
    kept: list[tuple[int, bytes | memoryview]] = []
    if how.equal:
        kept = list(enumerate(values))
    else:
        for ordinal, value in avro_values.values_of(values, how, faults_found):
            out = io.BytesIO()
            fastavro.schemaless_writer(out, how.reader, value)
            kept.append((ordinal, out.getvalue()))
    return _decoded(kept, faults_found)


@functools.lru_cache(maxsize=256)
def _resolution(writer: RegisteredSchema) -> avro_values.Resolution | str:
    if writer.kind != "AVRO":
        return f"schema {writer.id} is {writer.kind}, a reading batch is AVRO"
    try:
        text = json.dumps(_without_micros(json.loads(writer.text)))
    except (ValueError, RecursionError) as error:
        return f"schema {writer.id}: no Avro schema: {error}"
    bare = RegisteredSchema(id=writer.id, kind="AVRO", text=text, references=writer.references)
    return avro_values.resolution(_WIRE, bare)


def _without_micros(schema: Any) -> Any:
    """Without the logical type that the wire form's times have anyway."""
    if isinstance(schema, list):
        return [_without_micros(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    micros = schema.get("type") == "long" and schema.get("logicalType") == "timestamp-micros"
    return {
        key: _without_micros(value) if key in ("type", "items", "values", "fields") else value
        for key, value in schema.items()
        if not (micros and key == "logicalType")
    }


def _decoded(kept: Sequence[tuple[int, bytes | memoryview]], faults: list[Fault]) -> Decoded:
    """One container file of one block a value, so that `ingestion.decode` holds for values as it does for files."""
    sync = secrets.token_bytes(decode.SYNC_BYTES)  # nobody who wrote a value knows it
    parts: list[bytes | memoryview] = [_header(sync)]
    ordinals = []
    for ordinal, value in kept:
        if len(value) < avro_kernel.MIN_RECORD_BYTES:
            detail = f"a value of {len(value)} bytes, a record takes {avro_kernel.MIN_RECORD_BYTES} or more"
            faults.append(Fault(code=DECODE, record=ordinal, detail=detail))
            continue
        if len(value) > decode.MAX_BLOCK_BYTES:
            detail = f"a value of {len(value)} bytes, at most {decode.MAX_BLOCK_BYTES} are allowed"
            faults.append(Fault(code=SIZE, record=ordinal, detail=detail))
            continue
        parts += (b"\x02", _long(len(value)), value, sync)
        ordinals.append(ordinal)
    found = decode.decode(b"".join(parts), _OWN_LIMITS)
    trailing = set()
    for each in found.faults:
        record = each.record or 0
        if each.detail.startswith(_TRAILING):  # it names the record after the one that was read
            record -= 1
            trailing.add(record)
        faults.append(Fault(code=each.code, record=ordinals[record], detail=each.detail))
    return Decoded(
        rows=_renumbered(found.rows, trailing, ordinals),
        headers=_headers(found, trailing, ordinals),
        faults=tuple(sorted(faults, key=lambda fault: fault.record or 0)),
    )


def _headers(found: Decoded, trailing: set[int], ordinals: Sequence[int]) -> pa.Table:
    table = _renumbered(found.headers, trailing, ordinals)
    if trailing:  # rows before have gone
        counts = table["readings"].to_numpy().astype(np.int64)
        column = table.schema.get_field_index("first_row")
        first = pa.array(np.cumsum(counts) - counts)
        table = table.set_column(column, table.schema.field(column), first)
    return table


def _renumbered(table: pa.Table, trailing: set[int], ordinals: Sequence[int]) -> pa.Table:
    """Records named by the ordinals of their values, without those after which bytes stand."""
    if trailing:
        table = table.filter(
            pa.compute.invert(pa.compute.is_in(table["record"], pa.array(sorted(trailing), pa.int32())))
        )
    if not table.num_rows:
        return table
    column = table.schema.get_field_index("record")
    numbers = np.array(ordinals, np.int32)[table["record"].to_numpy()]
    return table.set_column(column, table.schema.field(column), pa.array(numbers))


def _header(sync: bytes) -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, reading.SCHEMA, [], codec="null", sync_marker=sync)
    return file.getvalue()


def _long(number: int) -> bytes:
    """A zig-zag varint."""
    bits, out = number << 1, bytearray()
    while bits >= 128:
        out.append(bits & 0x7F | 128)
        bits >>= 7
    out.append(bits)
    return bytes(out)
