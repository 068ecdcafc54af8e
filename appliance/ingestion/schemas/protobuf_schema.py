"""Protobuf schemas: compiled by protoc, and whether one reads what another writes. No kept library judges it.

Rules of `read_by`; every change that is not named here is refused
1. A message of the writer is there in the reader, by full name; enums keep their values. The syntax stays.
2. A field keeps number, name, cardinality and oneof. Its type stays, or widens on the same bytes: int32 to int64,
   uint32 to uint64 or int64, sint32 to sint64, string to bytes.
3. A field may be added or removed, unless the reader requires it.
4. An enum may get values. It may lose none: proto3 would take the number, and nobody would know its name.
"""

from __future__ import annotations

import base64
import functools
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError

from appliance.base import process
from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes
from appliance.ingestion.schemas.registry import Reference, RegisteredSchema

MAIN = "schema.proto"  # the name that the compiler gets; positions in its messages begin with it
COMPILE_LIMIT_S = 20.0  # it takes 0.1 s; a limit for a busy machine

_IMPORT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\.proto")
FIELD = descriptor_pb2.FieldDescriptorProto
_WIDER = {
    (FIELD.TYPE_INT32, FIELD.TYPE_INT64),
    (FIELD.TYPE_UINT32, FIELD.TYPE_UINT64),
    (FIELD.TYPE_UINT32, FIELD.TYPE_INT64),
    (FIELD.TYPE_SINT32, FIELD.TYPE_SINT64),
    (FIELD.TYPE_STRING, FIELD.TYPE_BYTES),
}
_NAMED = (FIELD.TYPE_MESSAGE, FIELD.TYPE_GROUP, FIELD.TYPE_ENUM)


def normal(text: str, references: Sequence[Reference] = ()) -> str:
    """The compiled file, in base64: without comments and white space.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    file = main_file(text, references)
    if not file.message_type:
        raise ApplianceError(codes.INVALID, "no Protobuf schema: it declares no message")
    return base64.b64encode(file.SerializeToString(deterministic=True)).decode()


def main_file(text: str, references: Sequence[Reference] = ()) -> Any:
    """FileDescriptorProto of the schema itself. Raises as `compiled`."""
    return next(each for each in compiled(text, tuple(references)).file if each.name == MAIN)


def pool_of(text: str, references: Sequence[Reference] = ()) -> descriptor_pool.DescriptorPool:
    """The types of the schema and of all that it imports. Raises as `compiled`."""
    pool = descriptor_pool.DescriptorPool()
    for each in compiled(text, tuple(references)).file:
        pool.Add(each)
    return pool


@functools.lru_cache(maxsize=256)  # a schema is compiled in 0.1 s, in a process of its own
def compiled(text: str, references: tuple[Reference, ...]) -> Any:
    """FileDescriptorSet of the schema and all that it imports, imported ones first.

    The compiler runs in a process of its own: it is a program in C++ that reads what somebody else wrote.

    Raises:
        ApplianceError: APL-SCHEMA-001, with the compiler's words.
    """
    with tempfile.TemporaryDirectory(prefix="protoc-") as name:
        folder = Path(name)
        for each in references:
            if not _IMPORT.fullmatch(each.name) or each.name == MAIN:
                raise ApplianceError(codes.INVALID, f"{each.name[:200]!r} is not a path to import from")
            path = folder / each.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(each.text, encoding="utf-8")
        (folder / MAIN).write_text(text, encoding="utf-8")
        done = process.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc"),
                *("--proto_path", folder),
                *("--proto_path", Path(grpc_tools.__file__).parent / "_proto"),  # google/protobuf/*.proto
                "--include_imports",
                *("--descriptor_set_out", "/dev/stdout"),
                folder / MAIN,
            ],
            timeout_s=COMPILE_LIMIT_S,
            check=False,
        )
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").replace(f"{folder}/", "").strip()
        raise ApplianceError(
            codes.INVALID, f"no Protobuf schema: {words[:500] or f'protoc ended with {done.returncode}'}"
        )
    try:
        return descriptor_pb2.FileDescriptorSet.FromString(done.stdout)
    except DecodeError as error:
        raise ApplianceError(codes.INVALID, f"no Protobuf schema: {error}") from error


def read_by(reader: RegisteredSchema, writer: RegisteredSchema) -> tuple[str, ...]:
    """Reasons why `reader` cannot read all data of `writer`; empty: it can.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    ours = main_file(reader.text, reader.references)
    theirs = main_file(writer.text, writer.references)
    if (ours.syntax or "proto2") != (theirs.syntax or "proto2") or ours.edition != theirs.edition:
        return (f"the syntax was {theirs.syntax or 'proto2'}, it is {ours.syntax or 'proto2'}",)
    ours_all = _types(compiled(reader.text, tuple(reader.references)))
    theirs_all = _types(compiled(writer.text, tuple(writer.references)))
    reasons: list[str] = []
    for name, old in theirs_all.items():
        if name.startswith(".google.protobuf."):
            continue
        new = ours_all.get(name)
        if new is None or type(new) is not type(old):
            reasons.append(f"{name[1:]} is not there any more")
        elif isinstance(old, descriptor_pb2.DescriptorProto):
            reasons += _message(new, old, name[1:])
        else:
            lost = {(each.name, each.number) for each in old.value} - {(each.name, each.number) for each in new.value}
            reasons += [f"{name[1:]}: {value} = {number} is not there any more" for value, number in sorted(lost)]
    return tuple(reasons)


def _types(files: Any) -> Mapping[str, Any]:
    """Full name with a leading dot -> message or enum."""
    found: dict[str, Any] = {}

    def add(prefix: str, messages: Any, enums: Any) -> None:
        for each in enums:
            found[f"{prefix}.{each.name}"] = each
        for each in messages:
            found[f"{prefix}.{each.name}"] = each
            add(f"{prefix}.{each.name}", each.nested_type, each.enum_type)

    for file in files.file:
        add(f".{file.package}" if file.package else "", file.message_type, file.enum_type)
    return found


def _message(new: Any, old: Any, name: str) -> Iterator[str]:
    if new.options.map_entry != old.options.map_entry:
        yield f"{name}: a map differs"
    ours, theirs = {each.number: each for each in new.field}, {each.number: each for each in old.field}
    for number in sorted({*ours, *theirs}):
        field, was = ours.get(number), theirs.get(number)
        if field is None:
            continue
        required = field.label == FIELD.LABEL_REQUIRED
        if was is None:
            if required:
                yield f"{name}.{field.name} = {number} is required now"
            continue
        if field.name != was.name:
            yield f"{name}: number {number} was {was.name}, it is {field.name}"
            continue
        if required and was.label != FIELD.LABEL_REQUIRED:
            yield f"{name}.{field.name} is required now"
        if (field.label == FIELD.LABEL_REPEATED) != (was.label == FIELD.LABEL_REPEATED):
            yield f"{name}.{field.name}: one or many differs"
        if _oneof(new, field) != _oneof(old, was):
            yield f"{name}.{field.name}: the oneof differs"
        same = field.type == was.type and (field.type not in _NAMED or field.type_name == was.type_name)
        if not same and (was.type, field.type) not in _WIDER:
            yield f"{name}.{field.name}: the type was {_type(was)}, it is {_type(field)}"


def _oneof(message: Any, field: Any) -> str:
    """Empty: in none. An optional field of proto3 stands in one of its own, which no value shows."""
    if not field.HasField("oneof_index") or field.proto3_optional:
        return ""
    return str(message.oneof_decl[field.oneof_index].name)


def _type(field: Any) -> str:
    plain = FIELD.Type.Name(field.type).removeprefix("TYPE_").lower()
    return str(field.type_name[1:] if field.type in _NAMED else plain)
