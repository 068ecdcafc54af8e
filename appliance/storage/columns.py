"""Fitting columns to a table: its order, its types, its nulls. Dictionary columns count as their values' type."""

from __future__ import annotations

import pyarrow as pa
from pyiceberg.schema import Schema


def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns as we write and read them: pyiceberg names the 64-bit forms of strings and lists."""
    return pa.schema([pa.field(field.name, _plain(field.type), field.nullable) for field in schema.as_arrow()])


def _plain(type: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(type):
        return pa.string()
    if pa.types.is_large_binary(type):
        return pa.binary()
    if pa.types.is_large_list(type):
        return pa.list_(_plain(type.value_type))
    if pa.types.is_struct(type):
        return pa.struct([pa.field(field.name, _plain(field.type), field.nullable) for field in type])
    return type


def fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema`, in its order and with its nullability; dictionary columns stay as they are.

    Raises:
        KeyError, TypeError: a column is missing, has another type, or holds a null where none may be.
    """
    fields = []
    for field in schema:
        column = rows.column(field.name)
        type = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not type.equals(field.type):
            raise TypeError(f"column {field.name} is {type}, expected {field.type}")
        if column.null_count and not field.nullable:
            raise TypeError(f"column {field.name} holds {column.null_count} nulls, expected none")
        fields.append(pa.field(field.name, column.type, field.nullable))
    return pa.Table.from_arrays([rows.column(field.name) for field in fields], schema=pa.schema(fields))
