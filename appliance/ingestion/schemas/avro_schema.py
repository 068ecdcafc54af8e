"""Avro schemas (Avro 1.12): parsing, and whether one can read data of another.

Rules of `read_by`
1. Apache's own checker decides by the specification's "Schema Resolution": fields by name, then by the reader's
   aliases; a field that the writer lacks needs a default; int to long, float, double and so on are widened.
2. Beyond it, a logical type must stay as it is (unit of a time, scale of a decimal): the bytes would still be read,
   and mean something else.
3. The default of a field is a value of its type, and one of a record names all its fields; the library checks neither.
4. A schema that holds itself, and an array or map of nothing, are refused: a few hostile bytes of such data could claim
   any depth or any number of items.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import avro.errors
import avro.schema
import fastavro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes
from appliance.ingestion.schemas.registry import Reference, RegisteredSchema

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # the library checks those of types only
MAX_DEPTH = 64  # of types within types


def normal(text: str, references: Sequence[Reference] = ()) -> str:
    """The text without white space, its keys in order.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    parse(text, references)
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def parse(text: str, references: Sequence[Reference] = ()) -> avro.schema.Schema:
    """Raises ApplianceError APL-SCHEMA-001."""
    names = avro.schema.Names(validate_names=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", avro.errors.IgnoredLogicalType)  # newer ones count in `logical_type`
            for each in references:
                avro.schema.make_avsc_object(json.loads(each.text), names)
            schema = avro.schema.make_avsc_object(json.loads(text), names)
        _bounded(schema, ())
        known: dict[str, Any] = {}
        for each in references:
            fastavro.schema.parse_schema(json.loads(each.text), named_schemas=known)
        fastavro.schema.parse_schema(json.loads(text), named_schemas=known)  # by which values will be read
    except ApplianceError:
        raise
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
        raise ApplianceError(codes.INVALID, f"no Avro schema: {error}") from error
    except (avro.errors.AvroException, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ApplianceError(codes.INVALID, f"no Avro schema: {error or type(error).__name__}") from error
    return schema


def read_by(reader: RegisteredSchema, writer: RegisteredSchema) -> tuple[str, ...]:
    """Reasons why `reader` cannot read all data of `writer`; empty: it can.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    ours, theirs = parse(reader.text, reader.references), parse(writer.text, writer.references)
    found = ReaderWriterCompatibilityChecker().get_compatibility(ours, theirs)
    if found.compatibility is not SchemaCompatibilityType.compatible:
        kinds = sorted({each.value for each in found.incompatibilities})
        messages = "; ".join(sorted(map(str, found.messages)))
        return (f"{', '.join(kinds)} at {', '.join(sorted(found.locations))}: {messages}",)
    return tuple(_changed_meaning(ours, theirs, "/"))


def _parts(schema: Any) -> tuple[Any, ...]:
    """Types within a type."""
    if schema.type in ("record", "error"):
        return tuple(field.type for field in schema.fields)
    if schema.type == "array":
        return (schema.items,)
    if schema.type == "map":
        return (schema.values,)
    return tuple(schema.schemas) if schema.type in ("union", "error_union") else ()


def _bounded(schema: Any, within: tuple[Any, ...]) -> None:
    if len(within) > MAX_DEPTH:
        raise ApplianceError(codes.INVALID, f"types lie within types more than {MAX_DEPTH} deep")
    if any(schema is each for each in within):
        raise ApplianceError(codes.INVALID, f"{schema.fullname} holds itself; recursive types are not taken")
    for part in _parts(schema):
        _bounded(part, (*within, schema))
    _aliases_must_be_names(schema)
    if logical_type(schema) == "decimal" and not isinstance(schema, avro.schema.DecimalLogicalSchema):
        raise ApplianceError(codes.INVALID, "a decimal without a precision and scale that go together")
    if schema.type == "array" and _may_be_empty(schema.items):
        raise ApplianceError(codes.INVALID, "an array whose items take no bytes is not taken")
    if schema.type in ("record", "error"):
        for field in schema.fields:
            if not _NAME.fullmatch(field.name):
                raise ApplianceError(codes.INVALID, f"{schema.fullname}: {field.name!r} is not a name of a field")
            _aliases_must_be_names(field)
            if field.has_default and not _is_value(field.default, field.type):
                raise ApplianceError(
                    codes.INVALID, f"{schema.fullname}.{field.name}: its default {field.default!r} is not of its type"
                )


def _aliases_must_be_names(named: Any) -> None:
    """The library does not look at them."""
    aliases = named.props.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(each, str) for each in aliases):
        raise ApplianceError(codes.INVALID, f"aliases: expected a list of names, got {aliases!r}"[:300])


def _is_value(default: Any, schema: Any) -> bool:
    if schema.type in ("union", "error_union"):
        return any(_is_value(default, each) for each in schema.schemas)
    if schema.type in ("bytes", "fixed"):  # written as text, a character a byte
        return (
            isinstance(default, str)
            and all(ord(each) < 256 for each in default)
            and (schema.type == "bytes" or len(default) == schema.size)
        )
    if schema.type in ("record", "error"):
        return (
            isinstance(default, dict)
            and set(default) == {each.name for each in schema.fields}
            and all(_is_value(default[each.name], each.type) for each in schema.fields)
        )
    if schema.type == "array":
        return isinstance(default, list) and all(_is_value(each, schema.items) for each in default)
    if schema.type == "map":
        return isinstance(default, dict) and all(_is_value(each, schema.values) for each in default.values())
    if schema.type == "enum":
        return default in schema.symbols
    if schema.type in ("int", "long"):
        bits = 31 if schema.type == "int" else 63
        return isinstance(default, int) and not isinstance(default, bool) and -(2**bits) <= default < 2**bits
    expected = {"null": type(None), "boolean": bool, "string": str}.get(schema.type, int | float)
    return isinstance(default, expected) and (schema.type == "boolean" or not isinstance(default, bool))


def _may_be_empty(schema: Any) -> bool:
    if schema.type == "fixed":
        return int(schema.size) == 0
    return schema.type == "null" or (schema.type == "record" and all(map(_may_be_empty, _parts(schema))))


def _changed_meaning(reader: Any, writer: Any, at: str) -> Iterator[str]:
    """Logical types that differ between types that resolve to each other."""
    if reader.type in ("union", "error_union") or writer.type in ("union", "error_union"):
        # Branches are matched by type, as resolution does; a value of a branch goes to the first that takes it.
        for theirs in _branches(writer):
            same = [each for each in _branches(reader) if each.type == theirs.type]
            if same:
                yield from _changed_meaning(same[0], theirs, at)
        return
    ours, theirs = _meaning(reader), _meaning(writer)
    if ours != theirs:
        yield f"logical type at {at}: it was {_said(theirs)}, it is {_said(ours)}"
    if reader.type == writer.type == "record":
        for field in reader.fields:
            names = (field.name, *(field.props.get("aliases") or ()))
            written = next((writer.fields_dict[name] for name in names if name in writer.fields_dict), None)
            if written is not None:
                yield from _changed_meaning(field.type, written.type, f"{at}{field.name}/")
    elif reader.type == writer.type and reader.type in ("array", "map"):
        yield from _changed_meaning(_parts(reader)[0], _parts(writer)[0], f"{at}items/")


def _branches(schema: Any) -> tuple[Any, ...]:
    return _parts(schema) if schema.type in ("union", "error_union") else (schema,)


def logical_type(schema: Any) -> str | None:
    """The library gives properties of types that it knows and of those that it does not in two places."""
    name = {**getattr(schema, "other_props", {}), **schema.props}.get("logicalType")
    return name if isinstance(name, str) else None


def _meaning(schema: Any) -> tuple[Any, ...]:
    name = logical_type(schema)
    if name == "decimal":
        return name, schema.props.get("precision"), schema.props.get("scale", 0)
    return (name,)


def _said(meaning: tuple[Any, ...]) -> str:
    return " ".join(map(str, meaning)) if meaning[0] else "none"
