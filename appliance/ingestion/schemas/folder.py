"""The schema registry of a site without servers: files in a folder.

``NUMBER.json`` is a registration: subject, version, id, kind, text and the text's digest. Registrations are numbered in
their order; the id of a schema is the number of the registration that brought it first. ``last`` holds the highest
number that was ever given.

Rules
1. One process registers at a time, by the lock file; readers need none, since a registration appears as a whole and
   never changes.
2. ``last`` is written before the registration. A crash between the two leaves a number without a schema; no number is
   given twice, not even after a file was removed.
3. What a file holds is compared with its digest and its name before it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from appliance.base import atomic
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes, compatibility
from appliance.ingestion.schemas.registry import (
    DEFAULT_LEVEL,
    MAX_ID,
    Kind,
    Level,
    RegisteredSchema,
    Version,
    subject_must_be_named,
)


class _Registration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    subject: str
    version: int
    id: int
    kind: Literal["AVRO", "PROTOBUF", "JSON"]
    text: str
    digest: str

    @property
    def schema(self) -> RegisteredSchema:
        return RegisteredSchema(id=self.id, kind=self.kind, text=self.text)


class FolderRegistry:
    """A `registry.SchemaRegistry`."""

    def __init__(self, folder: Path, *, levels: Mapping[str, Level], default_level: Level = DEFAULT_LEVEL) -> None:
        """`levels` holds the compatibility of the subjects that differ from `default_level`."""
        self._folder = folder
        self._levels = levels
        self._default_level = default_level
        self._read: dict[int, _Registration] = {}

    def by_id(self, id: int) -> RegisteredSchema | None:
        if not 0 < id <= MAX_ID or not self._path(id).is_file():
            return None
        found = self._registration(id)
        return found.schema if found.id == id else None

    def subjects(self) -> tuple[str, ...]:
        return tuple(sorted({each.subject for each in self._registrations()}))

    def versions(self, subject: str) -> tuple[Version, ...]:
        return tuple(
            Version(subject=subject, version=each.version, schema=each.schema)
            for each in self._registrations()
            if each.subject == subject
        )

    def check(self, subject: str, kind: Kind, text: str) -> tuple[str, ...]:
        subject_must_be_named(subject)
        before = [each.schema for each in self.versions(subject)]
        level = self._levels.get(subject, self._default_level)
        wanted = compatibility.normal(kind, text)
        if any(each.kind == kind and compatibility.normal(kind, each.text) == wanted for each in before):
            return ()
        return compatibility.reasons_against(kind, text, before=before, level=level)

    def register(self, subject: str, kind: Kind, text: str) -> int:
        subject_must_be_named(subject)
        wanted = compatibility.normal(kind, text)
        with atomic.exclusive(self._folder / "lock"):
            all_before = self._registrations()
            equal = [
                each for each in all_before if each.kind == kind and compatibility.normal(kind, each.text) == wanted
            ]
            for each in equal:
                if each.subject == subject:
                    return each.id
            before = [each for each in all_before if each.subject == subject]
            reasons = compatibility.reasons_against(
                kind,
                text,
                before=[each.schema for each in before],
                level=self._levels.get(subject, self._default_level),
            )
            if reasons:
                raise ApplianceError(codes.INCOMPATIBLE, "; ".join(reasons), where=subject)
            number = self._next_number()
            made = _Registration(
                subject=subject,
                version=max((each.version for each in before), default=0) + 1,
                id=equal[0].id if equal else number,
                kind=kind,
                text=equal[0].text if equal else text,
                digest=digest_bytes((equal[0].text if equal else text).encode()),
            )
            atomic.write_bytes(self._path(number), msgspec.json.format(msgspec.json.encode(made)), mode=0o444)
            return made.id

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}.json"

    def _next_number(self) -> int:
        path = self._folder / "last"
        try:
            last = int(path.read_bytes()) if path.exists() else 0
        except ValueError as error:
            raise ApplianceError(codes.FOLDER_DAMAGED, "it holds no number", where=str(path)) from error
        highest = max(self._numbers(), default=0)
        if highest > last:
            raise ApplianceError(
                codes.FOLDER_DAMAGED, f"it says {last}, registration {highest} is there", where=str(path)
            )
        atomic.write_bytes(path, b"%d\n" % (last + 1))
        return last + 1

    def _numbers(self) -> list[int]:
        found = []
        for path in self._folder.glob("[0-9]*.json"):
            if not path.stem.isascii() or not path.stem.isdigit() or path != self._path(int(path.stem)):
                raise ApplianceError(codes.FOLDER_DAMAGED, "not the name of a registration", where=str(path))
            found.append(int(path.stem))
        return sorted(found)

    def _registrations(self) -> list[_Registration]:
        return [self._registration(number) for number in self._numbers()]

    def _registration(self, number: int) -> _Registration:
        if number in self._read:
            return self._read[number]
        path = self._path(number)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Registration, strict=True)
        except (OSError, msgspec.DecodeError) as error:  # a ValidationError is a DecodeError
            raise ApplianceError(codes.FOLDER_DAMAGED, str(error), where=str(path)) from error
        if found.digest != digest_bytes(found.text.encode()):
            raise ApplianceError(codes.FOLDER_DAMAGED, "the text has another digest", where=str(path))
        if not 0 < found.id <= number:
            raise ApplianceError(codes.FOLDER_DAMAGED, f"registration {number} gives id {found.id}", where=str(path))
        self._read[number] = found
        return found
