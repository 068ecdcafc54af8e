"""What changed between two locks of one bundle: for the one who reviews a renewal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.bundle.lock import Input, Lock

BASE = "base"  # told beside the kinds of inputs


@dataclass(frozen=True, kw_only=True)
class Change:
    """A package, distribution or server of which something changed.

    Attributes:
        kind: that of its inputs, or ``base`` for a package that the host has.
        before, after: versions, empty when it was or is not there.
        licence: ``before -> after`` when it changed, else empty.
    """

    kind: str
    name: str
    before: str
    after: str
    licence: str

    @property
    def what(self) -> str:
        if not self.before or not self.after:
            return "added" if self.after else "removed"
        return "version" if self.before != self.after else "licence" if self.licence else "files"

    def as_json(self) -> dict[str, str]:
        words = {"kind": self.kind, "name": self.name, "before": self.before, "after": self.after}
        return {"what": self.what, **words, "licence": self.licence}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Attributes:
    changes: in order of kind and name.
    bytes_before, bytes_after: of all inputs.
    """

    changes: list[Change]
    bytes_before: int
    bytes_after: int

    def as_json(self) -> dict[str, Any]:
        return {
            "changes": [each.as_json() for each in self.changes],
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
        }


def difference(before: Lock | None, after: Lock) -> Difference:
    """`before`: None when there was no lock; everything is added then. Reasons (`wanted_by`) are not compared."""
    old, new = _parts(before), _parts(after)
    changes = []
    for kind, name in sorted(old.keys() | new.keys()):
        was, now = old.get((kind, name), _NOTHING), new.get((kind, name), _NOTHING)
        if was != now:
            relicensed = was.version and now.version and was.licence != now.licence
            licence = f"{was.licence or 'none told'} -> {now.licence or 'none told'}" if relicensed else ""
            changes.append(Change(kind=kind, name=name, before=was.version, after=now.version, licence=licence))
    return Difference(
        changes=changes,
        bytes_before=size_bytes(before.inputs if before else []),
        bytes_after=size_bytes(after.inputs),
    )


def size_bytes(inputs: Sequence[Input]) -> int:
    return sum(each.size_bytes for each in inputs)


@dataclass(frozen=True)
class _Part:
    version: str
    licence: str
    files: tuple[tuple[str, str, bool], ...]


_NOTHING = _Part("", "", ())


def _parts(lock: Lock | None) -> dict[tuple[str, str], _Part]:
    if lock is None:
        return {}
    found: dict[tuple[str, str], _Part] = {(BASE, each.name): _Part(each.version, "", ()) for each in lock.base}
    groups: dict[tuple[str, str], list[Input]] = {}
    for each in lock.inputs:
        groups.setdefault((each.kind, each.name), []).append(each)
    for key, group in groups.items():
        found[key] = _Part(
            version=", ".join(sorted({each.version for each in group})),
            licence=", ".join(sorted({each.licence for each in group} - {""})),
            files=tuple((each.path, each.digest, each.executable) for each in group),
        )
    return found
