"""What a verification found: links, each with its file, and what is and is not established. Never a boolean.

A link is one thing that was checked. The verdict holds when every link holds. `established` and `not_established` are
sentences for people; the second is never empty, because no check proves everything.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


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
    def broken(self) -> tuple[Link, ...]:
        return tuple(link for link in self.links if not link.ok)

    def as_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "verified": self.ok,
            "links": [asdict(link) for link in self.links],
            "established": list(self.established),
            "not_established": list(self.not_established),
        }

    def text(self, *, files: bool = False) -> str:
        """For people: the chain from the subject down, files summed up unless `files` asks for each."""
        lines = [f"{self.subject}: {'VERIFIED' if self.ok else 'NOT VERIFIED'}", ""]
        held: dict[str, int] = {}
        for link in self.links:
            if link.ok and link.kind == "file" and not files:
                held[link.name] = held.get(link.name, 0) + 1
                continue
            mark = "ok " if link.ok else "BAD"
            place = f"  [{link.path}]" if link.path else ""
            lines.append(f"  {mark} {link.kind:<11} {link.name}: {link.detail}{place}")
        lines += [
            f"  ok  {'files':<11} {name}: {count} with the digests that were logged" for name, count in held.items()
        ]
        lines += ["", "established"]
        lines += [f"  + {sentence}" for sentence in self.established]
        lines += ["not established"]
        lines += [f"  - {sentence}" for sentence in self.not_established]
        return "\n".join(lines)
