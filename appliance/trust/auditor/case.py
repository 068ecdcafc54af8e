"""What is asked of a pack, and what its audit has found so far.

Rules
1. Every step that was judged leaves a link; nothing that was found is taken back.
2. A step that does not hold is named after the error's code, unless whoever judged it says which it is.
3. What could not be judged is a sentence among what is not established: silence is no claim.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.trust.auditor import steps
from appliance.trust.verdict import Link, Verdict


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a pack.

    Attributes:
        root_digest: of the first root, from paper.
        memory: the auditor's own folder; None remembers nothing, and then rollback and fork are not established.
        not_older_than: the newest witnessed time must be this or later.
    """

    root_digest: str
    memory: Path | None = None
    not_older_than: dt.datetime | None = None


@dataclass(kw_only=True)
class Case:
    """What is known so far.

    Attributes:
        folder: the pack, unpacked.
        state: trust roots of this audit, a copy of those that are remembered.
        evidence: file that proves a fork, where one was found.
    """

    folder: Path
    question: Question
    state: Path
    progress: Progress
    links: list[Link] = field(default_factory=list)
    established: list[str] = field(default_factory=list)
    not_established: list[str] = field(default_factory=list)
    evidence: Path | None = None

    def holds(self, step: str, detail: str, path: str = "", *, name: str = "pack") -> None:
        self.links.append(Link(kind=step, name=name, path=path, ok=True, detail=detail))

    def refuse(self, error: ApplianceError, *, step: str = "", name: str = "pack", path: str = "") -> None:
        """A step that does not hold; without `step` it is that of the error's code."""
        self.links.append(
            Link(
                kind=step or steps.step_of(error),
                name=name,
                path=path or (error.where or ""),
                ok=False,
                detail=f"{error.code.id} {error.message}",
            )
        )

    @property
    def ok(self) -> bool:
        """Whether every step so far holds."""
        return all(link.ok for link in self.links)

    def verdict(self, subject: Path) -> Verdict:
        not_established = list(self.not_established)
        if self.evidence is not None:
            not_established.append(
                f"which of two histories is the right one; evidence of the fork is in {self.evidence}"
            )
        return Verdict(
            subject=str(subject),
            links=tuple(self.links),
            established=tuple(self.established),
            not_established=(*not_established, "that what the signers vouched for is good"),
        )
