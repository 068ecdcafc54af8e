"""What an interrupted verification of a large medium had hashed, so that the next run goes on.

Rules
1. A file counts as hashed while its size, times, inode and device are those that were written down, under the same
   manifest. Anything else is hashed again.
2. Only files that had their digest are written down, and only after they did not change while they were read.
3. The record trusts the medium between the two runs: who can change a file without a trace in its times is not found
   out by it. Installing hashes again, the very bytes that it writes (`VerifiedBundle.copy`).
4. It is of the host, mode 0600: one that others can write is refused. It is removed when a verification ended, so that
   the next one reads everything.

The form is a line of JSON each: the manifest's digest first, then ``[path, digest, size, mtime_ns, ctime_ns, inode,
device]``. A line that a kill cut short is not read.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from appliance.base import codes as base_codes
from appliance.base.errors import ApplianceError
from appliance.bundle import codes

Stamp = tuple[int, int, int, int, int]
_SYNC_BYTES = 256 << 20  # of files between two syncs of the record


def stamp_of(status: os.stat_result) -> Stamp:
    """Size, times, inode and device of a file."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


class HashedRecord:
    """The record in the file `path`, of the bundle whose manifest has this digest; made when missing."""

    def __init__(self, path: Path, manifest_digest: str) -> None:
        """Raises:
        ApplianceError: APL-BASE-002 it cannot be written, APL-BUNDLE-028 it is a link, or others may write it.
        """
        self._path = path
        self._known: dict[str, tuple[str, Stamp]] = {}
        self._since_sync = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(handle, "r+b")
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022 or status.st_uid != os.geteuid():
                raise ApplianceError(
                    codes.UNREADABLE, "others may write it, or it is no plain file of this user", where=str(path),
                    hint="Give a file that only this user can write, or a new name.",
                )  # fmt: skip
            self._begin(manifest_digest)
        except OSError as error:
            raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(path)) from error

    def _begin(self, manifest_digest: str) -> None:
        data = self._file.read()
        head = json.dumps(manifest_digest).encode() + b"\n"
        if not data.startswith(head):
            self._file.seek(0)
            self._file.truncate()
            self._file.write(head)
            return
        whole = data[: data.rfind(b"\n") + 1]
        for line in whole[len(head) :].splitlines():
            try:
                path, digest, *numbers = json.loads(line)
                size, mtime_ns, ctime_ns, inode, device = map(int, numbers)
            except (ValueError, TypeError):  # not ours: what it says of one file is not known
                continue
            self._known[str(path)] = (str(digest), (size, mtime_ns, ctime_ns, inode, device))
        self._file.seek(len(whole))
        self._file.truncate()

    def digest(self, folder: Path, path: str) -> str:
        """The digest that the file had, if it is still the same; empty otherwise."""
        known = self._known.get(path)
        if known is None:
            return ""
        try:
            status = os.lstat(folder / path)
        except OSError:
            return ""
        return known[0] if stat.S_ISREG(status.st_mode) and stamp_of(status) == known[1] else ""

    def add(self, path: str, digest: str, stamp: Stamp) -> None:
        """Write down that the file was hashed. What cannot be written is hashed again; that is no error."""
        try:
            self._file.write(json.dumps([path, digest, *stamp]).encode() + b"\n")
            self._file.flush()
            self._since_sync += stamp[0]
            if self._since_sync >= _SYNC_BYTES:
                os.fsync(self._file.fileno())
                self._since_sync = 0
        except OSError:
            return

    def close(self, *, ended: bool) -> None:
        """Keep the record, or remove it because the verification `ended`."""
        try:
            self._file.close()
            if ended:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            raise ApplianceError(
                base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(self._path)
            ) from error
