"""The files of a pack, in a folder or one tar file: plain files with plain names, within limits, read only.

Names that differ only in case are refused: on some file systems they are one file.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from .envelope import MAX_BUNDLE_BYTES
from .log import MAX_NOTE_BYTES
from .verdict import require

MAX_FILES = 200_000
MAX_METADATA_BYTES = 4 * 1024 * 1024
MAX_TILE_BYTES = 256 * (2 + 65_535)
REQUIRED = (
    "log/checkpoint", "tlog-policy", "trust-config.json", "trust-policy.json", "tuf/metadata/1.root.json",
    "tuf/metadata/timestamp.json",
)  # fmt: skip
LIMITS = (  # the first that matches a name; artifacts and documents have none
    (r"bundles/.*", MAX_BUNDLE_BYTES),
    (r"log/checkpoint", MAX_NOTE_BYTES),
    (r"log/tile/.*", MAX_TILE_BYTES),
    (r"tuf/metadata/.*|trust-config\.json|trust-policy\.json|tlog-policy", MAX_METADATA_BYTES),
)


class Medium:
    """A pack. `sizes` are of all files by name; making one runs step `pack`. Everything raises ValueError, OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sizes: dict[str, int] = {}
        self._members: dict[str, tarfile.TarInfo] = {}
        self._tar: tarfile.TarFile | None = None
        if path.is_dir():
            self._list_folder("")
        else:
            self._list_tar()
        folded = {name.lower() for name in self.sizes}
        require(len(folded) == len(self.sizes), "two names differ only in case")
        inside = {str(folder) for name in folded for folder in PurePosixPath(name).parents} & folded
        require(not inside, f"files lie in the file {min(inside, default='')!r}")
        for name in REQUIRED:
            require(name in self.sizes, f"{name} is missing")
        for name in self.sizes:
            good = not name.startswith("bundles/") or re.fullmatch(r"bundles/[0-9a-f]{64}\.sigstore\.json", name)
            require(good, f"{name!r} is not the name of a bundle")

    def read(self, name: str) -> bytes | None:
        """The content of a file within its limit, or None when there is none."""
        if name not in self.sizes:
            return None
        with self._open(name) as file:
            return file.read(self.sizes[name])

    def need(self, name: str) -> bytes:
        require(name in self.sizes, f"{name} is missing")
        return self.read(name) or b""

    def sha256(self, name: str) -> str:
        """In hex, for files of any size."""
        with self._open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()

    def _open(self, name: str) -> IO[bytes]:
        if self._tar is not None:
            return require(self._tar.extractfile(self._members[name]), f"{name} is no file")
        return os.fdopen(os.open(self._path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")

    def _list_folder(self, folder: str) -> None:
        for entry in os.scandir(self._path / folder):
            status = entry.stat(follow_symlinks=False)
            plain = stat.S_ISREG(status.st_mode)
            self._add(f"{folder}{entry.name}", status.st_size, plain=plain, is_folder=stat.S_ISDIR(status.st_mode))
            if stat.S_ISDIR(status.st_mode):
                self._list_folder(f"{folder}{entry.name}/")

    def _list_tar(self) -> None:
        try:
            self._tar = tarfile.open(self._path, "r:")  # noqa: SIM115  stays open as long as the pack is read
            for member in self._tar:
                plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
                self._add(member.name, member.size, plain=plain, is_folder=member.type == tarfile.DIRTYPE)
                self._members[member.name] = member
        except tarfile.TarError as error:
            raise ValueError(f"not a tar file: {error}") from error

    def _add(self, name: str, size: int, *, plain: bool, is_folder: bool) -> None:
        good = re.fullmatch(r"[A-Za-z0-9._/-]+", name) and ".." not in name and not {"", "."} & set(name.split("/"))
        require(good, f"name {name[:200]!r} is not allowed")
        if is_folder:
            return
        require(plain, f"{name!r} is a link or a special file")
        require(name not in self.sizes, f"{name!r} stands twice")
        limit = next((limit for pattern, limit in LIMITS if re.fullmatch(pattern, name)), None)
        require(limit is None or size <= limit, f"{name} has {size} bytes, at most {limit} are allowed")
        require(len(self.sizes) < MAX_FILES, f"more than {MAX_FILES} files")
        self.sizes[name] = size
