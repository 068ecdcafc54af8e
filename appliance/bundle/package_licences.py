"""Finds the licence of each Debian package in its copyright file, ``/usr/share/doc/<package>/copyright``.

Rules
1. The file is read inside the package, which is not unpacked; nothing of its content runs. What lies behind it in the
   package is not decompressed, and what lies before it is never held at once.
2. A doc folder or copyright file that is a link leads to another package of the same source (Debian policy 12.3 and
   12.5). That package's file counts, and where it is linked again, the next one's.
3. A package that ships none at all says so (`copyright_file.NO_FILE`), so that nobody takes silence for a licence.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, cast

import arpy

from appliance.base.errors import ApplianceError
from appliance.bundle import codes, copyright_file

MAX_BYTES = 8 << 20  # of a copyright file; that of the kernel is 0.1 MB
MAX_LINKS = 5
MAX_PARTS = 8  # deb(5): a version, control and data, and others may be between
_DOC = PurePosixPath("usr/share/doc")
_DATA: Mapping[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"data.tar": lambda packed: packed,
    b"data.tar.gz": cast(Callable[[IO[bytes]], IO[bytes]], gzip.open),
    b"data.tar.xz": cast(Callable[[IO[bytes]], IO[bytes]], lzma.open),
}
"""Name of the part that holds the files (deb(5)) -> what unpacks it. Debian has no package with zstd."""
_NO_PACKAGE = (arpy.ArchiveFormatError, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError)
"""What the readers of ar, tar and of each compression raise for what is none."""


@dataclass(frozen=True)
class Copyright:
    """What a package has: a text, or the name of the package whose text counts, or neither."""

    text: str = ""
    other: str = ""


def read(package: Path, name: str) -> Copyright:
    """What the file `package` says of the licence of the package `name`.

    Raises:
        ApplianceError: APL-BUNDLE-004, it is no package of Debian.
    """
    try:
        with package.open("rb") as file, _data(file) as data, tarfile.open(fileobj=data, mode="r|") as archive:
            return _find(archive, name)
    except _NO_PACKAGE as error:
        raise ApplianceError(codes.DIGEST_DIFFERS, f"it is no Debian package: {error}", where=str(package)) from error


def licence(name: str, package_of: Callable[[str, str], Path | None]) -> str:
    """The licence of the package `name`.

    Args:
        package_of: the file of a package, and None when there is none; told the name, and who asks by a link.
    """
    asker = name
    for _ in range(MAX_LINKS):
        package = package_of(name, asker)
        if package is None:
            return copyright_file.NO_FILE
        found = read(package, name)
        if not found.other:
            return copyright_file.licence(found.text) if found.text else copyright_file.NO_FILE
        asker, name = name, found.other
    return copyright_file.NO_FILE


def _data(file: IO[bytes]) -> IO[bytes]:
    parts = arpy.Archive(fileobj=file)
    for header in islice(iter(parts.read_next_header, None), MAX_PARTS):
        if header.name in _DATA:
            return _DATA[header.name](parts.archived_files[header.name])
    raise ValueError(f"expected one of {', '.join(sorted(map(bytes.decode, _DATA)))}")


def _find(archive: tarfile.TarFile, name: str) -> Copyright:
    folder = _DOC / name
    for member in archive:  # in order, so that nothing behind the file is decompressed
        path = PurePosixPath(str(member.name))
        if path not in (folder, folder / "copyright"):
            continue
        if member.issym():
            return Copyright(other=_package_of(path, member.linkname))
        if path != folder and member.isreg():
            file = archive.extractfile(member)
            data = file.read(MAX_BYTES) if file else b""
            return Copyright(text=data.decode("utf-8", "replace"))
    return Copyright()


def _package_of(link: PurePosixPath, target: str) -> str:
    """The package in whose doc folder a link ends; empty when it ends elsewhere."""
    parts: list[str] = []
    for part in (PurePosixPath("/") / link.parent / target).parts[1:]:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return parts[3] if tuple(parts[:3]) == _DOC.parts and len(parts) > 3 else ""
