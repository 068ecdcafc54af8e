"""Files by their names, as Arrow's readers want them: a file system to read from."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import pyarrow as pa
import pyarrow.fs as fs

from appliance.storage.files import Place


class Names(Protocol):
    def at(self, name: str) -> tuple[Place, str]:
        """The place of a file, and its key there."""


def file_system(names: Names, folder: Path, *, native: bool) -> fs.FileSystem:
    """With `native` all files lie in `folder`, and Arrow reads them itself."""
    if native:
        return fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    return fs.PyFileSystem(_Handler(names))


class _Handler(fs.FileSystemHandler):  # type: ignore[misc]
    """Reads, tells of single files, and removes them. What else a file system can do is not asked of it."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handler) and other._names is self._names

    def __hash__(self) -> int:
        return hash(id(self._names))

    def get_type_name(self) -> str:
        return "appliance"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[fs.FileInfo]:
        return [self._info(path) for path in paths]

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pa.NativeFile:
        place, key = self._names.at(path)
        return pa.PythonFile(place.open(key), mode="r")

    def delete_file(self, path: str) -> None:
        place, key = self._names.at(path)
        place.remove(key)

    def _info(self, path: str) -> fs.FileInfo:
        place, key = self._names.at(path)
        try:
            return fs.FileInfo(path, fs.FileType.File, size=place.size(key))
        except FileNotFoundError:
            return fs.FileInfo(path, fs.FileType.NotFound)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.ENOTSUP, "files are listed by storage.files, and written by it")

    get_file_info_selector = create_dir = delete_dir = delete_dir_contents = _refuse
    delete_root_dir_contents = move = copy_file = open_output_stream = open_append_stream = _refuse
