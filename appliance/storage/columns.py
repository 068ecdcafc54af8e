"""Fitting columns to a table: its order, its types, its nulls. Dictionary columns count as their values' type.

A column may be narrower than the table's: a writer need not change when the table is widened (`storage.evolution`).

Also the tag of a sensitive column. It stands in the field's Iceberg documentation as ``sensitive: pii.card``, so that
every reader of the table sees it; ``sensitive: none (reason)`` says that somebody looked.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.schema import Schema
from pyiceberg.table import Table

_TAG = "sensitive: "


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
        if _is_narrower(type, field.type):
            column = column.cast(field.type)
        elif not type.equals(field.type):
            raise TypeError(f"column {field.name} is {type}, expected {field.type}")
        if column.null_count and not field.nullable:
            raise TypeError(f"column {field.name} holds {column.null_count} nulls, expected none")
        fields.append(pa.field(field.name, column.type, field.nullable))
    return pa.Table.from_arrays([rows.column(field.name) for field in fields], schema=pa.schema(fields))


def _is_narrower(type: pa.DataType, than: pa.DataType) -> bool:
    """Every value of `type` is one of `than`, and Iceberg widens the one to the other."""
    if pa.types.is_decimal128(type) and pa.types.is_decimal128(than):
        return bool(type.scale == than.scale and type.precision < than.precision)
    return (type, than) in ((pa.int32(), pa.int64()), (pa.float32(), pa.float64()))


def tagged(field: pa.Field, tag: str, reason: str = "") -> pa.Field:
    """The field with the documentation that carries its tag into a table."""
    return field.with_metadata({"doc": f"{_TAG}{tag} ({reason})" if reason else f"{_TAG}{tag}"})


def tags_of(table: Table) -> Mapping[str, tuple[str, str]]:
    """Column -> tag and reason, for the columns that have one."""
    found = {}
    for field in table.schema().fields:
        if field.doc and field.doc.startswith(_TAG):
            tag, _, reason = field.doc.removeprefix(_TAG).partition(" ")
            found[field.name] = (tag, reason[1:-1])
    return found


def set_tags(table: Table, schema: pa.Schema) -> bool:
    """Make the table's tags those of `schema`, for the columns that both have; False when another commit came first.

    A column that `schema` has no tag for loses its own only where it was ``none``: what is sealed in it stays so.
    """
    there = tags_of(table)
    changes = {}
    for field in schema:
        wanted = (field.metadata or {}).get(b"doc", b"").decode()
        if field.name in table.schema().column_names:
            now = table.schema().find_field(field.name).doc or ""
            keeps = not wanted and there.get(field.name, ("none", ""))[0] != "none"
            if wanted != now and not keeps:
                changes[field.name] = wanted
    if changes:
        try:
            with table.update_schema() as update:
                for name, doc in changes.items():
                    update.update_column(name, doc=doc)
        except CommitFailedException:
            return False
    return True
