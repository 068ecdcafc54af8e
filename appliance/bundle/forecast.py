"""What a bundle needs of time and room, told from its manifest alone and before anything starts.

Rules
1. Room is counted in bytes and in files. What a file system loses to whole clusters is counted too, `CLUSTER_BYTES` a
   file, so that what was promised fits.
2. `require_room` is the one check; whoever is about to write a bundle somewhere calls it first.
3. Time is what is read, by the speed of the medium: hashing is faster than any medium that one carries.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.manifest import Manifest
from appliance.bundle.tree import list_folder

CLUSTER_BYTES = 32 << 10  # of FAT and exFAT on the sticks of today
INSTALLED_SPARE = 0.1  # of the bundle, for what an installation unpacks and writes beside it
IMAGE_SPARE_BYTES = 1 << 20  # padding and path tables of an image
IMAGE_FILE_BYTES = 4 << 10  # records and rounding of one file in an image
SAMPLE_BYTES = 256 << 20  # that are read to measure a medium
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Bytes unless the name says otherwise; `time_s` is None where no speed is known.

    Attributes:
        read: from the medium, to verify the bundle once.
        joined: on the target of a join or an import.
        installed: on the target of an installation.
        image: of the bundle as an ISO image.
    """

    files: int
    read: int
    joined: int
    installed: int
    image: int
    time_s: float | None


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is free at a place, for one who is not root."""

    free_bytes: int
    free_files: int


def forecast(made: Manifest, *, medium_bytes_per_s: float | None = None) -> Forecast:
    """Pure. The signatures beside the manifest are a few files of a few kilobytes; they are in the clusters."""
    files, size = len(made.members), made.size_bytes
    clusters = (files + 64) * CLUSTER_BYTES
    return Forecast(
        files=files,
        read=size,
        joined=size + clusters,
        installed=size + int(size * INSTALLED_SPARE) + clusters,
        image=image_bytes(size, files),
        time_s=size / medium_bytes_per_s if medium_bytes_per_s else None,
    )


def image_bytes(size: int, files: int) -> int:
    """The most that an ISO image of so many files is."""
    return size + files * IMAGE_FILE_BYTES + IMAGE_SPARE_BYTES


def room_at(target: Path) -> Room:
    """The room where `target` is, or would be made.

    Raises:
        ApplianceError: APL-BUNDLE-028, the place cannot be asked.
    """
    place = target.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        found = os.statvfs(place)
    except OSError as error:
        raise ApplianceError(codes.UNREADABLE, f"cannot be asked: {error.strerror}", where=str(place)) from error
    # A file system without a table of files (FAT, btrfs) says 0 of 0.
    return Room(free_bytes=found.f_bavail * found.f_frsize, free_files=found.f_favail if found.f_files else 2**63 - 1)


def require_room(target: Path, needed_bytes: int, files: int) -> None:
    """Nothing, when `target` has room for so many bytes and files.

    Raises:
        ApplianceError: APL-BUNDLE-049, with both values; -028.
    """
    room = room_at(target)
    if room.free_bytes < needed_bytes:
        raise ApplianceError(
            codes.NO_ROOM, f"{needed_bytes} bytes are needed, {room.free_bytes} are free", where=str(target)
        )
    if room.free_files < files:
        raise ApplianceError(codes.NO_ROOM, f"{files} files are needed, {room.free_files} are free", where=str(target))


def measure(place: Path, *, most_bytes: int = SAMPLE_BYTES) -> float:
    """Bytes a second that a device gives, or the greatest files of a folder; what the cache holds is dropped first.

    Raises:
        ApplianceError: APL-BUNDLE-028 it cannot be read, or holds nothing to measure by.
    """
    try:
        if stat.S_ISBLK(place.stat().st_mode):
            paths = [place]
        else:
            sizes = list_folder(place).sizes
            paths = [place / each for each in sorted(sizes, key=lambda each: -sizes[each])[:100]]
        read, spent_s = 0, 0.0
        for path in paths:
            if read >= most_bytes:
                break
            some, took_s = _read(path, most_bytes - read)
            read, spent_s = read + some, spent_s + took_s
    except OSError as error:
        raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=str(place)) from error
    if not read:
        raise ApplianceError(codes.UNREADABLE, "nothing to measure by: there is no byte to read", where=str(place))
    return read / max(spent_s, 1e-9)


def _read(path: Path, most_bytes: int) -> tuple[int, float]:
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        started, read = time.perf_counter(), 0
        while read < most_bytes and (block := file.read(_BLOCK_BYTES)):
            read += len(block)
        return read, time.perf_counter() - started
