"""What a schema registry promises, whichever is behind it.

Rules
1. An id stands for one schema for ever; it is never given to another. So an answer to `by_id` may be kept.
2. Registering a schema that the subject holds already gives its id again and changes nothing.
3. A version is registered only if our own check finds it compatible, whatever the registry behind would allow.
4. A registry that cannot be asked is an error; an id that it does not know is not: values with it wait.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes

Kind = Literal["AVRO", "PROTOBUF", "JSON"]
KINDS: tuple[Kind, ...] = ("AVRO", "PROTOBUF", "JSON")

Level = Literal["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"]
"""BACKWARD: the new schema reads data of the one before; FORWARD: the one before reads data of the new schema; FULL:
both. TRANSITIVE: with all versions before, not the newest alone."""
DEFAULT_LEVEL: Level = "BACKWARD"

MAX_ID = 2**31 - 1  # an id is a signed 32-bit number in the frame of a value
MAX_TEXT_BYTES = 1024 * 1024  # of one schema; ours takes less than 1 KiB, generated ones some 100 KiB

_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Another schema that a schema names.

    Attributes:
        name: as the referring schema names it: full name of an Avro type, import path of a Protobuf file.
        text: its text. What it refers to itself stands before it in `RegisteredSchema.references`.
    """

    name: str
    subject: str
    version: int
    text: str


@dataclass(frozen=True, kw_only=True)
class RegisteredSchema:
    """A schema and its id. `references`, in an order in which each can be parsed after those before it."""

    id: int
    kind: Kind
    text: str
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a subject, counted from 1."""

    subject: str
    version: int
    schema: RegisteredSchema


class SchemaRegistry(Protocol):
    """Every method raises ApplianceError APL-SCHEMA-004 to 011 when the registry cannot be asked."""

    def by_id(self, id: int) -> RegisteredSchema | None:
        """None: the registry knows no such id."""

    def register(self, subject: str, kind: Kind, text: str) -> int:
        """The id of the schema, which is the subject's newest version afterwards, or was one of its versions before.

        Raises:
            ApplianceError: APL-SCHEMA-001 it is no schema, 002 it is not compatible, 003 the subject has no name.
        """

    def check(self, subject: str, kind: Kind, text: str) -> tuple[str, ...]:
        """Reasons against registering it; empty: compatible. See `register` for 001 and 003."""

    def versions(self, subject: str) -> tuple[Version, ...]:
        """Oldest first; empty: no such subject."""

    def subjects(self) -> tuple[str, ...]:
        """Names in order."""


def subject_must_be_named(subject: str) -> None:
    """Raises ApplianceError APL-SCHEMA-003."""
    if not _SUBJECT.fullmatch(subject):
        raise ApplianceError(codes.SUBJECT_INVALID, f"{subject[:200]!r}")
