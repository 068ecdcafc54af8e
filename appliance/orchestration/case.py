"""What the parts of a verification share: one site, its verified log, and what was found so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from appliance.base.canonical import parse_canonical
from appliance.base.clock import Clock
from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError
from appliance.config.site import Site
from appliance.governance import stages
from appliance.governance.lineage import Document, Lineage
from appliance.governance.stages import History
from appliance.orchestration.chain import Chain
from appliance.orchestration.findings import Findings
from appliance.storage.files import SiteFiles
from appliance.trust import enrollment
from appliance.trust.anchor import Anchor
from appliance.trust.enrollment import Enrolled


@dataclass(kw_only=True)
class Case:
    """One verification. `entries` are the log's, verified against its signed checkpoint."""

    site: Site
    files: SiteFiles
    clock: Clock
    anchor: Anchor
    entries: list[bytes]
    lineage: Lineage
    findings: Findings
    chain: Chain

    @cached_property
    def history(self) -> History:
        return stages.replay(self.entries)

    @cached_property
    def enrolled(self) -> Mapping[str, Enrolled]:
        return enrollment.enrolled(self.entries)

    @cached_property
    def lineage_ids(self) -> tuple[str, ...]:
        """Ids of all lineage documents that the log names, oldest first."""
        found = (str(parse_canonical(entry)["id"]) for entry in self.entries if b'"kind":"lineage"' in entry)
        return tuple(dict.fromkeys(found))

    @cached_property
    def signed(self) -> frozenset[str]:
        """Digests of all statements that were signed, by the log."""
        bodies = (parse_canonical(entry) for entry in self.entries if b'"kind":"dsse"' in entry)
        return frozenset(PREFIX + body["spec"]["payloadHash"]["value"] for body in bodies if body["kind"] == "dsse")

    def documents(self, kind: str, name: str | None = None) -> Iterator[Document]:
        """Documents that the log names, as they can be read now, oldest first; those that cannot are left out."""
        for id in self.lineage_ids:
            try:
                document = self.lineage.load(id)
            except (ApplianceError, ValueError, TypeError, KeyError):
                self.chain.add(id)  # reports it
                continue
            if document.kind == kind and name in (None, document.name):
                yield document

    def path(self, inside: str) -> Path:
        """A file or folder of those that always lie in the site's folder."""
        return self.site.folder / inside
