"""Walks lineage documents and checks every file and log entry on the way. Knows no kind of artifact.

Checks of one document, in order
1. Its bytes have the digest that is its id.
2. Its id is an entry of the transparency log.
3. Every file that it names is there, is no link, and has the named digest; or upkeep removed it, by the rules
   of `removed_files`. What those rest on is checked, and not walked: it came later.

A document or file that fails does not stop the walk: all broken links are reported. A store that cannot be asked does
stop it: of its files nothing was seen, which is no finding about them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Document, FileRecord, Lineage
from appliance.orchestration.findings import Findings
from appliance.orchestration.removed_files import RemovedFile, index, rewrite_of
from appliance.storage.files import SiteFiles
from appliance.storage.upkeep.documents import Removal
from appliance.trust.verdict import Link

THREADS = 2  # hashing lets go of the interpreter lock, so two cores hash side by side


class Chain:
    """The documents that some artifacts rest on, each loaded and checked once.

    Attributes:
        whole: false when a document could not be read, so that what it rests on is not known.
        removed: files of the walked documents, and of those that stand in for them, whose bytes upkeep removed.
    """

    def __init__(self, *, files: SiteFiles, lineage: Lineage, log_entries: Iterable[bytes], findings: Findings) -> None:
        self._files, self._lineage, self._findings = files, lineage, findings
        self._entries = tuple(log_entries)
        self._logged = set(self._entries)
        self._refused: set[str] = set()
        self.documents: dict[str, Document] = {}
        self.removed: dict[str, RemovedFile] = {}

    @property
    def whole(self) -> bool:
        return not self._refused

    def add(self, id: str) -> None:
        """Walk from `id` down; documents seen before are not walked again."""
        waiting = [id]
        fresh: list[Document] = []
        for each in waiting:
            if each in self.documents or each in self._refused:
                continue
            document = self._load(each)
            if document is not None:
                self.documents[each] = document
                fresh.append(document)
                waiting += document.inputs
        for document in fresh:
            self._check_logged(document)
        files = [(document, file) for document in fresh for file in document.files]
        with ThreadPoolExecutor(THREADS) as pool:
            links = list(pool.map(lambda pair: self.check_file(*pair), files))
        for (document, file), link in zip(files, links, strict=True):
            self._keep(document, file, link, alone=document.id == id)

    def of_kind(self, kind: str, name: str | None = None) -> Iterator[Document]:
        """The walked documents of a kind, in order of the walk."""
        for document in self.documents.values():
            if document.kind == kind and (name is None or document.name == name):
                yield document

    def below(self, top: str) -> set[str]:
        """Ids of a walked document and all that it rests on."""
        seen, waiting = {top}, [top]
        for each in waiting:
            document = self.documents.get(each)
            fresh = [other for other in document.inputs if other not in seen] if document else []
            seen.update(fresh)
            waiting += fresh
        return seen

    def was_removed(self, file: FileRecord) -> bool:
        """Whether the file is not there, and the log has a removal of it."""
        there = self._files.is_link(file.path) or self._files.holds(file.path)
        return not there and (file.path, file.digest) in self._removals

    def _check_logged(self, document: Document) -> None:
        logged = canonical({"kind": "lineage", "id": document.id}) in self._logged
        self._findings.note(
            "lineage",
            _name(document),
            self._findings.inside(self._lineage.path_of(document.id)),
            logged,
            "its id is an entry of the log" if logged else f"{document.id} is not in the log",
        )

    def _keep(self, document: Document, file: FileRecord, link: Link, *, alone: bool) -> None:
        """Keep what was found of a file; in place of a removed one, what is found of those that stand in for it.

        Args:
            alone: nothing rests on the document.
        """
        fault = self._follow(document, file, alone=alone) if self.was_removed(file) else link.detail
        if link.ok or fault:
            self._findings.links.append(link if link.ok else Link(**{**vars(link), "detail": fault}))

    def _follow(self, document: Document, file: FileRecord, *, alone: bool) -> str:
        """Check what says that the file was removed; gives what is wrong with it."""
        removal, id = self._removals[file.path, file.digest]
        self._check_logged(self._lineage.load(removal.id))
        rewrite = None
        if id:
            compaction = self.documents.get(id) or self._load(id)
            rewrite = rewrite_of(compaction, file) if compaction else None
            if compaction is None or rewrite is None:
                return f"{removal.id} says that {id} replaced it, and that does not name it"
            self._check_logged(compaction)
        elif not alone:
            return f"{removal.id} says that no commit held it, but {_name(document)} did"
        self.removed[file.path] = RemovedFile(
            of=_name(document), file=file, removal=removal, compaction=id, rewrite=rewrite
        )
        if rewrite is not None and compaction is not None and rewrite.file not in self.removed:
            new = next(each for each in compaction.files if each.path == rewrite.file)
            self._keep(compaction, new, self.check_file(compaction, new), alone=False)
        return ""

    @cached_property
    def _removals(self) -> Mapping[tuple[str, str], tuple[Removal, str]]:
        """Removals that the log names; read when the first file is missing."""
        return index(self._logged_documents())

    def _logged_documents(self) -> Iterator[Document]:
        for entry in self._entries:
            if b'"kind":"lineage"' in entry:
                try:
                    yield self._lineage.load(str(parse_canonical(entry)["id"]))
                except (ApplianceError, ValueError, TypeError, KeyError):
                    continue  # of what cannot be read nothing is believed; verification names it

    def _load(self, id: str) -> Document | None:
        path = self._lineage.path_of(id)
        try:
            return self._lineage.load(id)
        except (ApplianceError, ValueError, TypeError, KeyError) as error:
            detail = error.message if isinstance(error, ApplianceError) else f"is not a lineage document: {error}"
            self._refused.add(id)
            self._findings.note("lineage", id, self._findings.inside(path), False, detail)
            return None

    def check_file(self, document: Document, file: FileRecord) -> Link:
        """Compare one file with the digest that a document names."""
        name = _name(document)
        try:
            if self._files.is_link(file.path):
                return Link(kind="file", name=name, path=file.path, ok=False, detail="is a link, not a file")
            found = self._files.digest(file.path)
        except OSError as error:
            return Link(kind="file", name=name, path=file.path, ok=False, detail=f"cannot be read: {error.strerror}")
        ok = found == file.digest
        detail = file.digest if ok else f"expected {file.digest}, got {found}"
        return Link(kind="file", name=name, path=file.path, ok=ok, detail=detail)


def _name(document: Document) -> str:
    return f"{document.kind} {document.name}"
