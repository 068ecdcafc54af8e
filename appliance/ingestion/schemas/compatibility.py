"""May a schema become the next version of a subject? Pure; what a kind accepts stands in the module of the kind.

For each kind, ``read_by(reader, writer)`` gives the reasons why data written with one schema cannot be read with
another, and never says yes where it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes
from appliance.ingestion.schemas.registry import MAX_TEXT_BYTES, Kind, Level, Reference, RegisteredSchema


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is done with the schemas of one kind.

    Attributes:
        normal: the text in one form that equal schemas share; raises APL-SCHEMA-001 where it is no schema.
        read_by: (reader, writer) -> reasons why the reader cannot read all that the writer may write.
    """

    normal: Callable[[str, Sequence[Reference]], str]
    read_by: Callable[[RegisteredSchema, RegisteredSchema], tuple[str, ...]]


def form_of(kind: Kind) -> Form:
    """The libraries of a kind are loaded when it is first asked for."""
    if kind == "AVRO":
        from appliance.ingestion.schemas import avro_schema

        return Form(normal=avro_schema.normal, read_by=avro_schema.read_by)
    if kind == "JSON":
        from appliance.ingestion.schemas import json_schema

        return Form(normal=json_schema.normal, read_by=json_schema.read_by)
    from appliance.ingestion.schemas import protobuf_schema

    return Form(normal=protobuf_schema.normal, read_by=protobuf_schema.read_by)


def normal(kind: Kind, text: str, references: Sequence[Reference] = ()) -> str:
    """One form that equal schemas share.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ApplianceError(codes.INVALID, f"no text: {error.reason}") from error
    if size > MAX_TEXT_BYTES:
        raise ApplianceError(codes.INVALID, f"expected at most {MAX_TEXT_BYTES} bytes, got {size}")
    return form_of(kind).normal(text, references)


def reasons_against(kind: Kind, text: str, *, before: Sequence[RegisteredSchema], level: Level) -> tuple[str, ...]:
    """Reasons against `text` as the next version after `before` (oldest first); empty: compatible.

    Raises:
        ApplianceError: APL-SCHEMA-001 it is no schema.
    """
    normal(kind, text)
    if level == "NONE" or not before:
        return ()
    new = RegisteredSchema(id=0, kind=kind, text=text)
    read_by = form_of(kind).read_by
    reasons: dict[str, None] = {}
    for old in before if level.endswith("_TRANSITIVE") else before[-1:]:
        if old.kind != kind:
            reasons[f"schema {old.id} of this subject is {old.kind}, not {kind}"] = None
            continue
        if level.startswith(("BACKWARD", "FULL")):
            reasons |= dict.fromkeys(f"cannot read data of schema {old.id}: {each}" for each in read_by(new, old))
        if level.startswith(("FORWARD", "FULL")):
            reasons |= dict.fromkeys(f"schema {old.id} cannot read its data: {each}" for each in read_by(old, new))
    return tuple(reasons)
