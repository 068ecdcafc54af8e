"""File access of the Iceberg tables: pyiceberg's own, except that every file it writes goes through `base.atomic`.

Without it a power cut could leave the catalog pointing to a metadata file whose bytes never reached the disk: the
catalog (SQLite) is flushed, pyiceberg's files are not.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlparse

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from appliance.base import atomic


class _DurableStream:
    """An output stream as pyiceberg wants it; the file has its name only after `close`."""

    def __init__(self, path: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._file = self._stack.enter_context(atomic.open_atomic(path))

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
    def create(self, overwrite: bool = False) -> Any:
        path = local_path(self.location)
        if not overwrite and path.exists():
            raise FileExistsError(f"{path} exists")
        return _DurableStream(path)


class DurableIO(PyArrowFileIO):  # type: ignore[misc]
    """Named in the catalog's properties (``py-io-impl``)."""

    def new_output(self, location: str) -> PyArrowFile:
        scheme, netloc, path = self.parse_location(location, self.properties)
        return _DurableFile(location=location, path=path, fs=self.fs_by_scheme(scheme, netloc))


def local_path(uri: str) -> Path:
    """The file that a ``file:`` URI of our own tables names."""
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme else Path(uri)
