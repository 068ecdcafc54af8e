"""The files of a site by their names, in its folder or in buckets (docs/adr/0011-files-of-a-site.md).

A name is relative to the site, with slashes, as lineage documents write it: it means the same on a laptop that was
handed a copy. Its first segment decides where the file lies. What lies where is configuration, never part of a name.

Two failures are told apart, because verification must: that a file is not there (`FileNotFoundError`), and that nothing
could be seen of it (`ApplianceError` with a code of `codes.NOT_SEEN`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit

from appliance.base import atomic
from appliance.base.clock import UTC
from appliance.base.digest import PREFIX
from appliance.config.model import StorageSection
from appliance.secrets.settings import Secrets

if TYPE_CHECKING:
    import pyarrow.fs

LAKE, OBJECTS = "lake", "objects"  # first segments of what may lie in buckets


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that is there: its name from the site's folder, and its size in bytes."""

    path: str
    size: int
    modified: dt.datetime


class Place(Protocol):
    """Where files lie; a key is a name within it."""

    def open(self, key: str) -> BinaryIO:
        """The bytes, to read from any position. FileNotFoundError."""

    def size(self, key: str) -> int:
        """In bytes. FileNotFoundError."""

    def writing(self, key: str) -> AbstractContextManager[BinaryIO]:
        """A file that is there, durably and as a whole, when the block ends without an error, and else is not.

        Raises:
            ApplianceError: APL-BASE-002 the disk is full, or a code of the store.
        """

    def stored(self, prefix: str) -> Iterator[StoredFile]:
        """The files below a folder, in order, with their keys as paths."""

    def remove(self, key: str) -> None:
        """Take the file away for good. One that is not there is fine."""

    def uri(self, key: str) -> str:
        """As Iceberg writes it."""


class FolderFiles:
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, key: str) -> BinaryIO:
        return (self.folder / key).open("rb")

    def size(self, key: str) -> int:
        found = (self.folder / key).stat()
        if stat.S_ISDIR(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder / key))
        return found.st_size

    def writing(self, key: str) -> AbstractContextManager[BinaryIO]:
        return atomic.open_atomic(self.folder / key, mode=0o444)

    def stored(self, prefix: str) -> Iterator[StoredFile]:
        folder = self.folder / prefix
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # removed, or renamed by its writer, since the listing
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    yield StoredFile(
                        path=path.relative_to(self.folder).as_posix(),
                        size=found.st_size,
                        modified=dt.datetime.fromtimestamp(found.st_mtime, UTC),
                    )

    def remove(self, key: str) -> None:
        (self.folder / key).unlink(missing_ok=True)

    def uri(self, key: str) -> str:
        return f"file://{self.folder / key}"


class SiteFiles:
    """The files of one site."""

    def __init__(
        self, folder: Path, places: Mapping[str, Place] | None = None, properties: Mapping[str, str] | None = None
    ) -> None:
        """
        Args:
            places: first segment of a name -> where those files lie; all others lie in `folder`.
            properties: what Iceberg's way to files needs to find the places (`durable_io`).
        """
        self.folder = folder
        self.properties = dict(properties or {})
        self._folder = FolderFiles(folder)
        self._places = dict(places or {})
        self._arrow: pyarrow.fs.FileSystem | None = None

    def at(self, name: str) -> tuple[Place, str]:
        """The place of a file, and its key there."""
        first, _, rest = name.partition("/")
        place = self._places.get(first)
        return (place, rest) if place is not None else (self._folder, name)

    def open(self, name: str) -> BinaryIO:
        """Raises FileNotFoundError; ApplianceError: APL-STORAGE-008 to 012."""
        place, key = self.at(name)
        return place.open(key)

    def size(self, name: str) -> int:
        """In bytes. Raises: see `open`."""
        place, key = self.at(name)
        return place.size(key)

    def holds(self, name: str) -> bool:
        """Whether something of this name is there. Raises ApplianceError: APL-STORAGE-008 to 012."""
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def digest(self, name: str) -> str:
        """Of the bytes. Raises OSError when they cannot be read; ApplianceError: APL-STORAGE-008 to 012."""
        with self.open(name) as file:
            return PREFIX + hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()

    def is_link(self, name: str) -> bool:
        """Whether it is no file of its own: a symbolic link, or another thing of a folder that is no regular file."""
        place, key = self.at(name)
        path = self.folder / key
        return place is self._folder and (path.is_symlink() or (path.exists() and not path.is_file()))

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """See `Place.writing`."""
        place, key = self.at(name)
        return place.writing(key)

    def stored(self, folder: str) -> Iterator[StoredFile]:
        """The files below a folder, in order."""
        place, key = self.at(folder)
        before = folder.removesuffix(key)
        for each in place.stored(key):
            yield StoredFile(path=before + each.path, size=each.size, modified=each.modified)

    def remove(self, name: str) -> None:
        """See `Place.remove`."""
        place, key = self.at(name)
        place.remove(key)

    def uri(self, name: str) -> str:
        """As Iceberg names the file."""
        place, key = self.at(name)
        return place.uri(key)

    def name_of(self, uri: str) -> str:
        """The name of what a URI of Iceberg's names; ValueError when it is not of this site."""
        for first, place in self._places.items():
            before = place.uri("")
            if uri.startswith(before):
                return f"{first}/{uri.removeprefix(before)}"
        parsed = urlsplit(uri)
        if parsed.scheme not in ("", "file"):
            raise ValueError(f"{uri} is not of this site")
        return Path(unquote(parsed.path) if parsed.scheme else uri).relative_to(self.folder).as_posix()

    @property
    def arrow(self) -> pyarrow.fs.FileSystem:
        """For Arrow's readers: names are its paths."""
        if self._arrow is None:
            from appliance.storage.arrow_files import file_system

            self._arrow = file_system(self, self.folder, native=not self._places)
        return self._arrow


def files_of(settings: StorageSection, site_folder: Path, secrets: Secrets) -> SiteFiles:
    """The files of a site, where its settings say."""
    if not settings.store:
        return SiteFiles(site_folder)
    from appliance.storage.s3.files import BucketFiles
    from appliance.storage.s3.site import bucket_of, properties_of, server_of

    server = server_of(settings, site_folder, secrets)
    places = {each: BucketFiles.of(server, bucket_of(settings, each)) for each in (LAKE, OBJECTS)}
    return SiteFiles(site_folder, places, properties_of(server))
