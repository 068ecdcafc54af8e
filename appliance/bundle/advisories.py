"""Advisories in the form of OSV (schema 1.x): what osv.dev publishes for an ecosystem, one JSON file an advisory.

Rules
1. They are read from a folder or a zip, where zips may lie in the folder as they were fetched. Files that are neither
   ``.json`` nor ``.zip`` are left alone.
2. A file that is no record stops everything: with a record left out, "no flaw" would be said where one is.
3. A record that was withdrawn says nothing any more. Ranges of commits (``GIT``) are not about versions.

Source: Open Source Vulnerability format 1.7, ossf.github.io/osv-schema.
"""

from __future__ import annotations

import datetime as dt
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from appliance.base.errors import ApplianceError
from appliance.bundle import codes

MAX_BYTES = 16 << 20  # of one record
_SCHEMA = "1."
_Instant = Annotated[dt.datetime, Meta(tz=True)]


class Event(msgspec.Struct, frozen=True):
    """One point of a range; exactly one of them is told. ``0`` is before every version."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None

    @property
    def told(self) -> list[tuple[str, str]]:
        found = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, version) for name, version in found if version is not None]


class Range(msgspec.Struct, frozen=True):
    type: Literal["SEMVER", "ECOSYSTEM", "GIT"]
    events: Annotated[list[Event], Meta(min_length=1)]


class Package(msgspec.Struct, frozen=True):
    ecosystem: str
    name: str


class Severity(msgspec.Struct, frozen=True):
    type: str
    score: str


class Affected(msgspec.Struct, frozen=True):
    """Versions of one package."""

    package: Package | None = None
    ranges: list[Range] | None = None
    versions: list[str] | None = None
    severity: list[Severity] | None = None
    ecosystem_specific: dict[str, Any] | None = None
    database_specific: dict[str, Any] | None = None


class Record(msgspec.Struct, frozen=True):
    """One advisory. `upstream`: the flaws that a distribution's advisory is about."""

    id: Annotated[str, Meta(min_length=1)]
    modified: _Instant
    schema_version: str | None = None
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    withdrawn: _Instant | None = None
    severity: list[Severity] | None = None
    affected: list[Affected] | None = None
    database_specific: dict[str, Any] | None = None
    summary: str | None = None


@dataclass(frozen=True)
class Advisory:
    """A record that stands, and the file that it is from."""

    record: Record
    where: str


@dataclass(frozen=True, kw_only=True)
class Advisories:
    """Attributes:
    withdrawn: how many records were left out for that.
    newest: when the newest record was last changed, a withdrawn one too.
    """

    standing: Sequence[Advisory]
    withdrawn: int
    newest: dt.datetime

    @property
    def ecosystems(self) -> set[str]:
        """Those that some record is about."""
        every = (each for one in self.standing for each in one.record.affected or ())
        return {each.package.ecosystem for each in every if each.package}


def load(path: Path) -> Advisories:
    """Raises ApplianceError: APL-BUNDLE-018 it cannot be read or holds no record, -019 a file is no record."""
    standing, withdrawn = [], 0
    newest = dt.datetime.min.replace(tzinfo=dt.UTC)
    for where, data in _files(path):
        record = parse(data, where=where)
        newest = max(newest, record.modified)
        if record.withdrawn:
            withdrawn += 1
        else:
            standing.append(Advisory(record, where))
    if not standing and not withdrawn:
        raise ApplianceError(codes.NO_ADVISORIES, "it holds no record, no file that ends in .json", where=str(path))
    return Advisories(standing=standing, withdrawn=withdrawn, newest=newest)


def parse(data: bytes, *, where: str) -> Record:
    """Raises ApplianceError: APL-BUNDLE-019."""
    try:
        record = msgspec.json.decode(data, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApplianceError(codes.ADVISORY_INVALID, str(error), where=where) from error
    if not (record.schema_version or _SCHEMA).startswith(_SCHEMA):
        told = f"schema_version: expected 1.x, got {record.schema_version!r}"
        raise ApplianceError(codes.ADVISORY_INVALID, told, where=where)
    events = (event for each in record.affected or () for one in each.ranges or () for event in one.events)
    for event in events:
        if len(event.told) != 1:
            told = f"an event: expected one of introduced, fixed, last_affected, limit; got {len(event.told)}"
            raise ApplianceError(codes.ADVISORY_INVALID, told, where=where)
    return record


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every record's file, in order of name."""
    try:
        if not path.is_dir():
            yield from _zipped(path)
            return
        for each in sorted(path.rglob("*")):
            if each.suffix == ".zip" and each.is_file():
                yield from _zipped(each)
            elif each.suffix == ".json" and each.is_file():
                if each.stat().st_size > MAX_BYTES:
                    raise ApplianceError(codes.ADVISORY_INVALID, _too_large(each.stat().st_size), where=str(each))
                yield str(each), each.read_bytes()
    # What the readers of folders, zips and their compression raise.
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ApplianceError(codes.NO_ADVISORIES, f"cannot be read: {error}", where=str(path)) from error


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for each in sorted(archive.infolist(), key=lambda one: one.filename):
            if each.filename.endswith(".json"):
                where = f"{path}: {each.filename}"
                if each.file_size > MAX_BYTES:
                    raise ApplianceError(codes.ADVISORY_INVALID, _too_large(each.file_size), where=where)
                yield where, archive.read(each)


def _too_large(size: int) -> str:
    return f"expected at most {MAX_BYTES} bytes, got {size}"
