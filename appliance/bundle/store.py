"""The store of inputs on the build machine: files by digest, ``sha256/ab/<64 hex>``. Shared by all locks.

Rules
1. A file is there under its digest or not at all: it is copied to a name beside its place, hashed on the way, and
   renamed when the digest is right. A kill leaves at most a ``.tmp-*`` file, which nobody reads.
2. Files are read-only (0444) and never changed. What the tools are at work on lies under `incoming`, which may be
   removed at any time.
3. Nothing is read through a link: neither a file nor a folder of the store may be one.
4. A reader who must be sure hashes what it reads (`check` does for all); `missing` looks at names and sizes only.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from appliance.base import atomic
from appliance.base.digest import PREFIX, digest_file, hex_of
from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.lock import Input, Lock

BLOCK = 1 << 20


class Store:
    """The files below `folder`, which is made by the first `put`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the file of this digest is or would be.

        Raises:
            ValueError: it is no digest.
            ApplianceError: APL-BUNDLE-006, it or a folder above it is a link or no plain file.
        """
        name = hex_of(digest)
        top = self.folder / "sha256"
        path = top / name[:2] / name
        for each, wanted in ((top, stat.S_ISDIR), (path.parent, stat.S_ISDIR), (path, stat.S_ISREG)):
            mode = _mode(each)
            if mode is not None and not wanted(mode):
                raise ApplianceError(codes.STORE_DAMAGED, "it is a link, or no plain file or folder", where=str(each))
        return path

    def has(self, digest: str, size_bytes: int | None = None) -> bool:
        """Whether the file is there, with this size where one is given. Its content is not read."""
        path = self.path(digest)
        return path.exists() and (size_bytes is None or path.stat().st_size == size_bytes)

    def missing(self, lock: Lock) -> list[Input]:
        """The inputs whose file is not there, each digest once, in order of path."""
        seen: set[str] = set()
        absent = []
        for each in lock.inputs:
            if each.digest not in seen and not self.has(each.digest, each.size_bytes):
                absent.append(each)
            seen.add(each.digest)
        return absent

    def put(self, source: Path, digest: str) -> None:
        """Copy `source` in, if it has this digest.

        Raises:
            ApplianceError: APL-BUNDLE-004 it has another digest, APL-BASE-002; the store is as it was.
        """
        target = self.path(digest)
        with source.open("rb") as file, atomic.open_atomic(target, mode=0o444) as made:
            hasher = hashlib.sha256()
            while block := file.read(BLOCK):
                hasher.update(block)
                made.write(block)
            found = PREFIX + hasher.hexdigest()
            if found != digest:
                raise ApplianceError(codes.DIGEST_DIFFERS, f"expected {digest}, got {found}", where=str(source))

    def check(self, advance: Callable[[int], None] = lambda _: None) -> list[str]:
        """Hash every file; gives the names of those that are not what they are called, in order.

        `advance` is told the bytes that were read. What a kill left behind is no fault.
        """
        faults = []
        for path in self._files():
            mode = _mode(path)
            if mode is None or not stat.S_ISREG(mode) or digest_file(path) != PREFIX + path.name:
                faults.append(str(path.relative_to(self.folder)))
            else:
                advance(path.stat().st_size)
        return faults

    def prune(self, locks: Iterable[Lock]) -> tuple[int, int]:
        """Remove what no lock of these names, and what kills left behind; gives the files and bytes that went."""
        kept = {hex_of(each.digest) for lock in locks for each in lock.inputs}
        files = size = 0
        for path in self._files(leftovers=True):
            if path.name not in kept:
                size += path.lstat().st_size
                files += 1
                path.unlink()
        atomic.remove_tree(self.folder / "incoming")
        return files, size

    def incoming(self, name: str) -> Path:
        """A folder, made when missing, for what a tool is at work on; on the disk of the store."""
        folder = self.folder / "incoming" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def exclusive(self) -> AbstractContextManager[None]:
        """One writer at a time; APL-BASE-006 when another is at work."""
        return atomic.exclusive(self.folder / ".lock", wait=False)

    def _files(self, *, leftovers: bool = False) -> Iterator[Path]:
        top = self.folder / "sha256"
        for folder in sorted(top.iterdir()) if _is_folder(top) else ():
            for path in sorted(folder.iterdir()) if _is_folder(folder) else (folder,):
                if leftovers or not path.name.startswith(".tmp-"):
                    yield path


def _mode(path: Path) -> int | None:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return None


def _is_folder(path: Path) -> bool:
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)
