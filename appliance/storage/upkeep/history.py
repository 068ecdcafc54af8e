"""What the commit documents of a table say about its data files: which there were, and what stands in for them now.

Rules
1. The table's own chain counts, from the document of its head down: a document of a commit that lost its race is logged
   as well, and says nothing about the table.
2. A commit's document begins its inputs with the one of the table's previous commit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from appliance.base.clock import parse_rfc3339
from appliance.governance.lineage import Document, FileRecord
from appliance.storage.tables import LINEAGE, Head
from appliance.storage.upkeep.documents import COMMIT, rewrites_of


class LineageReader(Protocol):
    def load(self, id: str) -> Document:
        """The document, checked against its id."""


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """Attributes:
    by: id of the compaction's document.
    at: when it was made.
    file: that has the rows since then; it may have been replaced in turn.
    """

    by: str
    at: dt.datetime
    file: str


@dataclass(frozen=True, kw_only=True)
class FileHistory:
    """All data files that a table ever had, by path, and those that a compaction replaced."""

    files: Mapping[str, FileRecord]
    replaced: Mapping[str, Replacement]

    def standing(self, path: str) -> FileRecord:
        """The file that has the rows of `path` today: itself, or the end of the chain of its replacements."""
        while path in self.replaced:
            path = self.replaced[path].file
        return self.files[path]


def file_history(lineage: LineageReader, name: str, head: Head) -> FileHistory:
    """Raises:
    ApplianceError: APL-LINEAGE-001, 002 a document of the chain is missing or altered.
    """
    files: dict[str, FileRecord] = {}
    replaced: dict[str, Replacement] = {}
    id = head.properties.get(LINEAGE)
    while id is not None:
        document = lineage.load(id)
        if document.kind != COMMIT or document.name != name:
            break
        files.update({each.path: each for each in document.files})
        for rewrite in rewrites_of(document):
            made = Replacement(by=document.id, at=parse_rfc3339(document.facts["at"]), file=rewrite.file)
            replaced.update(dict.fromkeys((each.path for each in rewrite.replaced), made))
        id = document.inputs[0] if document.inputs else None
    return FileHistory(files=files, replaced=replaced)
