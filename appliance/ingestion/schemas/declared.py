"""Schemas under version control: what a site declares, checked before a registry sees it.

``declarations/schemas/SUBJECT/`` holds the versions of a subject as files ``1.avsc``, ``2.avsc`` and so on (``.proto``,
``.json``), and may hold ``subject.toml``::

    compatibility = "FULL"      # see `registry.Level`; the default is the site's

Everything else in there is refused, so that no version is overlooked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.base.errors import ApplianceError
from appliance.config.declarations import load_toml
from appliance.ingestion.schemas import codes, compatibility
from appliance.ingestion.schemas.registry import Kind, Level, RegisteredSchema, subject_must_be_named

KIND_OF: Mapping[str, Kind] = {".avsc": "AVRO", ".proto": "PROTOBUF", ".json": "JSON"}
SETTINGS = "subject.toml"


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    compatibility: Level


@dataclass(frozen=True, kw_only=True)
class DeclaredVersion:
    path: Path
    version: int
    kind: Kind
    text: str


@dataclass(frozen=True, kw_only=True)
class DeclaredSubject:
    """A folder: versions in order, from 1. `level` is None where the site's default holds."""

    name: str
    level: Level | None
    versions: tuple[DeclaredVersion, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Reasons against a version; none: it may stand."""

    version: DeclaredVersion
    reasons: tuple[str, ...]


def load_subjects(folder: Path) -> tuple[DeclaredSubject, ...]:
    """All subjects below `folder`, in order of name; none where there is no such folder.

    Raises:
        ApplianceError: APL-SCHEMA-003, 013, naming the file.
    """
    if not folder.is_dir():
        return ()
    return tuple(_subject(path) for path in sorted(folder.iterdir()))


def levels_of(folder: Path) -> dict[str, Level]:
    """Subject -> its level, where one is declared. Raises as `load_subjects`."""
    return {each.name: each.level for each in load_subjects(folder) if each.level is not None}


def read_text(path: Path) -> str:
    """Raises ApplianceError APL-SCHEMA-001."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ApplianceError(codes.INVALID, f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ApplianceError(codes.INVALID, "it is not UTF-8", where=str(path)) from error


def judge(subject: DeclaredSubject, *, before: Sequence[RegisteredSchema], default_level: Level) -> tuple[Finding, ...]:
    """Each version against those before it: the registered ones `before`, oldest first, then the files before it.

    One that is registered already may stand. One that is no schema is a finding too, and nothing is judged by it.
    """
    known = list(before)
    forms = {(each.kind, compatibility.normal(each.kind, each.text, each.references)) for each in known}
    findings = []
    for each in subject.versions:
        try:
            if (each.kind, compatibility.normal(each.kind, each.text)) in forms:
                reasons: tuple[str, ...] = ()
            else:
                level = subject.level or default_level
                reasons = compatibility.reasons_against(each.kind, each.text, before=known, level=level)
                known.append(RegisteredSchema(id=each.version, kind=each.kind, text=each.text))
        except ApplianceError as error:
            reasons = (error.message,)
        findings.append(Finding(version=each, reasons=reasons))
    return tuple(findings)


def _subject(folder: Path) -> DeclaredSubject:
    if not folder.is_dir():
        raise ApplianceError(codes.DECLARATION_INVALID, "expected a folder, one a subject", where=str(folder))
    subject_must_be_named(folder.name)
    level: Level | None = None
    versions = []
    for path in folder.iterdir():
        if path.name == SETTINGS:
            level = load_toml(path, _Settings, code=codes.DECLARATION_INVALID).compatibility
        elif (
            path.suffix in KIND_OF and path.stem.isascii() and path.stem.isdigit() and path.stem == str(int(path.stem))
        ):
            versions.append(
                DeclaredVersion(path=path, version=int(path.stem), kind=KIND_OF[path.suffix], text=read_text(path))
            )
        else:
            raise ApplianceError(
                codes.DECLARATION_INVALID,
                f"expected {SETTINGS} or NUMBER with one of {', '.join(KIND_OF)}",
                where=str(path),
            )
    versions.sort(key=lambda each: each.version)
    numbers = [each.version for each in versions]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ApplianceError(
            codes.DECLARATION_INVALID, f"expected versions from 1 without gaps, got {numbers}", where=str(folder)
        )
    return DeclaredSubject(name=folder.name, level=level, versions=tuple(versions))
