"""What lies in a folder: its files as a bundle may hold them, and everything that may not be there.

Rules
1. Nothing is followed and nothing is opened: names, kinds and sizes are enough.
2. A file is plain, has one name only, and a name that `member_path` allows. A folder is nothing of its own; an empty
   one does no harm.
3. Reading ends after `MOST` files, whatever there is: a hostile medium costs no more than a large one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.base.errors import ApplianceError, Code
from appliance.bundle import codes
from appliance.bundle.manifest import MAX_MEMBERS
from appliance.bundle.member_path import MAX_PARTS, case_clash, fault_of

MOST = 2 * MAX_MEMBERS  # files of a bundle and of its signatures, which are a few for each statement
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that may not be in a bundle; `path` is relative, as the file system gave it."""

    code: Code
    path: str
    detail: str


@dataclass(kw_only=True)
class Listing:
    """`sizes` in bytes by path; `faults` in the order in which they were found."""

    sizes: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """All files below `folder`.

    Raises:
        ApplianceError: APL-BUNDLE-028, the folder itself cannot be read; one below it is a fault.
    """
    found = Listing()
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=str(folder)) from error
    for path, status in _walk(folder, "", found):
        if len(found.sizes) + len(found.faults) >= MOST:
            found.faults.append(Fault(code=codes.MEMBER_EXTRA, path="", detail=f"more than {MOST} files"))
            break
        _add(found, path, status)
    clash = case_clash(found.sizes)
    if clash:
        detail = f"differs from {clash[0]} in case only"
        found.faults.append(Fault(code=codes.NAME_REFUSED, path=clash[1], detail=detail))
    return found


def _walk(folder: Path, prefix: str, found: Listing) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = sorted(os.scandir(folder / prefix), key=lambda each: each.name)
    except OSError as error:
        found.faults.append(Fault(code=codes.UNREADABLE, path=prefix, detail=f"cannot be read: {error.strerror}"))
        return
    for entry in entries:
        path = f"{prefix}{entry.name}"
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            found.faults.append(Fault(code=codes.UNREADABLE, path=path, detail=f"cannot be read: {error.strerror}"))
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield path, status
        elif path.count("/") >= MAX_PARTS:
            found.faults.append(Fault(code=codes.NAME_REFUSED, path=path, detail=f"deeper than {MAX_PARTS} folders"))
        else:
            yield from _walk(folder, f"{path}/", found)


def _add(found: Listing, path: str, status: os.stat_result) -> None:
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "")
    name_fault = fault_of(path)
    if name_fault:
        found.faults.append(Fault(code=codes.NAME_REFUSED, path=path, detail=name_fault))
    elif kind:
        found.faults.append(Fault(code=codes.NOT_PLAIN, path=path, detail=kind))
    elif status.st_nlink > 1:
        detail = f"has {status.st_nlink} names: who holds another one can change it after it was verified"
        found.faults.append(Fault(code=codes.NOT_PLAIN, path=path, detail=detail))
    else:
        found.sizes[path] = status.st_size
