"""OpenBao's HTTP interface by the standard library alone, for modules and programs that run on a host.

Rules
1. TLS is checked against the authorities that are given, and no proxy is asked. A certificate that has ended is taken:
   who asks is about to renew it, on a host that was off for longer than certificates live.
2. Tokens and ids come from files and go into headers and bodies; no message of an error has one in it.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import ssl
import string
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 30
ROLE_ID, SECRET_ID = "role-id", "secret-id"
ROOT_TOKEN, RECOVERY_KEY = "root-token", "recovery-key"
ARGUMENTS: Mapping[str, Any] = {
    "address": {"type": "str", "required": True},
    "authorities": {"type": "list", "elements": "path", "required": True},
}
"""Of every module that asks OpenBao."""
ENTRY_ARGUMENTS: Mapping[str, Any] = {
    **ARGUMENTS,
    "login": {"type": "path", "required": True},
    "mount": {"type": "str", "required": True},
    "field": {"type": "str", "default": "value"},
}
"""Of every module that asks it for entries of a KV engine."""
_ALPHABET = string.ascii_letters + string.digits
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of openssl, which Python does not name
_NOT_YET = "Upgrading from non-versioned"  # what a new KV engine says for a moment


class OpenBaoError(Exception):
    """It did not answer, or refused. The message is for the operator."""


@dataclass(frozen=True)
class OpenBao:
    """`authorities`: files with certificates; those that are not there yet are left out."""

    address: str
    authorities: Sequence[Path]
    token: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> OpenBao:
        """That which a module was told of, by `ARGUMENTS`."""
        return cls(told["address"], [Path(each) for each in told["authorities"]])

    def get(self, path: str) -> Any:
        """The answer, None where there is nothing. Raises OpenBaoError."""
        status, body = self.ask("GET", path)
        return None if status == 404 else self._checked("GET", path, status, body)

    def put(self, path: str, body: Any = None) -> Any:
        """The answer, None for an empty one. Raises OpenBaoError."""
        end = time.monotonic() + PATIENCE_S
        while True:
            status, found = self.ask("POST", path, {} if body is None else body)
            if status < 400 or _NOT_YET not in str(found) or time.monotonic() > end:
                return self._checked("POST", path, status, found)
            time.sleep(1)

    def delete(self, path: str) -> None:
        """Raises OpenBaoError."""
        self._checked("DELETE", path, *self.ask("DELETE", path))

    def text(self, path: str) -> str:
        """An answer that is no JSON; empty where there is nothing. Raises OpenBaoError."""
        status, body = self._send("GET", path, None)
        return body.decode() if status == 200 else ""

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and body. Raises OpenBaoError: nobody answers, or not with TLS that is trusted."""
        status, data = self._send(method, path, body)
        try:
            return status, json.loads(data) if data else None
        except ValueError:
            return status, None

    def is_up(self) -> bool:
        try:
            self.ask("GET", "sys/seal-status")
        except OpenBaoError:
            return False
        return True

    def with_token(self, token: str) -> OpenBao:
        return OpenBao(self.address, self.authorities, token)

    def login(self, folder: Path) -> OpenBao | None:
        """Logged in with the ids in the folder; None: they are not there, or not good any more."""
        try:
            ids = {name.replace("-", "_"): (folder / name).read_text().strip() for name in (ROLE_ID, SECRET_ID)}
        except OSError:
            return None
        status, found = self.ask("POST", "auth/approle/login", ids)
        return self.with_token(found["auth"]["client_token"]) if status == 200 else None

    def required_login(self, folder: Path) -> OpenBao:
        """As `login`. Raises OpenBaoError: the ids are not there, or not good any more."""
        found = self.login(folder)
        if found is None:
            raise OpenBaoError(f"the ids in {folder} are not good; run the role openbao")
        return found

    def _checked(self, method: str, path: str, status: int, body: Any) -> Any:
        if status >= 400:
            said = "; ".join(map(str, (body or {}).get("errors", []))) or "nothing more"
            raise OpenBaoError(f"OpenBao answered {status} to {method} {path}: {said}")
        return body

    def _send(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        there = [each for each in self.authorities if each.exists()]
        if not there:
            raise OpenBaoError(f"none of {', '.join(map(str, self.authorities))} is there")
        context = ssl.create_default_context(cadata="".join(each.read_text() for each in there))
        context.verify_flags |= _NO_CHECK_TIME
        request = urllib.request.Request(  # noqa: S310 - the address is a setting of the site, https
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **({"X-Vault-Token": self.token} if self.token else {})},
        )
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (OSError, http.client.HTTPException) as error:
            raise OpenBaoError(f"{self.address} does not answer: {getattr(error, 'reason', None) or error}") from error


def new_password() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(40))


def keep(path: Path, data: bytes, *, mode: int = 0o600, group: int = -1) -> None:
    """Write a file as a whole: nobody ever sees it with other rights, or a part of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchown(handle, -1, group)
            os.fchmod(handle, mode)
            file.flush()
            os.fsync(handle)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
