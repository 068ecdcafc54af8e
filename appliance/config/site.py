"""A site: one folder that holds the settings and everything the appliance keeps.

This module owns the names of all folders in it (`Site`), and is the only reader of the site file. The file is
``site.toml``; a missing key means its default. See `appliance.config.model` for the settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.config import codes
from appliance.config.declarations import load_toml, parse_toml
from appliance.config.model import SiteFile

FILE_NAME = "site.toml"


@dataclass(frozen=True, kw_only=True)
class Site:
    """An existing site. Every path below is inside `folder`; rooms take theirs from here."""

    folder: Path
    settings: SiteFile

    @property
    def declarations(self) -> Path:
        """What people declare: measures, decoders, drops, feature views, recipes. Under version control at a site."""
        return self.folder / "declarations"

    @property
    def keys(self) -> Path:
        """Role keys, one file each, mode 0600."""
        return self.folder / "keys"

    @property
    def trust(self) -> Path:
        """Trust config, certificates, enclave keys, transparency log, signed bundles."""
        return self.folder / "trust"

    @property
    def spool(self) -> Path:
        """Incoming files and the claimed log of them."""
        return self.folder / "spool"

    @property
    def connectors(self) -> Path:
        """Where each connector stands, and its batch under way; on the file system of `spool`."""
        return self.folder / "connectors"

    @property
    def topics(self) -> Path:
        """How far workers are behind the ends of partitions."""
        return self.folder / "topics"

    @property
    def objects(self) -> Path:
        """Content-addressed raw bytes."""
        return self.folder / "objects"

    @property
    def schemas(self) -> Path:
        """Registered schemas, where no registry server keeps them."""
        return self.folder / "schemas"

    @property
    def lake(self) -> Path:
        """Iceberg catalog and warehouse."""
        return self.folder / "lake"

    @property
    def lineage(self) -> Path:
        """Provenance documents."""
        return self.folder / "lineage"

    @property
    def online(self) -> Path:
        """Online feature store."""
        return self.folder / "online"

    @property
    def registry(self) -> Path:
        """Model versions, their packages, stages and approvals."""
        return self.folder / "registry"

    @property
    def runs(self) -> Path:
        """Training runs and pinned training sets."""
        return self.folder / "runs"

    @property
    def pipeline(self) -> Path:
        """Journals of the retrain pipeline."""
        return self.folder / "pipeline"

    @property
    def serving(self) -> Path:
        """Routes, process records and the prediction spool of the gateway."""
        return self.folder / "serving"

    @property
    def portal(self) -> Path:
        """Process record of the web pages."""
        return self.folder / "portal"

    @property
    def airlock(self) -> Path:
        """Imported bundles: in quarantine, or released."""
        return self.folder / "airlock"

    @property
    def alerts(self) -> Path:
        return self.folder / "alerts"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"


def open_site(folder: Path) -> Site:
    """Read and check the site file.

    Raises:
        ApplianceError: APL-CONFIG-001 there is none, APL-CONFIG-002 it is not valid.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise ApplianceError(codes.SITE_MISSING, f"{folder} holds no {FILE_NAME}", where=str(folder))
    return Site(folder=folder.resolve(), settings=load_toml(path, SiteFile, code=codes.SITE_INVALID))


def init_site(folder: Path, changes: dict[str, Any]) -> Site:
    """Make a new site whose file holds `changes` (``{"site.name": "north"}``) above the defaults.

    Raises:
        ApplianceError: APL-CONFIG-003 there is a site already, APL-CONFIG-002 a change is not valid; in both cases
            nothing was written.
    """
    path = folder / FILE_NAME
    if path.exists():
        raise ApplianceError(codes.SITE_EXISTS, f"{path} exists", where=str(path))
    text = render_changes(changes)
    parse_toml(text.encode(), SiteFile, where=str(path), code=codes.SITE_INVALID)
    atomic.write_bytes(path, text.encode())
    return open_site(folder)


def render_changes(changes: dict[str, Any]) -> str:
    """The TOML text that sets exactly `changes`; keys are ``section.setting``."""
    sections: dict[str, list[str]] = {}
    for key, value in sorted(changes.items()):
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(f"{name} = {_toml_value(value)}")
    lines = ["# Settings of this site that differ from the defaults. All settings: appliance site show"]
    for section, entries in sections.items():
        lines += ["", f"[{section}]", *entries]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return msgspec.json.encode(str(value)).decode()  # JSON strings are valid TOML basic strings


@dataclass(frozen=True, kw_only=True)
class SettingRow:
    """One line of ``appliance site show`` and of the settings page."""

    key: str
    type: str
    unit: str
    default: Any
    value: Any
    help: str


def setting_rows(settings: SiteFile) -> Iterator[SettingRow]:
    """All settings in order of declaration."""
    for section in msgspec.structs.fields(SiteFile):
        values = getattr(settings, section.name)
        for field in msgspec.structs.fields(section.type):
            schema = msgspec.json.schema(field.type)
            yield SettingRow(
                key=f"{section.name}.{field.name}",
                type=" | ".join(map(str, schema["enum"])) if "enum" in schema else str(schema.get("type", "")),
                unit=str(schema.get("unit", "")),
                default=field.default,
                value=getattr(values, field.name),
                help=str(schema.get("description", "")),
            )
