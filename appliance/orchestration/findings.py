"""Collects what a verification finds: links, and sentences about what is established.

A check that raises becomes a broken link with the file that its error names, else with the file that the caller names;
no exception of a check leaves this module, but for that of a store that cannot be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from appliance.base.errors import ApplianceError
from appliance.storage.codes import NOT_SEEN
from appliance.trust.verdict import Link

T = TypeVar("T")


class Findings:
    """What one verification of the site in `site_folder` found so far."""

    def __init__(self, site_folder: Path) -> None:
        self._site_folder = site_folder
        self.links: list[Link] = []
        self.established: list[str] = []
        self.not_established: list[str] = []

    @property
    def broken(self) -> list[Link]:
        return [link for link in self.links if not link.ok]

    def note(self, kind: str, name: str, path: str, ok: bool, detail: str) -> None:
        self.links.append(Link(kind=kind, name=name, path=path, ok=ok, detail=detail))

    def attempt(self, name: str, check: Callable[[], T], path: str, kind: str = "check") -> T | None:
        """The result of a check, or None after noting why it did not pass."""
        try:
            return check()
        except ApplianceError as error:
            if error.code in NOT_SEEN:
                raise  # a store that cannot be asked says nothing about its files
            self.note(kind, name, self._named(error.where) or path, False, str(error))
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            self.note(kind, name, path, False, f"{type(error).__name__}: {error}")
        return None

    def held_files(self) -> set[str]:
        """The files that were checked and hold in every link."""
        held = {link.path for link in self.links if link.kind == "file" and link.ok}
        return held - {link.path for link in self.broken}

    def sound(self, paths: Iterable[str]) -> bool:
        """Whether every one of `paths` was checked as a file and holds."""
        return self.held_files().issuperset(paths)

    def inside(self, path: Path) -> str:
        """The path relative to the site; links are not followed."""
        try:
            return path.absolute().relative_to(self._site_folder).as_posix()
        except ValueError:
            return str(path)

    def refuse_symbolic_links(self) -> None:
        """A link holds today and points elsewhere tomorrow: what was checked must be files of the site itself."""
        for path in dict.fromkeys(link.path for link in self.links if link.ok and link.path):
            if (self._site_folder / path).is_symlink():
                self.note("file", Path(path).name, path, False, "is a link, not a file")

    def _named(self, where: str | None) -> str:
        """The file of the site that an error names, else empty."""
        if where is None or not Path(where).is_absolute():
            return ""
        path = self.inside(Path(where))
        return "" if Path(path).is_absolute() else path
