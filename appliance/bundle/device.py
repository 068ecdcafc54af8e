"""Writes an image to a device, and reads it back from the medium itself.

Rules
1. The device is judged, and named by who erases it, before it is opened; it is held exclusively until the end.
2. What is read back comes from the medium: everything was flushed, the cache is dropped, and reading goes past it
   (O_DIRECT) where the device allows.
3. The digest of what was read back is compared with that of what was written: a medium that lies about its size, or
   fails, is found out now and not at the site.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.base import codes as base_codes
from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes
from appliance.bundle.block_device import Device, examine

_BLOCK_BYTES = 4 << 20
_BLKFLSBUF = 0x1261  # linux/fs.h: write out and forget what is cached of a block device


@dataclass(frozen=True, kw_only=True)
class Written:
    """`digest` is of the `size_bytes` that were written and read back."""

    device: Device
    size_bytes: int
    digest: str


def check(device: Path, needed_bytes: int, confirmed: str) -> Device:
    """The device, if it may be erased for so many bytes and `confirmed` names it.

    Raises:
        ApplianceError: APL-BUNDLE-050 it may not, -051 it was not named.
    """
    found = examine(device, needed_bytes)
    if confirmed != found.confirmation:
        given = f"{confirmed!r} was given" if confirmed else "nothing was given"
        raise ApplianceError(
            codes.ERASE_UNCONFIRMED, f"this is {found}: --yes-erase {found.confirmation}; {given}", where=str(device)
        )
    return found


def write(
    image: Path,
    device: Path,
    confirmed: str,
    progress: Progress,
    *,
    before_reading: Callable[[], None] = lambda: None,
) -> Written:
    """Write the file `image` to `device`, erasing it, and read it back.

    Args:
        before_reading: called when everything was flushed, before it is read back.

    Raises:
        ApplianceError: APL-BUNDLE-050, -051 and nothing was written; -052 the medium gives other bytes, -028 the image
            or the medium cannot be read, APL-BASE-002 the medium cannot be written.
    """
    try:
        size = image.stat().st_size
        source = image.open("rb", buffering=0)
    except OSError as error:
        raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=str(image)) from error
    with source:
        found = check(device, size, confirmed)
        try:
            handle = os.open(found.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            why = "another program holds it" if error.errno == errno.EBUSY else f"cannot be opened: {error.strerror}"
            raise ApplianceError(codes.DEVICE_REFUSED, why, where=str(device)) from error
        try:
            progress.begin(f"write {found.name}", size)
            expected = _copy(source.readinto, handle, size, image, device, progress)
            before_reading()
            progress.begin(f"read {found.name} back", size)
            digest = _read_back(found.path, handle, size, progress)
        finally:
            os.close(handle)
    if digest != expected:
        raise ApplianceError(codes.DEVICE_DIFFERS, f"expected {expected}, got {digest}", where=str(device))
    return Written(device=found, size_bytes=size, digest=digest)


def _copy(
    read: Callable[[memoryview], int | None], handle: int, size: int, image: Path, device: Path, progress: Progress
) -> str:
    hasher, left = hashlib.sha256(), size
    block = memoryview(bytearray(_BLOCK_BYTES))
    while left:
        try:
            got = read(block[: min(left, _BLOCK_BYTES)]) or 0
        except OSError as error:
            raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=str(image)) from error
        if not got:
            raise ApplianceError(codes.UNREADABLE, f"it ends {left} bytes before its size", where=str(image))
        hasher.update(block[:got])
        try:
            rest = block[:got]
            while rest:
                rest = rest[os.write(handle, rest) :]
        except OSError as error:
            raise _unwritable(device, error) from error
        left -= got
        progress.advance(got)
    try:
        os.fsync(handle)
    except OSError as error:
        raise _unwritable(device, error) from error
    return PREFIX + hasher.hexdigest()


def _read_back(path: Path, handle: int, size: int, progress: Progress) -> str:
    hasher, left = hashlib.sha256(), size
    buffer = mmap.mmap(-1, _BLOCK_BYTES)  # on a page, as reading past the cache asks for
    try:
        fcntl.ioctl(handle, _BLKFLSBUF)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        direct = _open_direct(path)
        try:
            while left:
                got = os.preadv(direct, [buffer], size - left)
                if not got:
                    raise ApplianceError(codes.DEVICE_DIFFERS, f"it ends {left} bytes too early", where=str(path))
                got = min(got, left)
                hasher.update(buffer[:got])
                left -= got
                progress.advance(got)
        finally:
            os.close(direct)
    except OSError as error:
        raise ApplianceError(codes.UNREADABLE, f"cannot be read back: {error.strerror}", where=str(path)) from error
    finally:
        buffer.close()
    return PREFIX + hasher.hexdigest()


def _open_direct(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # the cache was dropped a moment ago


def _unwritable(device: Path, error: OSError) -> ApplianceError:
    return ApplianceError(
        base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(device),
        hint="The medium is failing or was taken out. What is on it is not to be used.",
    )  # fmt: skip
