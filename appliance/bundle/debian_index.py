"""Reads the ``Packages`` files of Debian that apt fetched and checked. Pure but for reading the files.

One version of one package is a `Stanza`; an index holds several versions of a package where several suites do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SOURCE = re.compile(r"(?P<name>\S+)(?:\s+\((?P<version>\S+)\))?")
_NAME_IN_DEPENDS = re.compile(r"\s*([a-z0-9][a-z0-9+.-]+)")


@dataclass(frozen=True)
class Stanza:
    """One version of a package as an index describes it.

    Attributes:
        text: the stanza as it stands in the index, without an end of line.
        suite: ``bookworm main``, ``bookworm-security main``.
    """

    text: str
    suite: str
    fields: Mapping[str, str] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.fields["Package"]

    @property
    def version(self) -> str:
        return self.fields["Version"]

    @property
    def file_name(self) -> str:
        return self.fields["Filename"].rpartition("/")[2]

    @property
    def size_bytes(self) -> int:
        return int(self.fields["Size"])

    @property
    def digest(self) -> str:
        return f"sha256:{self.fields['SHA256']}"

    @property
    def required(self) -> bool:
        """Whether the smallest Debian has it: debootstrap's minbase takes these."""
        return self.fields.get("Priority") == "required" or self.fields.get("Essential") == "yes"

    @property
    def source(self) -> tuple[str, str]:
        """Name and version of the source package; a rebuild or a renamed binary has another one than its own."""
        match = _SOURCE.match(self.fields.get("Source", ""))
        return (match["name"], match["version"] or self.version) if match else (self.name, self.version)

    def needs(self) -> set[str]:
        """Names, of packages or provided, that it needs before or while it runs; every alternative is among them."""
        text = ",".join(self.fields.get(key, "") for key in ("Pre-Depends", "Depends")).replace("|", ",")
        return {match[1] for part in text.split(",") if (match := _NAME_IN_DEPENDS.match(part))}

    def provides(self) -> set[str]:
        text = self.fields.get("Provides", "")
        return {match[1] for part in text.split(",") if (match := _NAME_IN_DEPENDS.match(part))}


class Index:
    """Every package that the suites offer."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        """`texts`: pairs of a suite and the text of its ``Packages``."""
        self._raw: dict[str, list[tuple[str, str]]] = {}
        for suite, text in texts:
            for stanza in text.split("\n\n"):
                stanza = stanza.strip("\n")
                if stanza:
                    name = stanza.partition("\n")[0].removeprefix("Package: ")
                    self._raw.setdefault(name, []).append((suite, stanza))

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def versions(self, name: str) -> list[Stanza]:
        return [Stanza(text, suite, parse_stanza(text)) for suite, text in self._raw.get(name, ())]

    def find(self, name: str, version: str) -> Stanza | None:
        return next((each for each in self.versions(name) if each.version == version), None)

    def required(self) -> list[str]:
        """Names of the packages that every Debian has."""
        words = ("\nPriority: required", "\nEssential: yes")
        return sorted(
            name
            for name, found in self._raw.items()
            if any(word in text for _, text in found for word in words) and any(s.required for s in self.versions(name))
        )


def read_index(files: Iterable[tuple[str, Path]]) -> Index:
    """`files`: pairs of a suite and the path of its ``Packages``. Raises OSError."""
    return Index((suite, path.read_text(encoding="utf-8")) for suite, path in files)


def parse_stanza(text: str) -> dict[str, str]:
    """The fields of one stanza; the further lines of a field are joined with an end of line."""
    fields: dict[str, str] = {}
    key = ""
    for line in text.split("\n"):
        if line[:1] in (" ", "\t"):
            fields[key] = f"{fields[key]}\n{line.strip()}" if key else ""
        else:
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    return fields
