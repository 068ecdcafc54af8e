"""How a file of a bundle may be called.

Rules
1. Relative, ``/`` between parts, at most 8 parts and 240 bytes: every file system that a medium may have takes it.
2. A part is letters, digits and ``. _ + - ~ % @ = ,``, at most 128; it begins with none of ``. - ~`` and does not end
   in a dot. So no name is hidden, an option, a link to a folder above, or one that a file system changes.
3. Two names that differ in case only are one file on some file systems: no bundle has both (`case_clash`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_PARTS = 8
MAX_BYTES = 240
_PART = re.compile(r"[A-Za-z0-9_+%@=,][A-Za-z0-9._+~%@=,-]{0,127}(?<!\.)")


def fault_of(path: str) -> str:
    """Why a bundle cannot hold a file of this name; empty when it can."""
    parts = path.split("/")
    if len(path) > MAX_BYTES or len(parts) > MAX_PARTS:
        return f"longer than {MAX_BYTES} bytes or deeper than {MAX_PARTS} folders"
    bad = next((part for part in parts if not _PART.fullmatch(part)), None)
    return "" if bad is None else f"the part {bad[:40]!r} is not allowed"


def case_clash(paths: Iterable[str]) -> tuple[str, str] | None:
    """Two names, of files or of the folders above them, that differ in case only."""
    seen: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            name = "/".join(parts[:end])
            other = seen.setdefault(name.lower(), name)
            if other != name:
                return other, name
    return None
