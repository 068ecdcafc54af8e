"""Values by registry id as rows of the schema that a table has, whatever version they were written with.

Rules
1. The columns are those of the reader's schema. What the writer has more is left out; what it lacks is the default, or
   null.
2. A writer that the reader cannot read, by the same check as at registration, is a fault of each of its values.
3. A value that cannot be read, or that its column cannot hold, is a fault of its own and costs no other.
4. Times become microseconds in UTC; whole numbers beyond 64 bits have no column.

Reading batches have a way of their own (`reading_batches`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from appliance.base.errors import ApplianceError
from appliance.ingestion.decode import DECODE, SCHEMA, Fault
from appliance.ingestion.schemas import compatibility
from appliance.ingestion.schemas.registry import RegisteredSchema

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How the values of one writer become rows.

    Attributes:
        columns: of the rows.
        read: the row of a payload; raises ValueError when the bytes are no value.
    """

    columns: pa.Schema
    read: Callable[[bytes | memoryview], Row]


@dataclass(frozen=True, kw_only=True)
class DecodedValues:
    """Rows, the ordinal of the value of each row (int32, shape (n_rows,)), and faults by ordinal."""

    rows: pa.Table
    ordinals: npt.NDArray[np.int32]
    faults: tuple[Fault, ...]


def columns_of(reader: RegisteredSchema) -> pa.Schema:
    """The columns of a schema.

    Raises:
        ApplianceError: APL-SCHEMA-001, it has a type for which there is no column.
    """
    return _reader(reader, reader).columns


def decode_values(
    payloads: Sequence[bytes | memoryview], *, writer: RegisteredSchema, reader: RegisteredSchema
) -> DecodedValues:
    """The rows of `payloads`, values without their frames (of Protobuf with the path to the message), all of `writer`.

    Every value gives a row or a fault.

    Raises:
        ApplianceError: APL-SCHEMA-001, the reader has a type for which there is no column.
    """
    columns = columns_of(reader)
    refusal = _refusal(reader, writer)
    if refusal is not None:
        faults = [Fault(code=SCHEMA, record=ordinal, detail=refusal) for ordinal in range(len(payloads))]
        return DecodedValues(rows=columns.empty_table(), ordinals=np.empty(0, np.int32), faults=tuple(faults))
    read = _reader(reader, writer).read
    found: list[tuple[int, Row]] = []
    faults = []
    for ordinal, payload in enumerate(payloads):
        try:
            found.append((ordinal, read(payload)))
        except ValueError as error:
            faults.append(Fault(code=DECODE, record=ordinal, detail=str(error)[:300]))
    parts = list(_tables(found, columns, faults))
    return DecodedValues(
        rows=pa.concat_tables([part for _, part in parts]) if parts else columns.empty_table(),
        ordinals=np.array([ordinal for ordinals, _ in parts for ordinal in ordinals], np.int32),
        faults=tuple(sorted(faults, key=lambda fault: fault.record or 0)),
    )


@functools.lru_cache(maxsize=256)
def _refusal(reader: RegisteredSchema, writer: RegisteredSchema) -> str | None:
    """Why no value of the writer can be read."""
    if reader.kind != writer.kind:
        return f"schema {writer.id} is {writer.kind}, not {reader.kind}"
    if reader.kind == "AVRO":
        from appliance.ingestion.schemas import avro_values

        how = avro_values.resolution(reader, writer)
        return how if isinstance(how, str) else None
    try:
        reasons = compatibility.form_of(reader.kind).read_by(reader, writer)
    except ApplianceError as error:
        return f"schema {writer.id}: {error.message}"
    return f"schema {writer.id} cannot be read: {'; '.join(reasons)}" if reasons else None


@functools.lru_cache(maxsize=256)
def _reader(reader: RegisteredSchema, writer: RegisteredSchema) -> Reader:
    if reader.kind == "AVRO":
        from appliance.ingestion.schemas import avro_columns, avro_values

        return Reader(columns=avro_columns.columns_of(reader), read=avro_values.reading(reader, writer))
    if reader.kind == "JSON":
        from appliance.ingestion.schemas import json_values

        return Reader(columns=json_values.columns_of(reader), read=json_values.reading(reader, writer))
    from appliance.ingestion.schemas import protobuf_values

    return Reader(columns=protobuf_values.columns_of(reader), read=protobuf_values.reading(reader, writer))


def _tables(
    rows: Sequence[tuple[int, Row]], columns: pa.Schema, faults: list[Fault]
) -> Iterator[tuple[list[int], pa.Table]]:
    """Tables of the rows in order; those that a column cannot hold are found by halving and become faults."""
    if not rows:
        return
    try:
        yield [ordinal for ordinal, _ in rows], pa.Table.from_pylist([row for _, row in rows], columns)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        if len(rows) == 1:
            faults.append(Fault(code=DECODE, record=rows[0][0], detail=f"no column holds the value: {error}"[:300]))
            return
        half = len(rows) // 2
        yield from _tables(rows[:half], columns, faults)
        yield from _tables(rows[half:], columns, faults)
