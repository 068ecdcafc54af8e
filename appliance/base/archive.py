"""Deterministic tar archives: same files, same bytes.

Writing: members sorted by name, owner 0:0 without names, mode 0644 or 0755, time clamped to `mtime_s`, USTAR with
PAX headers only for long names. Reading: regular files and folders with relative, normal paths only; every member is
checked before the first byte is written, and the sum of sizes is bounded.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from appliance.base import codes
from appliance.base.atomic import open_atomic
from appliance.base.errors import ApplianceError

EPOCH_S = 315_532_800  # 1980-01-01, the oldest time that zip can hold too


def check_member_path(name: str) -> PurePosixPath:
    """The path of an archive member, if it stays inside the folder and has one spelling.

    Raises:
        ApplianceError: APL-BASE-005.
    """
    path = PurePosixPath(name)
    bad = (
        not name
        or name.startswith("/")
        or "\\" in name
        or "\0" in name
        or any(part in ("", ".", "..") for part in name.split("/"))
    )
    if bad:
        raise ApplianceError(codes.BAD_ARCHIVE, f"member path {name!r} is absolute, unnormal or leaves the folder")
    return path


def pack(target: Path, members: Mapping[str, Path | bytes], *, mtime_s: int = EPOCH_S) -> None:
    """Write `members` (member name -> file or bytes) to the tar file `target`, crash-safely.

    Raises:
        ApplianceError: APL-BASE-005 for a bad name, APL-BASE-002 when it cannot be written.
    """
    with open_atomic(target) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members):
            check_member_path(name)
            content = members[name]
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.mode, entry.uid, entry.gid = mtime_s, 0o644, 0, 0
            if isinstance(content, bytes):
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            else:
                status = content.stat()
                entry.size = status.st_size
                entry.mode = 0o755 if status.st_mode & 0o100 else 0o644
                with content.open("rb") as source:
                    tar.addfile(entry, source)


def unpack(source: Path, folder: Path, *, max_bytes: int) -> tuple[str, ...]:
    """Unpack into the new folder `folder`; gives the member names in archive order.

    Raises:
        ApplianceError: APL-BASE-005, nothing was written.
    """
    try:
        with tarfile.open(source, mode="r:") as tar:
            entries = tar.getmembers()
            total = 0
            seen: set[str] = set()
            for entry in entries:
                check_member_path(entry.name)
                if not entry.isreg():
                    raise ApplianceError(codes.BAD_ARCHIVE, f"member {entry.name!r} is not a regular file")
                if entry.name in seen:
                    raise ApplianceError(codes.BAD_ARCHIVE, f"member {entry.name!r} appears twice")
                seen.add(entry.name)
                total += entry.size
            if total > max_bytes:
                raise ApplianceError(codes.BAD_ARCHIVE, f"holds {total} bytes, at most {max_bytes} are allowed")
            for entry in entries:
                content = tar.extractfile(entry)
                assert content is not None  # regular file, checked above
                with open_atomic(folder / entry.name, mode=0o755 if entry.mode & 0o100 else 0o644) as file:
                    while block := content.read(1 << 20):
                        file.write(block)
            return tuple(entry.name for entry in entries)
    except (tarfile.TarError, ValueError, OverflowError) as error:  # the latter for sizes beyond what a file can have
        raise ApplianceError(codes.BAD_ARCHIVE, f"not a tar archive: {error}", where=str(source)) from error
