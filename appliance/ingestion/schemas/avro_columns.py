"""Columns for Avro types, and values as Arrow takes them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import avro_schema, codes
from appliance.ingestion.schemas.registry import RegisteredSchema

_PLAIN = {
    **{"boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64(), "float": pa.float32(), "double": pa.float64()},
    **{"bytes": pa.binary(), "string": pa.string(), "enum": pa.string(), "null": pa.null()},
}
_INSTANT, _LOCAL, _CLOCK = pa.timestamp("us", "UTC"), pa.timestamp("us"), pa.time64("us")
_LOGICAL = {
    ("int", "date"): pa.date32(),
    **{("int", "time-millis"): _CLOCK, ("long", "time-micros"): _CLOCK},
    **{("long", f"timestamp-{unit}"): _INSTANT for unit in ("millis", "micros")},
    **{("long", f"local-timestamp-{unit}"): _LOCAL for unit in ("millis", "micros")},
}


def columns_of(reader: RegisteredSchema) -> pa.Schema:
    """One column for each field of the record.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    schema = avro_schema.parse(reader.text, reader.references)
    if schema.type != "record":
        raise ApplianceError(codes.INVALID, f"a table's schema is a record, got {schema.type}")
    return pa.schema([_field(each.name, each.type) for each in schema.fields])


def _field(name: str, schema: Any) -> pa.Field:
    null, schema = _or_null(schema)
    return pa.field(name, _type(schema), null or schema.type == "null")


def _or_null(schema: Any) -> tuple[bool, Any]:
    if schema.type != "union":
        return False, schema
    others = [each for each in schema.schemas if each.type != "null"]
    if len(others) != 1:
        raise ApplianceError(codes.INVALID, "there is no column for a union of more than null and one type")
    return len(others) < len(schema.schemas), others[0]


def _type(schema: Any) -> pa.DataType:
    meaning = avro_schema.logical_type(schema)
    if schema.type in ("record", "error"):
        return pa.struct([_field(each.name, each.type) for each in schema.fields])
    if schema.type == "array":
        return pa.list_(_field("item", schema.items))
    if schema.type == "map":
        return pa.map_(pa.string(), _field("value", schema.values))
    if meaning == "decimal":
        precision, scale = schema.props["precision"], schema.props.get("scale", 0)
        if precision > 38:
            raise ApplianceError(codes.INVALID, f"there is no column for a decimal of {precision} digits")
        return pa.decimal128(precision, scale)
    if meaning is not None and (schema.type, meaning) in _LOGICAL:
        return _LOGICAL[schema.type, meaning]
    if schema.type == "fixed":
        return pa.binary(schema.size)
    return _PLAIN[schema.type]


def converter(schema: Any) -> Callable[[Any], Any] | None:
    """What makes a value as Arrow takes it; None: it is so already. Milliseconds become microseconds.

    fastavro gives the default of bytes as the text that stands in the schema, a character a byte.
    """
    null, schema = _or_null(schema)
    made = _converter_of(schema)
    if made is None or not null:
        return made
    return lambda value: None if value is None else made(value)


def _converter_of(schema: Any) -> Callable[[Any], Any] | None:
    if avro_schema.logical_type(schema) in ("timestamp-millis", "local-timestamp-millis", "time-millis"):
        return lambda value: value * 1_000
    if schema.type in ("bytes", "fixed"):
        scale = schema.props.get("scale", 0) if avro_schema.logical_type(schema) == "decimal" else None
        return lambda value: _from_default(value, scale) if isinstance(value, str) else value
    if schema.type == "array":
        each = converter(schema.items)
        return None if each is None else lambda values: [each(value) for value in values]
    if schema.type == "map":
        of = converter(schema.values)
        return None if of is None else lambda values: {key: of(value) for key, value in values.items()}
    if schema.type in ("record", "error"):
        fields = {field.name: converter(field.type) for field in schema.fields}
        changed = {name: made for name, made in fields.items() if made is not None}
        return (lambda row: {**row, **{name: made(row[name]) for name, made in changed.items()}}) if changed else None
    return None


def _from_default(text: str, scale: int | None) -> bytes | Decimal:
    data = text.encode("latin-1")
    return data if scale is None else Decimal(int.from_bytes(data, "big", signed=True)).scaleb(-scale)
