"""Walks lineage documents and checks every file and log entry on the way. Knows no kind of artifact.

Checks of one document, in order
1. Its bytes have the digest that is its id.
2. Its id is an entry of the transparency log.
3. Every file that it names is there, is a regular file, and has the named digest.

A document or file that fails does not stop the walk: all broken links are reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from appliance.base.canonical import canonical
from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Document, FileRecord, Lineage
from appliance.orchestration.verdict import Link

THREADS = 2  # hashing lets go of the interpreter lock, so two cores hash side by side


class Chain:
    """The documents that some artifacts rest on, each loaded and checked once."""

    def __init__(self, *, site_folder: Path, lineage: Lineage, log_entries: Iterable[bytes]) -> None:
        self._site_folder, self._lineage = site_folder, lineage
        self._logged = set(log_entries)
        self.documents: dict[str, Document] = {}
        self.links: list[Link] = []

    def add(self, id: str) -> None:
        """Walk from `id` down; documents seen before are not walked again."""
        waiting = [id]
        fresh: list[Document] = []
        for each in waiting:
            if each in self.documents:
                continue
            try:
                document = self._lineage.load(each)
            except ApplianceError as error:
                self.links.append(
                    Link(
                        kind="lineage", name=each, path=self._relative(error.where), ok=False, detail=str(error.message)
                    )
                )
                continue
            self.documents[each] = document
            fresh.append(document)
            waiting += document.inputs
        for document in fresh:
            entry = canonical({"kind": "lineage", "id": document.id})
            logged = entry in self._logged
            self.links.append(
                Link(
                    kind="lineage",
                    name=f"{document.kind} {document.name}",
                    path=self._relative(str(self._lineage.path_of(document.id))),
                    ok=logged,
                    detail="its id is an entry of the log" if logged else f"{document.id} is not in the log",
                )
            )
        files = [(document, file) for document in fresh for file in document.files]
        with ThreadPoolExecutor(THREADS) as pool:
            self.links += pool.map(lambda pair: self._check_file(*pair), files)

    def of_kind(self, kind: str, name: str | None = None) -> Iterator[Document]:
        """The walked documents of a kind, in order of the walk."""
        for document in self.documents.values():
            if document.kind == kind and (name is None or document.name == name):
                yield document

    def path(self, file: FileRecord) -> Path:
        return self._site_folder / file.path

    def _check_file(self, document: Document, file: FileRecord) -> Link:
        path = self._site_folder / file.path
        name = f"{document.kind} {document.name}"
        try:
            if path.is_symlink():
                return Link(kind="file", name=name, path=file.path, ok=False, detail="is a link, not a file")
            found = digest_file(path)
        except OSError as error:
            return Link(kind="file", name=name, path=file.path, ok=False, detail=f"cannot be read: {error.strerror}")
        ok = found == file.digest
        detail = file.digest if ok else f"expected {file.digest}, got {found}"
        return Link(kind="file", name=name, path=file.path, ok=ok, detail=detail)

    def _relative(self, path: str | None) -> str:
        if path is None:
            return ""
        try:
            return Path(path).relative_to(self._site_folder).as_posix()
        except ValueError:
            return path
