"""Bytes kept by their digest.

Rules
1. An object's name is the SHA-256 of its bytes, so writing it twice is harmless and it never changes.
2. It lies at ``<folder>/ab/cdef…``, the first two hex digits being the folder.
3. It is durable when `put` returns.
4. Writers of one folder wait for each other, by a lock on the folder that leaves no trace: two that write the same
   object at once would share its temporary file.

`storage.s3` keeps objects by the same rules in a bucket; one suite of tests holds for both.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.digest import digest_bytes, digest_file, hex_of
from appliance.base.errors import ApplianceError
from appliance.config.model import StorageSection
from appliance.secrets.settings import Secrets
from appliance.storage import codes
from appliance.storage.checked_file import CheckedFile
from appliance.storage.files import OBJECTS


class ObjectStore(Protocol):
    def put(self, data: bytes) -> str:
        """Keep `data`; gives its digest."""

    def put_file(self, path: Path) -> str:
        """Keep the bytes of a file, which stays where it is; gives their digest.

        APL-STORAGE-004 when the file changes meanwhile; nothing is kept then.
        """

    def open(self, digest: str) -> BinaryIO:
        """The bytes, to read. APL-STORAGE-004 when they are not there."""

    def read(self, digest: str) -> bytes:
        """The bytes, checked against their digest. APL-STORAGE-004 when they are gone or altered."""

    def holds(self, digest: str) -> bool:
        """Whether the object is there; its bytes are not read."""

    def site_name(self, digest: str) -> str:
        """The object's name among the files of the site, as lineage documents write it."""


class FolderStore:
    """Objects in a folder of the site."""

    def __init__(self, folder: Path, site_folder: Path) -> None:
        self._folder = folder
        self._site_folder = site_folder

    def put(self, data: bytes) -> str:
        digest = digest_bytes(data)
        path = self.path_of(digest)
        if not path.is_file():
            with _alone_in(path.parent):
                if not path.is_file():
                    atomic.write_bytes(path, data, mode=0o444)
        return digest

    def put_file(self, path: Path) -> str:
        digest = digest_file(path)
        target = self.path_of(digest)
        if not target.is_file():
            with _alone_in(target.parent):
                if not target.is_file():
                    with path.open("rb") as source, atomic.open_atomic(target, mode=0o444) as file:
                        size = os.fstat(source.fileno()).st_size
                        shutil.copyfileobj(CheckedFile(source, digest, size), file, 1 << 20)
        return digest

    def path_of(self, digest: str) -> Path:
        """Where the object lies, whether or not it is there."""
        name = hex_of(digest)
        return self._folder / name[:2] / name[2:]

    def site_name(self, digest: str) -> str:
        return self.path_of(digest).relative_to(self._site_folder).as_posix()

    def open(self, digest: str) -> BinaryIO:
        try:
            return self.path_of(digest).open("rb")
        except OSError as error:
            raise ApplianceError(
                codes.OBJECT_DAMAGED, f"object {digest} cannot be read: {error.strerror}", where=str(self._folder)
            ) from error

    def read(self, digest: str) -> bytes:
        """The bytes, checked against their digest.

        Raises:
            ApplianceError: APL-STORAGE-004.
        """
        with self.open(digest) as file:
            data = file.read()
        found = digest_bytes(data)
        if found != digest:
            raise ApplianceError(
                codes.OBJECT_DAMAGED, f"expected {digest}, the bytes have {found}", where=str(self.path_of(digest))
            )
        return data

    def holds(self, digest: str) -> bool:
        return self.path_of(digest).is_file()


def objects_of(settings: StorageSection, site_folder: Path, secrets: Secrets) -> ObjectStore:
    """The raw bytes of a site, where its settings say.

    Raises:
        ApplianceError: APL-STORAGE-009, 010, 014; APL-SECRETS-001 to 009.
    """
    if not settings.store:
        return FolderStore(site_folder / OBJECTS, site_folder)
    from appliance.storage.s3.site import bucket_of, server_of
    from appliance.storage.s3.store import S3Store

    return S3Store(server_of(settings, site_folder, secrets), bucket_of(settings, OBJECTS))


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder, which is made where it is missing; the kernel lets go when the process dies.

    Raises:
        ApplianceError: APL-BASE-002.
    """
    try:
        atomic.make_folder(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        message = f"cannot write: {error.strerror}"
        raise ApplianceError(base_codes.WRITE_FAILED, message, where=str(folder)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
