"""What upkeep leaves to be read: the facts of a compaction's commit document, and removal documents.

A **compaction** is a commit like any other: ``kind`` ``commit``, inputs that begin with the table's previous commit.
Its files are the new ones, and its facts say which files each of them stands in for::

    {"upkeep": "compaction", "at": RFC 3339, "rewrites": [{"file": path, "rows": n, "content": digest of the rows,
     "replaced": [{"path", "digest", "size"}, …]}, …]}

``content`` was computed twice, over the rows of the files replaced and over those read back from the new one, and the
commit was made only when both were equal (see `row_digest`).

A **removal** (``kind`` ``removal``, named for the table) is written before files are deleted. It has no files; its
inputs are the compactions that replaced what goes::

    {"at": RFC 3339, "removed": [{"path", "digest", "size", "replaced_by": id of the compaction, or empty}, …]}

An empty ``replaced_by`` is a file that no commit of the table ever held (a writer was ended before its swap).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.base.clock import parse_rfc3339, rfc3339
from appliance.governance.lineage import Document, FileRecord

COMMIT = "commit"
REMOVAL = "removal"
COMPACTION = "compaction"
MANIFESTS = "manifests"


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """One new file and the files that it stands in for; `content` is the digest of the `rows` rows."""

    file: str
    rows: int
    content: str
    replaced: tuple[FileRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A file whose bytes were removed; `replaced_by` is the id of a compaction, empty for a file of no commit."""

    file: FileRecord
    replaced_by: str


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A removal document."""

    id: str
    table: str
    at: dt.datetime
    removed: tuple[Removed, ...]


def compaction_facts(rewrites: Sequence[Rewrite], at: dt.datetime) -> dict[str, Any]:
    return {
        "upkeep": COMPACTION,
        "at": rfc3339(at),
        "rewrites": [
            {
                "file": each.file,
                "rows": each.rows,
                "content": each.content,
                "replaced": [file.as_json() for file in each.replaced],
            }
            for each in rewrites
        ],
    }


def manifests_facts(at: dt.datetime) -> dict[str, Any]:
    return {"upkeep": MANIFESTS, "at": rfc3339(at)}


def removal_facts(removed: Sequence[Removed], at: dt.datetime) -> dict[str, Any]:
    return {
        "at": rfc3339(at),
        "removed": [{**each.file.as_json(), "replaced_by": each.replaced_by} for each in removed],
    }


def rewrites_of(document: Document) -> tuple[Rewrite, ...]:
    """The rewrites of a commit document; none when it is no compaction.

    Raises:
        KeyError, TypeError: the facts have another form.
    """
    if document.kind != COMMIT or document.facts.get("upkeep") != COMPACTION:
        return ()
    return tuple(
        Rewrite(
            file=each["file"],
            rows=each["rows"],
            content=each["content"],
            replaced=tuple(FileRecord(**file) for file in each["replaced"]),
        )
        for each in document.facts["rewrites"]
    )


def removal_of(document: Document) -> Removal:
    """What a document of kind `REMOVAL` says.

    Raises:
        KeyError, TypeError, ValueError: the facts have another form.
    """
    return Removal(
        id=document.id,
        table=document.name,
        at=parse_rfc3339(document.facts["at"]),
        removed=tuple(
            Removed(
                file=FileRecord(path=each["path"], digest=each["digest"], size=each["size"]),
                replaced_by=each["replaced_by"],
            )
            for each in document.facts["removed"]
        ),
    )
