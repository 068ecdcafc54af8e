"""Lineage documents: the one way in which an artifact says what it rests on.

Rules
1. A document is canonical JSON and its id is the digest of these bytes; it is kept as ``<folder>/<hex>.json``.
2. Its id is an entry of the transparency log, appended after the document is durable: the log never names what is
   not there. Writing the same document again is harmless and adds no second entry.
3. Documents are written before the change that they describe. A crash leaves at most one that nothing points to.
4. Paths in it are relative to the site folder, so that a site can be moved or handed over whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from appliance.base import atomic
from appliance.base.canonical import canonical, parse_canonical
from appliance.base.digest import PREFIX, digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.governance import lineage_codes as codes

KEYS = {"kind", "name", "files", "inputs", "facts"}


class EntryLog(Protocol):
    """The transparency log, as far as lineage needs it."""

    def append(self, entries: Sequence[bytes]) -> object:
        """Make the entries durable, in order."""


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A file that the artifact consists of: path from the site folder, digest, size in bytes."""

    path: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, kw_only=True)
class Document:
    """One lineage document. `inputs` are ids of other documents; `facts` is JSON without floats."""

    id: str
    kind: str
    name: str
    files: tuple[FileRecord, ...]
    inputs: tuple[str, ...]
    facts: Mapping[str, Any]


class Lineage:
    def __init__(self, folder: Path, log: EntryLog) -> None:
        self._folder = folder
        self._log = log

    def write(
        self,
        *,
        kind: str,
        name: str,
        files: Sequence[FileRecord],
        inputs: Sequence[str],
        facts: Mapping[str, Any],
    ) -> str:
        """Write the document and log its id; gives the id.

        Raises:
            ApplianceError: APL-BASE-001 for facts without a canonical form, APL-BASE-002 when it cannot be written.
        """
        data = canonical(
            {
                "kind": kind,
                "name": name,
                "files": [file.as_json() for file in files],
                "inputs": [PREFIX + hex_of(each) for each in inputs],
                "facts": dict(facts),
            }
        )
        id = digest_bytes(data)
        logged = self._logged(id)
        if not logged.exists():
            atomic.write_bytes(self.path_of(id), data, mode=0o444)
            self._log.append([canonical({"kind": "lineage", "id": id})])
            atomic.write_bytes(logged, b"")
        return id

    def load(self, id: str) -> Document:
        """The document, checked against its id.

        Raises:
            ApplianceError: APL-LINEAGE-001 it is not there, APL-LINEAGE-002 its bytes are not those of its id.
        """
        path = self.path_of(id)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ApplianceError(codes.LINEAGE_MISSING, f"{id}: {error.strerror}", where=str(path)) from error
        if digest_bytes(data) != id:
            raise ApplianceError(
                codes.LINEAGE_ALTERED, f"expected {id}, the bytes have {digest_bytes(data)}", where=str(path)
            )
        value = parse_canonical(data)
        if not isinstance(value, dict) or set(value) != KEYS:
            raise ApplianceError(codes.LINEAGE_ALTERED, f"{id} is not a lineage document", where=str(path))
        return Document(
            id=id,
            kind=value["kind"],
            name=value["name"],
            files=tuple(FileRecord(**file) for file in value["files"]),
            inputs=tuple(value["inputs"]),
            facts=value["facts"],
        )

    def walk(self, id: str) -> Iterator[Document]:
        """The document and everything it rests on, each once, nearest first.

        Raises:
            ApplianceError: see `load`.
        """
        waiting, seen = [id], {id}
        for each in waiting:
            document = self.load(each)
            yield document
            fresh = [other for other in document.inputs if other not in seen]
            waiting += dict.fromkeys(fresh)
            seen.update(fresh)

    def path_of(self, id: str) -> Path:
        return self._folder / f"{hex_of(id)}.json"

    def _logged(self, id: str) -> Path:
        """Marks that the log holds the id. If a crash comes before it, the entry is appended twice: harmless."""
        return self._folder / "logged" / hex_of(id)
