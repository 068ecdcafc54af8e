"""Avro values of one writer's schema, read by another schema (Avro 1.12, "Schema Resolution").

Rules
1. Names are matched as the specification says, and beyond it by the writer's aliases: a producer that renamed a field
   and names the old one as its alias is understood before the reader is changed.
2. A writer that the reader cannot read is refused as a whole, with the reasons; then no value is looked at.
3. Logical types are left out of the reading: a time comes as the integer that was sent, whatever its size. Decimals are
   kept, since their bytes mean nothing without.
4. A value that cannot be read, or has bytes after it, is a fault of its own.
"""

from __future__ import annotations

import functools
import io
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import fastavro.schema

from appliance.base.errors import ApplianceError
from appliance.ingestion.decode import DECODE, Fault
from appliance.ingestion.schemas import avro_schema, codes
from appliance.ingestion.schemas.avro_columns import converter
from appliance.ingestion.schemas.registry import RegisteredSchema

_NAMED = ("record", "error", "enum", "fixed")

# What fastavro raises for bytes that are no value, seen by mutating values and writing noise.
_NO_VALUE = (
    *(EOFError, IndexError, KeyError, ValueError, TypeError, OverflowError, MemoryError, StopIteration),
    *(struct.error, ArithmeticError, fastavro.schema.SchemaParseException, fastavro.read.SchemaResolutionError),
)


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """How values of a writer are read.

    Attributes:
        writer, reader: as fastavro takes them.
        equal: both write the same bytes for the same value, so that nothing need be resolved.
    """

    writer: Any
    reader: Any
    equal: bool


@functools.lru_cache(maxsize=256)
def resolution(reader: RegisteredSchema, writer: RegisteredSchema) -> Resolution | str:
    """How `reader` reads what `writer` wrote, or why it cannot."""
    try:
        avro_schema.parse(writer.text, writer.references)
        ours = _with_aliases_of(reader, writer)
        reasons = avro_schema.read_by(ours, writer)
    except ApplianceError as error:
        return f"schema {writer.id}: {error.message}"
    if reasons:
        return f"schema {writer.id} cannot be read: {'; '.join(reasons)}"
    read, written = _parsed(ours), _parsed(writer)
    form = fastavro.schema.to_parsing_canonical_form
    return Resolution(writer=written, reader=read, equal=form(read) == form(written))


def values_of(
    payloads: Sequence[bytes | memoryview], how: Resolution, faults: list[Fault]
) -> Iterator[tuple[int, Any]]:
    """(ordinal, value) of each payload that can be read; the others are added to `faults`."""
    for ordinal, payload in enumerate(payloads):
        file = io.BytesIO(payload)
        try:
            value = fastavro.schemaless_reader(file, how.writer, how.reader, handle_unicode_errors="replace")
        except _NO_VALUE as error:
            said = str(error) or type(error).__name__
            faults.append(
                Fault(code=DECODE, record=ordinal, detail=f"the bytes are no value of the schema: {said[:200]}")
            )
            continue
        if file.tell() != len(payload):
            rest = len(payload) - file.tell()
            faults.append(Fault(code=DECODE, record=ordinal, detail=f"{rest} bytes stand after the value"))
            continue
        yield ordinal, value


def reading(reader: RegisteredSchema, writer: RegisteredSchema) -> Callable[[bytes | memoryview], Mapping[str, Any]]:
    """For `values.Reader`."""
    how = resolution(reader, writer)
    if isinstance(how, str):
        raise ApplianceError(codes.INVALID, how)
    found = how
    convert = converter(avro_schema.parse(reader.text, reader.references))

    def read(payload: bytes | memoryview) -> Mapping[str, Any]:
        faults: list[Fault] = []
        for _, value in values_of([payload], found, faults):
            row: Mapping[str, Any] = convert(value) if convert is not None else value
            return row
        raise ValueError(faults[0].detail)

    return read


def _parsed(schema: RegisteredSchema) -> Any:
    """For fastavro, without logical types but decimals."""
    names: dict[str, Any] = {}
    for each in schema.references:
        fastavro.schema.parse_schema(_bare(json.loads(each.text)), named_schemas=names)
    return fastavro.schema.parse_schema(_bare(json.loads(schema.text)), named_schemas=names)


def _bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = ("doc",) if schema.get("logicalType") == "decimal" else ("doc", "logicalType")
    return {
        key: _bare(value) if key in ("type", "items", "values", "fields") else value
        for key, value in schema.items()
        if key not in left_out
    }


def _with_aliases_of(reader: RegisteredSchema, writer: RegisteredSchema) -> RegisteredSchema:
    """The reader with names that the writer's aliases stand for."""
    ours, theirs = json.loads(reader.text), json.loads(writer.text)
    known: dict[str, Any] = {}
    for each in writer.references:
        _collect(json.loads(each.text), known)
    _collect(theirs, known)
    own: dict[str, Any] = {}
    _collect(ours, own)
    _bridge(ours, theirs, own, known)
    return RegisteredSchema(id=reader.id, kind=reader.kind, text=json.dumps(ours), references=reader.references)


def _collect(schema: Any, names: dict[str, Any], space: str | None = None) -> None:
    """Definitions of named types by their last name, each with its namespace written down.

    Which of two namespaces is meant does not matter for aliases.
    """
    if isinstance(schema, list):
        for each in schema:
            _collect(each, names, space)
    elif isinstance(schema, dict):
        kind = schema["type"]
        if kind in _NAMED:
            names.setdefault(_last(schema["name"]), schema)
            space = schema["name"].rpartition(".")[0] or schema.get("namespace") or space
            if space:
                schema["namespace"] = space
        if kind in ("record", "error"):
            for field in schema["fields"]:
                _collect(field["type"], names, space)
        elif kind in ("array", "map"):
            _collect(schema["items" if kind == "array" else "values"], names, space)
        elif not isinstance(kind, str):
            _collect(kind, names, space)


def _bridge(reader: Any, writer: Any, own: dict[str, Any], known: dict[str, Any]) -> None:
    ours, theirs = _definition(reader, own), _definition(writer, known)
    if not isinstance(ours, dict) or not isinstance(theirs, dict) or ours.get("type") != theirs.get("type"):
        return
    if ours["type"] in _NAMED and _last(ours["name"]) in map(_last, theirs.get("aliases", ())):
        ours["aliases"] = [*ours.get("aliases", ()), _full(theirs)]
    if ours["type"] == "record":
        written = {each["name"]: each for each in theirs["fields"]}
        for field in ours["fields"]:
            names = (field["name"], *field.get("aliases", ()))
            found = next((written[name] for name in names if name in written), None)
            if found is None:
                found = next((each for each in theirs["fields"] if field["name"] in each.get("aliases", ())), None)
                if found is None:
                    continue
                field["aliases"] = [*field.get("aliases", ()), found["name"]]
            _bridge(field["type"], found["type"], own, known)
    elif ours["type"] in ("array", "map"):
        part = "items" if ours["type"] == "array" else "values"
        _bridge(ours[part], theirs[part], own, known)


def _definition(schema: Any, names: dict[str, Any]) -> Any:
    """The type itself, where it is named or stands beside null or in another ``type``."""
    if isinstance(schema, list):
        others = [each for each in schema if each != "null"]
        return _definition(others[0], names) if len(others) == 1 else schema
    if isinstance(schema, str):
        return names.get(_last(schema), schema)
    if isinstance(schema.get("type"), dict | list):
        return _definition(schema["type"], names)
    return schema


def _full(schema: dict[str, Any]) -> str:
    name, space = schema["name"], schema.get("namespace")
    return name if "." in name or not space else f"{space}.{name}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]
