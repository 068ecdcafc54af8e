"""File access of the Iceberg tables: pyiceberg's own, except that every file is written by `storage.files`.

Without it a power cut could leave the catalog pointing to a metadata file whose bytes never reached the disk: the
catalog is flushed, pyiceberg's files are not. Files in a bucket are read by it, too, so that trust, time limits and
error codes are those of the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from pyarrow.fs import FileSystem
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from appliance.storage.arrow_files import file_system
from appliance.storage.files import FolderFiles, Place

S3 = "s3"
ROOT = Path("/")


class _DurableStream:
    """An output stream as pyiceberg wants it; the file has its name only after `close`."""

    def __init__(self, writing: AbstractContextManager[BinaryIO]) -> None:
        self._stack = contextlib.ExitStack()
        self._file = self._stack.enter_context(writing)

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> _DurableStream:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(type, error, trace)


class _DurableFile(PyArrowFile):  # type: ignore[misc]
    """One to be written; `place` and `key` say where."""

    def __init__(self, place: Place, key: str, **given: Any) -> None:
        super().__init__(**given)
        self._place, self._key = place, key

    def create(self, overwrite: bool = False) -> Any:
        """In a bucket nothing is ever replaced."""
        if not overwrite and self.exists():
            raise FileExistsError(f"{self.location} exists")
        return _DurableStream(self._place.writing(self._key))


class _Buckets:
    """Paths of S3 as pyiceberg writes them, the bucket first."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._properties = properties

    def at(self, name: str) -> tuple[Place, str]:
        from appliance.storage.s3.files import BucketFiles
        from appliance.storage.s3.site import server_from

        bucket, _, key = name.partition("/")
        return BucketFiles.of(server_from(self._properties), bucket), key


class DurableIO(PyArrowFileIO):  # type: ignore[misc]
    """Named in the catalog's properties (``py-io-impl``), which also name the server (`s3.site.properties_of`)."""

    def new_output(self, location: str) -> PyArrowFile:
        scheme, netloc, path = self.parse_location(location, self.properties)
        place, key = _Buckets(self.properties).at(path) if scheme == S3 else (FolderFiles(ROOT), path)
        return _DurableFile(place, key, location=location, path=path, fs=self.fs_by_scheme(scheme, netloc))

    def _initialize_fs(self, scheme: str, netloc: str | None = None) -> FileSystem:
        if scheme == S3:
            return file_system(_Buckets(self.properties), ROOT, native=False)
        return super()._initialize_fs(scheme, netloc)
