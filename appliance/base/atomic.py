"""Crash-safe writes. No other module writes a file that must survive a power cut.

Protocol: write a temporary file in the same folder, fsync it, rename it over the name, fsync the folder. A reader
sees the old content or the new one, never a part; after a crash a leftover ``.tmp-*`` file is harmless and is
removed by the next write of the same name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from appliance.base import codes
from appliance.base.errors import ApplianceError


def fsync_folder(folder: Path) -> None:
    """Make names created, renamed or removed in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        with contextlib.suppress(OSError):  # nothing was written through it
            os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; each new name is durable."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        fsync_folder(folder.parent)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the content of `path` crash-safely; folders above it are made.

    Raises:
        ApplianceError: APL-BASE-002, the old content is untouched.
    """
    with open_atomic(path, mode=mode) as file:
        file.write(data)


def write_files(files: Sequence[tuple[Path, bytes]], *, mode: int = 0o644) -> None:
    """Write several files, each as `write_bytes` does, with one sync per folder; all stay open until all are synced.

    Raises:
        ApplianceError: APL-BASE-002; any of the files may have been replaced, each as a whole.
    """
    # Plain descriptors and texts: commits of the log come through here, and file objects would cost a tenth of one.
    made: list[tuple[str, str]] = []
    handles: list[int] = []
    folders = dict.fromkeys(path.parent for path, _ in files)
    try:
        for folder in folders:
            make_folder(folder)
        for path, data in files:
            target = str(path)
            above, _, name = target.rpartition("/")
            temporary = f"{above}/.tmp-{name}"
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
            handles.append(handle)
            made.append((temporary, target))
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fchmod(handle, mode)
        for handle in handles:  # after all writes: the first sync carries most of the others' data
            os.fsync(handle)
        while handles:
            os.close(handles.pop())
        for temporary, target in made:
            Path(temporary).replace(target)
        for folder in folders:
            fsync_folder(folder)
    except BaseException as error:
        for handle in handles:
            os.close(handle)
        for temporary, _ in made:
            with contextlib.suppress(OSError):  # a leftover is harmless; the first error is the one to tell
                Path(temporary).unlink()
        if isinstance(error, OSError):
            where = error.filename or str(files[0][0])
            raise ApplianceError(codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(where)) from error
        raise


@contextlib.contextmanager
def open_atomic(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A binary file that becomes `path` when the block ends without an error, and vanishes otherwise."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        make_folder(path.parent)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)
    except OSError as error:
        raise ApplianceError(codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(path)) from error


def move(source: Path, target: Path) -> None:
    """Rename within one file system, durably. `target` must not exist: `FileExistsError`.

    The new name is linked before the old one goes, so that two movers cannot both win.
    """
    os.link(source, target, follow_symlinks=False)
    source.unlink()
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def remove_tree(folder: Path) -> None:
    """Remove a folder that we made; a missing one is fine."""
    shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the advisory lock file `path` (created if missing); the kernel lets go when the process dies.

    Raises:
        ApplianceError: APL-BASE-006 when `wait` is false and another process holds it; APL-BASE-002 when the
            lock file cannot be opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ApplianceError(codes.WRITE_FAILED, f"cannot lock: {error.strerror}", where=str(path)) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ApplianceError(codes.LOCKED, "another process is at work here", where=str(path)) from error
        except OSError as error:
            raise ApplianceError(codes.WRITE_FAILED, f"cannot lock: {error.strerror}", where=str(path)) from error
        yield
    finally:
        with contextlib.suppress(OSError):  # the kernel lets go all the same, and nothing was written to it
            os.close(handle)
