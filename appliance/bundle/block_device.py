"""Whether a block device may be erased, as the kernel tells: what it is, and what of the running system is on it.

Rules
1. Only a whole device is written to, never a partition of one.
2. A device is in use when it, a partition of it, or anything built on it (LVM, RAID, encryption) is mounted, is swap,
   or is held. So the disks of the running system are never written to.
3. The kernel has the last word: whoever writes opens the device exclusively, which fails while anybody holds it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.bundle import codes

_SECTOR_BYTES = 512  # of the kernel's sizes, whatever the device's own are


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that may be erased.

    Attributes:
        name: the kernel's, as ``sdb``.
        confirmation: what has to be said before it is erased: its serial number, or `name` where it has none.
    """

    path: Path
    name: str
    size_bytes: int
    model: str
    confirmation: str

    def __str__(self) -> str:
        serial = f", serial {self.confirmation}" if self.confirmation != self.name else ""
        return f"{self.name}, {self.size_bytes / 1e9:,.1f} GB{', ' + self.model if self.model else ''}{serial}"


def examine(device: Path, needed_bytes: int, *, system: Path = Path("/sys"), processes: Path = Path("/proc")) -> Device:
    """The device, if so many bytes may be written to it.

    Raises:
        ApplianceError: APL-BUNDLE-050, saying why not.
    """
    try:
        path = device.resolve(strict=True)
        status = path.stat()
    except OSError as error:
        raise _refused(device, f"cannot be read: {error.strerror}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise _refused(device, "it is no block device")
    if os.geteuid() != 0:
        raise _refused(device, "only root may write to a device")
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return judge(path, number, needed_bytes, system=system, processes=processes)


def judge(path: Path, number: str, needed_bytes: int, *, system: Path, processes: Path) -> Device:
    """As `examine`, of the device with this ``MAJOR:MINOR``, by what `system` (sysfs) and `processes` (procfs) say.

    Raises:
        ApplianceError: APL-BUNDLE-050.
    """
    place = (system / "dev/block" / number).resolve()
    if not place.is_dir():
        raise _refused(path, f"the kernel has no device {number}")
    if (place / "partition").exists():
        raise _refused(path, f"it is a partition of {place.parent.name}; name the whole device")
    for each in (place, *_partitions(place)):
        held = sorted(holder.name for holder in (each / "holders").glob("*"))
        if held:
            raise _refused(path, f"{each.name} is held by {', '.join(held)}")
    for used, what in _uses(system, processes):
        if place.name in _disks(system, used):
            raise _refused(path, f"{what} is on it")
    if _read(place / "ro") == "1":
        raise _refused(path, "it is read-only")
    size = int(_read(place / "size") or 0) * _SECTOR_BYTES
    if size < needed_bytes:
        raise _refused(path, f"it holds {size} bytes, {needed_bytes} are needed")
    return Device(
        path=path,
        name=place.name,
        size_bytes=size,
        model=_read(place / "device/model"),
        confirmation=_serial(place) or place.name,
    )


def _uses(system: Path, processes: Path) -> Iterator[tuple[str, str]]:
    """``MAJOR:MINOR`` of every device that is mounted or swapped to, and what is."""
    for line in _read(processes / "self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        words, behind = before.split(), after.split()
        if len(words) < 5:
            continue
        told = f"the file system mounted at {words[4]}"
        yield words[2], told
        if len(behind) > 1:  # some file systems have numbers of their own, and name their device
            yield _number(system, behind[1]), told
    for line in _read(processes / "swaps").splitlines()[1:]:
        yield _number(system, line.split()[0] if line.split() else ""), "swap"


def _number(system: Path, source: str) -> str:
    """``MAJOR:MINOR`` of ``/dev/...``; empty when it is no device."""
    if not source.startswith("/dev/"):
        return ""
    return _read(system / "class/block" / os.path.basename(os.path.realpath(source)) / "dev")  # noqa: PTH119


def _disks(system: Path, number: str) -> set[str]:
    """Names of the whole devices below a device, itself included."""
    place = (system / "dev/block" / number).resolve()
    if not number or not place.is_dir():
        return set()
    whole = place.parent if (place / "partition").exists() else place
    found = {whole.name}
    for each in (place, whole):
        for slave in (each / "slaves").glob("*"):
            found |= _disks(system, _read(slave.resolve() / "dev"))
    return found


def _partitions(place: Path) -> list[Path]:
    return sorted(each for each in place.iterdir() if (each / "partition").is_file())


def _serial(place: Path) -> str:
    """The serial number that the device or the USB device above it has."""
    for each in (place, *place.parents):
        found = _read(each / "serial")
        if found:
            return found
        if (each / "idVendor").exists() or each.name == "devices":  # what lies above is a hub or a bus
            break
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _refused(device: Path, why: str) -> ApplianceError:
    return ApplianceError(codes.DEVICE_REFUSED, why, where=str(device))
