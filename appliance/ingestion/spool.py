"""The spool: a folder that files are dropped into, and the numbered log of those that were claimed.

Rules
1. A claim is a rename within the file system, to ``log/<position>-<microseconds of the claim>-<name>``, in the order of
   the names in ``incoming``. The time of the claim is part of the name: a restart sees the same time of arrival.
2. Only regular files are claimed. A symlink, a device, a folder, a file that is too large, or a name that is not plain
   goes to ``refused`` with a file beside it that says why; what a symlink points to is never opened.
3. Positions have no gaps. A gap, a double or a foreign name in the log stops the spool: somebody moved a file.
4. One process at a time claims and takes (`exclusive`, held by the caller for the whole run).

Hidden names (``.…``) in ``incoming`` are files still being written; they are left alone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.base import atomic
from appliance.base.canonical import canonical, parse_canonical
from appliance.base.codes import WRITE_FAILED
from appliance.base.errors import ApplianceError
from appliance.ingestion import codes

_CLAIMED = re.compile(r"(\d{12})-(\d{16})-(.+)")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class ClaimedFile:
    """A file of the log: its position, where it lies, the name it came with, and when it was claimed (us)."""

    position: int
    path: Path
    name: str
    claimed_us: int


@dataclass(frozen=True, kw_only=True)
class RefusedFile:
    """A file that was not claimed; `path` is where it lies now."""

    name: str
    path: Path
    reason: str


class Spool:
    """One folder with ``incoming``, ``log`` and ``refused``. Its source name is ``spool:<name>``."""

    def __init__(self, folder: Path, name: str, *, suffixes: tuple[str, ...], max_file_bytes: int) -> None:
        self.source = f"spool:{name}"
        self.incoming = folder / "incoming"
        self._folder = folder
        self._log = folder / "log"
        self._refused = folder / "refused"
        self._suffixes = suffixes
        self._max_file_bytes = max_file_bytes
        for each in (self.incoming, self._log, self._refused):
            each.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the spool. Raises APL-BASE-006 when another process holds it."""
        with atomic.exclusive(self._folder / ".lock", wait=False):
            yield

    def waiting(self) -> int:
        """Files in ``incoming``."""
        return sum(1 for each in self.incoming.iterdir() if not each.name.startswith("."))

    def claim(self, *, now_us: int, least_position: int) -> int:
        """Claim everything in ``incoming``, or refuse it; gives how many files were claimed.

        Args:
            least_position: where the table that has taken most stands; the next file gets this number or a later one.

        Raises:
            ApplianceError: APL-BASE-002, the disk is full; what was claimed stays so.
        """
        try:
            return self._claim(now_us, least_position)
        except OSError as error:
            raise ApplianceError(WRITE_FAILED, f"cannot claim: {error.strerror}", where=str(self._folder)) from error

    def _claim(self, now_us: int, least_position: int) -> int:
        log = self.log()
        position = max(log[-1].position + 1, least_position) if log else least_position
        there = {_identity(each.path) for each in log}
        claimed = 0
        for path in sorted(self.incoming.iterdir(), key=lambda each: os.fsencode(each.name)):
            if path.name.startswith("."):
                continue
            if _identity(path) in there:
                path.unlink()  # a claim that was killed between giving the new name and taking the old one
                continue
            reason = self._objection(path)
            if reason is not None:
                self._refuse(path, reason, now_us)
                continue
            atomic.move(path, self._log / f"{position:012d}-{now_us:016d}-{path.name}")
            position += 1
            claimed += 1
        return claimed

    def refused(self) -> tuple[RefusedFile, ...]:
        """Everything that was ever refused and still lies there."""
        found = []
        for note in sorted(self._refused.glob("*.reason.json")):
            entry = parse_canonical(note.read_bytes())
            path = note.with_name(note.name.removesuffix(".reason.json"))
            found.append(RefusedFile(name=entry["name"], path=path, reason=entry["reason"]))
        return tuple(found)

    def log(self) -> tuple[ClaimedFile, ...]:
        """Claimed files that are still there, by position.

        Raises:
            ApplianceError: APL-INGEST-004, the log was touched by somebody else.
        """
        found = []
        for path in sorted(self._log.iterdir()):
            match = _CLAIMED.fullmatch(path.name)
            if match is None:
                raise ApplianceError(codes.SPOOL_DAMAGED, f"{path.name!r} is not the name of a claim", where=str(path))
            found.append(ClaimedFile(position=int(match[1]), path=path, name=match[3], claimed_us=int(match[2])))
        for before, after in itertools.pairwise(found):
            if after.position != before.position + 1:
                raise ApplianceError(
                    codes.SPOOL_DAMAGED,
                    f"position {before.position} is followed by {after.position}, expected {before.position + 1}",
                    where=str(self._log),
                )
        return tuple(found)

    def read(self, file: ClaimedFile) -> bytes:
        """The bytes of a claimed file; a symlink put in its place is not followed.

        Raises:
            ApplianceError: APL-INGEST-004, it cannot be read.
        """
        try:
            with os.fdopen(os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as opened:
                return opened.read(self._max_file_bytes + 1)
        except OSError as error:
            raise ApplianceError(
                codes.SPOOL_DAMAGED, f"cannot be read: {error.strerror}", where=str(file.path)
            ) from error

    def release(self, position: int) -> None:
        """Remove claimed files below `position`: every table has taken them and their bytes are in the object store."""
        gone = [each for each in self.log() if each.position < position]
        try:
            for each in gone:
                each.path.unlink()
            if gone:
                atomic.fsync_folder(self._log)
        except OSError as error:
            raise ApplianceError(WRITE_FAILED, f"cannot remove: {error.strerror}", where=str(self._log)) from error

    def _objection(self, path: Path) -> str | None:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return "it is a symbolic link"
        if not stat.S_ISREG(status.st_mode):
            return "it is not a regular file"
        if status.st_size > self._max_file_bytes:
            return f"it has {status.st_size} bytes, at most {self._max_file_bytes} are allowed"
        if not _PLAIN_NAME.fullmatch(path.name) or not path.name.endswith(self._suffixes):
            return f"its name is not letters, digits, '.', '_' or '-' ending in {' or '.join(self._suffixes)}"
        return None

    def _refuse(self, path: Path, reason: str, now_us: int) -> None:
        # A name of our own making: the given one may be anything that a file system allows.
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", path.name)[:100]
        target = self._refused / f"{now_us:016d}-{stem}"
        while target.is_symlink() or target.exists():
            target = target.with_name(target.name + "_")
        note = {"name": path.name.encode("utf-8", "replace").decode(), "reason": reason}
        atomic.write_bytes(target.with_name(target.name + ".reason.json"), canonical(note))
        path.rename(target)  # not a link and unlink: folders cannot be linked
        atomic.fsync_folder(self._refused)
        atomic.fsync_folder(self.incoming)


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
