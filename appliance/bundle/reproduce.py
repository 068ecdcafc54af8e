"""Builds a bundle again and compares: member by member, to the byte.

The lock is the one in the bundle; the store and the repository are the second builder's. A repository of another state
is named first: its bytes cannot be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.manifest import NAME, Manifest

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Differs:
    """A member that is not the same.

    Attributes:
        what: ``missing``, ``more`` (only in the second) or ``differs``.
        offset: of the first byte that differs; -1 where there is none to compare.
    """

    path: str
    what: str
    offset: int = -1


def compare(first: Path, one: Manifest, second: Path, other: Manifest) -> tuple[Differs, ...]:
    """Members of `first` that `second` does not have byte for byte, in order of path; the manifest last.

    The folders are read where the manifests differ; both must be intact.
    """
    mine = {each.path: each for each in one.members}
    theirs = {each.path: each for each in other.members}
    found = []
    for path in sorted(mine.keys() | theirs.keys()):
        if path not in theirs or path not in mine:
            found.append(Differs(path=path, what="missing" if path not in theirs else "more"))
        elif mine[path].digest != theirs[path].digest:
            found.append(Differs(path=path, what="differs", offset=first_difference(first / path, second / path)))
        elif mine[path] != theirs[path]:
            found.append(Differs(path=path, what="differs"))
    if not found and one != other:
        found.append(Differs(path=NAME, what="differs", offset=first_difference(first / NAME, second / NAME)))
    return tuple(found)


def first_difference(one: Path, other: Path) -> int:
    """The offset of the first byte in which two files differ; -1 when they are the same."""
    offset = 0
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            a, b = left.read(BLOCK_BYTES), right.read(BLOCK_BYTES)
            if a != b:
                same = next(
                    (place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
                )
                return offset + same
            if not a:
                return -1
            offset += len(a)
