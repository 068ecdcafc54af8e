"""Where a client reads a repository: a folder, or an HTTP server on this machine's loopback. Never writes.

Rules
1. A path, ``file:`` or ``http:`` with a loopback number. No names (they would be looked up), no other scheme, no
   proxy, no redirect.
2. Only plain files count; links and devices are missing files. A file larger than its limit is refused.
"""

from __future__ import annotations

import errno
import http.client
import ipaddress
import os
import re
import stat
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from appliance.base.errors import ApplianceError
from appliance.trust.tuf import codes

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
TIMEOUT_S = 5.0  # of the loopback server; a folder has none


class Source(Protocol):
    """A repository with the folders ``metadata`` and ``targets``."""

    def read(self, name: str, limit_bytes: int) -> bytes | None:
        """The file below the repository, or None where there is none."""

    def where(self, name: str) -> str: ...


def open_source(text: str) -> Source:
    """The source that a person named.

    Raises:
        ApplianceError: APL-TUF-007.
    """
    scheme = _SCHEME.match(text)
    if not scheme:
        if text:
            return _Folder(Path(text))
    elif scheme[1].lower() == "file":
        parts = urlsplit(text)
        if parts.netloc in ("", "localhost") and parts.path and not (parts.query or parts.fragment):
            return _Folder(Path(unquote(parts.path)))
    elif scheme[1].lower() == "http":
        parts = urlsplit(text)
        if _is_loopback(parts.hostname or "") and not (parts.username or parts.query or parts.fragment):
            return _Loopback(parts.hostname or "", _port(text), parts.path.rstrip("/"))
    raise ApplianceError(codes.SOURCE_REFUSED, f"expected a folder, file: or http: on loopback, got {text!r}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port(text: str) -> int:
    try:
        return urlsplit(text).port or 80
    except ValueError as error:
        raise ApplianceError(codes.SOURCE_REFUSED, f"{text!r}: {error}") from error


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def where(self, name: str) -> str:
        return str(self._folder / name)

    def read(self, name: str, limit_bytes: int) -> bytes | None:
        try:
            handle = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # what O_NOFOLLOW says of a link
                return None
            raise ApplianceError(codes.SOURCE_UNREACHABLE, f"{error.strerror}", where=self.where(name)) from error
        with os.fdopen(handle, "rb") as file:
            try:
                return _within(file.read(limit_bytes + 1), limit_bytes, self.where(name)) if _is_plain(handle) else None
            except OSError as error:
                raise ApplianceError(codes.SOURCE_UNREACHABLE, f"{error.strerror}", where=self.where(name)) from error


def _is_plain(handle: int) -> bool:
    return stat.S_ISREG(os.fstat(handle).st_mode)


class _Loopback:
    def __init__(self, host: str, port: int, path: str) -> None:
        self._host = host
        self._port = port
        self._path = path

    def where(self, name: str) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{self._path}/{quote(name)}"

    def read(self, name: str, limit_bytes: int) -> bytes | None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", f"{self._path}/{quote(name)}")
            answer = connection.getresponse()
            if answer.status in (403, 404):
                return None
            if answer.status != 200:
                raise ApplianceError(
                    codes.SOURCE_UNREACHABLE, f"expected status 200, got {answer.status}", where=self.where(name)
                )
            return _within(answer.read(limit_bytes + 1), limit_bytes, self.where(name))
        except (OSError, http.client.HTTPException) as error:
            raise ApplianceError(codes.SOURCE_UNREACHABLE, f"{error!r}", where=self.where(name)) from error
        finally:
            connection.close()


def _within(data: bytes, limit_bytes: int, where: str) -> bytes:
    if len(data) > limit_bytes:
        raise ApplianceError(codes.METADATA_INVALID, f"more than {limit_bytes} bytes", where=where)
    return data
