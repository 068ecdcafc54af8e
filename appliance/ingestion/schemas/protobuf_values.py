"""Protobuf values as rows of the message that the table has.

Rules
1. The path before a message leads to its type within the writer's file; it must be the reader's type, which is the
   first message of the reader's file.
2. What a value does not hold is the type's default where proto3 tells no difference, else null.
3. A ``google.protobuf.Timestamp`` is an instant; an enum is its name, or its number where the name is unknown;
   ``uint64`` and ``fixed64`` are decimals of 20 digits, since no column of a table holds them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes, protobuf_schema
from appliance.ingestion.schemas.frame import read_path
from appliance.ingestion.schemas.registry import RegisteredSchema

_TIMESTAMP = "google.protobuf.Timestamp"
_PLAIN = {
    **dict.fromkeys(("int32", "sint32", "sfixed32"), pa.int32()),
    **dict.fromkeys(("int64", "sint64", "sfixed64", "uint32", "fixed32"), pa.int64()),
    **dict.fromkeys(("uint64", "fixed64"), pa.decimal128(20, 0)),
    **{"float": pa.float32(), "double": pa.float64(), "bool": pa.bool_(), "string": pa.string(), "bytes": pa.binary()},
    "enum": pa.string(),
}


def columns_of(reader: RegisteredSchema) -> pa.Schema:
    """One column for each field of the first message.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    return pa.schema(list(_struct(_first(reader), ())))


def reading(reader: RegisteredSchema, writer: RegisteredSchema) -> Callable[[bytes | memoryview], Mapping[str, Any]]:
    """For `values.Reader`."""
    descriptor = _first(reader)
    parse = message_factory.GetMessageClass(descriptor).FromString
    written = protobuf_schema.main_file(writer.text, writer.references)

    def read(payload: bytes | memoryview) -> Mapping[str, Any]:
        path, start = read_path(payload)
        name = _name_at(written, path)
        if name != descriptor.full_name:
            raise ValueError(f"the value is a {name}, expected a {descriptor.full_name}")
        try:
            message = parse(bytes(payload[start:]))
        except DecodeError as error:
            raise ValueError(f"the bytes are no {name}: {error}") from error
        return _row(message)

    return read


def _first(schema: RegisteredSchema) -> Any:
    """The descriptor of the first message."""
    file = protobuf_schema.main_file(schema.text, schema.references)
    if not file.message_type:
        raise ApplianceError(codes.INVALID, "no Protobuf schema: it declares no message")
    pool = protobuf_schema.pool_of(schema.text, schema.references)
    return pool.FindMessageTypeByName(_name_at(file, (0,)))


def _name_at(file: Any, path: tuple[int, ...]) -> str:
    """Full name of the message that the path leads to. Raises ValueError."""
    names, messages = [file.package] if file.package else [], file.message_type
    for step in path:
        if step >= len(messages):
            raise ValueError(f"the path {list(path)} leads to no message")
        names.append(messages[step].name)
        messages = messages[step].nested_type
    return ".".join(names)


def _struct(message: Any, within: tuple[str, ...]) -> pa.DataType:
    if message.full_name in within:
        raise ApplianceError(codes.INVALID, f"{message.full_name} holds itself; there is no column for it")
    if not message.fields:
        raise ApplianceError(codes.INVALID, f"{message.full_name} has no fields; there is no column for it")
    inside = (*within, message.full_name)
    return pa.struct([pa.field(field.name, _type(field, inside), _may_be_null(field)) for field in message.fields])


def _type(field: Any, within: tuple[str, ...]) -> pa.DataType:
    if _is_map(field):
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        return pa.map_(_one(key, within), _one(value, within))
    one = _one(field, within)
    return pa.list_(pa.field("item", one, False)) if field.is_repeated else one


def _one(field: Any, within: tuple[str, ...]) -> pa.DataType:
    if field.message_type is None:
        return _PLAIN[_TYPE_NAMES[field.type]]
    if field.message_type.full_name == _TIMESTAMP:
        return pa.timestamp("us", "UTC")
    return _struct(field.message_type, within)


def _may_be_null(field: Any) -> bool:
    return not field.is_repeated and field.has_presence and not field.is_required


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _row(message: Any) -> Mapping[str, Any]:
    row: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if _is_map(field):
            of = field.message_type.fields_by_name["value"]
            row[field.name] = [(key, _value(value[key], of)) for key in sorted(value)]
        elif field.is_repeated:
            row[field.name] = [_value(each, field) for each in value]
        elif _may_be_null(field) and not message.HasField(field.name):
            row[field.name] = None
        else:
            row[field.name] = _value(value, field)
    return row


def _value(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == _TIMESTAMP:
            return value.seconds * 1_000_000 + value.nanos // 1_000
        return _row(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    return value


_TYPE_NAMES = {number: name.removeprefix("TYPE_").lower() for name, number in protobuf_schema.FIELD.Type.items()}
