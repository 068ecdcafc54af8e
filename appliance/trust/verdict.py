"""What a verification found: links, each with its file, and what is and is not established. Never a boolean.

A link is one thing that was checked. The verdict holds when every link holds. `established` and `not_established` are
sentences for people; the second is never empty, because no check proves everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FILES: Mapping[str, str] = {"file": "with the digests that were logged"}


@dataclass(frozen=True, kw_only=True)
class Link:
    """One checked thing.

    Attributes:
        kind: what was checked, for example ``file``, ``signature``, ``log``, ``recomputed``.
        name: of the artifact that it belongs to.
        path: the file, relative to the site folder; empty when the link is no single file.
        detail: what was found, with both values when it does not hold.
    """

    kind: str
    name: str
    path: str
    ok: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome for one subject."""

    subject: str
    links: tuple[Link, ...]
    established: tuple[str, ...]
    not_established: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return bool(self.links) and all(link.ok for link in self.links)

    @property
    def step(self) -> str | None:
        """What kind of check failed first; None when every link holds."""
        return next((link.kind for link in self.links if not link.ok), None)

    @property
    def broken(self) -> tuple[Link, ...]:
        return tuple(link for link in self.links if not link.ok)

    def as_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "verified": self.ok,
            "step": self.step,
            "links": [asdict(link) for link in self.links],
            "established": list(self.established),
            "not_established": list(self.not_established),
        }

    def text(self, *, files: bool = False, sums: Mapping[str, str] = FILES) -> str:
        """For people: the chain from the subject down.

        Args:
            files: list every link.
            sums: kinds of links that are summed up where they hold, unless `files` -> what the sum says of them.
        """
        lines = [f"{self.subject}: {'VERIFIED' if self.ok else 'NOT VERIFIED'}", ""]
        held: dict[tuple[str, str], int] = {}
        for link in self.links:
            if link.ok and link.kind in sums and not files:
                held[link.kind, link.name] = held.get((link.kind, link.name), 0) + 1
                continue
            mark = "ok " if link.ok else "BAD"
            place = f"  [{link.path}]" if link.path else ""
            lines.append(f"  {mark} {link.kind:<11} {link.name}: {link.detail}{place}")
        lines += [f"  ok  {kind + 's':<11} {name}: {count} {sums[kind]}" for (kind, name), count in held.items()]
        lines += ["", "established"]
        lines += [f"  + {sentence}" for sentence in self.established]
        lines += ["not established"]
        lines += [f"  - {sentence}" for sentence in self.not_established]
        return "\n".join(lines)
