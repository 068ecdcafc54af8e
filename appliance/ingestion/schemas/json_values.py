"""JSON values: valid by the schema that they name, and as rows of the schema that the table has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jsonschema.validators
import msgspec
import pyarrow as pa

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes, json_schema
from appliance.ingestion.schemas.registry import RegisteredSchema

_PLAIN = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}


def columns_of(reader: RegisteredSchema) -> pa.Schema:
    """One column for each property of the object; what the schema leaves open has none.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    type, _ = _type(json_schema.parse(reader.text, reader.references), "$")
    if not pa.types.is_struct(type):
        raise ApplianceError(codes.INVALID, "a table's schema is an object with properties")
    return pa.schema(list(type))


def reading(reader: RegisteredSchema, writer: RegisteredSchema) -> Callable[[bytes | memoryview], Mapping[str, Any]]:
    """For `values.Reader`. A value that is valid by the writer's schema is so by a reader's that reads it."""
    schema = json_schema.parse(writer.text, writer.references)
    validator = jsonschema.validators.validator_for(schema)(schema)
    columns = columns_of(reader)

    def read(payload: bytes | memoryview) -> Mapping[str, Any]:
        try:
            value = msgspec.json.decode(payload)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:  # a text that is not UTF-8 is a ValueError
            raise ValueError(f"the bytes are no JSON: {error}") from error
        try:
            wrong = next(validator.iter_errors(value), None)
        except RecursionError as error:
            raise ValueError("the value is nested too deep") from error
        if wrong is not None:
            raise ValueError(f"not valid by schema {writer.id} at {wrong.json_path}: {wrong.message}")
        return {field.name: _fitted(value.get(field.name), field.type) for field in columns}

    return read


def _type(schema: Any, at: str) -> tuple[pa.DataType, bool]:
    """The type, and whether null is taken."""
    schema = schema if isinstance(schema, dict) else {}
    named = schema.get("type", ())
    types = {named} if isinstance(named, str) else set(named)
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if not types and values and all(isinstance(each, str | None) for each in values):
        types = {"string"} | ({"null"} if None in values else set())
    null = "null" in types
    types -= {"null"}
    if types == {"integer", "number"}:
        types = {"number"}
    if len(types) != 1:
        raise ApplianceError(codes.INVALID, f"{at}: there is no column for {sorted(types) or 'any type'}")
    (name,) = types
    if name == "array":
        item, null_item = _type(schema.get("items"), f"{at}[]")
        return pa.list_(pa.field("item", item, null_item)), null
    if name == "object":
        required = set(schema.get("required", ()))
        fields = []
        for key, part in schema.get("properties", {}).items():
            type, null_part = _type(part, f"{at}.{key}")
            fields.append(pa.field(key, type, null_part or key not in required))
        if not fields:
            raise ApplianceError(codes.INVALID, f"{at}: there is no column for an object without properties")
        return pa.struct(fields), null
    return _PLAIN[name], null


def _fitted(value: Any, type: pa.DataType) -> Any:
    """As Arrow takes it: 1.0 is an integer in JSON, and 1 a number."""
    if value is None:
        return None
    if pa.types.is_list(type):
        return [_fitted(each, type.value_type) for each in value]
    if pa.types.is_struct(type):
        return {field.name: _fitted(value.get(field.name), field.type) for field in type}
    if pa.types.is_integer(type):
        return int(value)
    if pa.types.is_floating(type):
        try:
            return float(value)
        except OverflowError as error:
            raise ValueError("a number is beyond a double") from error
    return value
