"""Files whose bytes upkeep removed: which documents say so, and in which files their rows stand.

Rules
1. A missing file counts as removed only when a removal document that the log names lists it with the digest that was
   expected. Any other missing file is broken.
2. The compaction that the removal names must be logged as well, and name the file with that digest among those that it
   replaced. The file that it wrote must hold its own digest, or be removed by the same rules.
3. A removed file is neither broken nor established. That its rows are those of the file that stands in for it is what
   the compaction recorded; nobody can recompute it from bytes any more.
4. A removal without a compaction is for files that no commit of the table held, so only for a document that nothing
   rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance.base.clock import rfc3339
from appliance.governance.lineage import Document, FileRecord
from appliance.storage.upkeep.documents import REMOVAL, Removal, Rewrite, removal_of, rewrites_of


@dataclass(frozen=True, kw_only=True)
class RemovedFile:
    """Attributes:
    of: kind and name of the document that names the file.
    rewrite: of the compaction that replaced it; None for a file of no commit.
    compaction: id of the compaction's document, empty where there is none.
    """

    of: str
    file: FileRecord
    removal: Removal
    compaction: str
    rewrite: Rewrite | None


def index(documents: Iterable[Document]) -> Mapping[tuple[str, str], tuple[Removal, str]]:
    """(path, digest) -> the oldest removal that names it, and the compaction that replaced it."""
    found: dict[tuple[str, str], tuple[Removal, str]] = {}
    for document in documents:
        if document.kind == REMOVAL:
            removal = removal_of(document)
            for each in removal.removed:
                found.setdefault((each.file.path, each.file.digest), (removal, each.replaced_by))
    return found


def rewrite_of(compaction: Document, file: FileRecord) -> Rewrite | None:
    """The rewrite by which a compaction replaced `file`, if it did."""
    return next((each for each in rewrites_of(compaction) if file in each.replaced), None)


def standing(paths: Iterable[str], removed: Mapping[str, RemovedFile]) -> set[str] | None:
    """Files that hold the very rows of `paths` together, and are there; None when there are none such.

    A file that stands in for a removed one may hold rows of other files too; it counts only when all of these are
    among `paths`.
    """
    found = set(paths)
    while gone := found & removed.keys():
        rewrite = removed[min(gone)].rewrite
        old = {file.path for file in rewrite.replaced} if rewrite else set()
        if rewrite is None or not old <= found:
            return None
        found = (found - old) | {rewrite.file}
    return found


def stands_in(path: str, removed: Mapping[str, RemovedFile]) -> str | None:
    """The file that has the rows of `path` today, with or without those of other files; None when none has them."""
    while path in removed:
        rewrite = removed[path].rewrite
        if rewrite is None:
            return None
        path = rewrite.file
    return path


def sentences(removed: Mapping[str, RemovedFile]) -> list[str]:
    """What is not established about removed files: one sentence for those that went together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for path, each in removed.items():
        place = stands_in(path, removed)
        rows = f"rows stand in {place} by {each.compaction}" if place else "no commit held it"
        key = (each.of, rfc3339(each.removal.at), each.removal.id, rows)
        groups.setdefault(key, []).append(path)
    return [
        f"the bytes of {of}: removed on {at} by upkeep ({removal}), {rows}: {', '.join(sorted(paths))}"
        for (of, at, removal, rows), paths in groups.items()
    ]
