"""Reads entries of a KV version 2 engine by AppRole (OpenBao API, ``/auth/approle``, ``/secret/kv/kv-v2``).

Rules
1. TLS with the certificate checked against one authority; no proxy, no redirect, nothing from the environment.
2. A question ends within `LIMIT_S`, login included; then it is an error with its cause. Nothing is tried twice, but:
3. The token of a login is kept in memory until shortly before it ends. Where it is refused earlier, as after a
   revocation, one new login decides: what is refused then is forbidden.
4. An entry is asked for anew at each reading, by a connection of its own: a process may wait for hours between two.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import requests
from hvac import exceptions
from hvac.adapters import JSONAdapter

from appliance.base.errors import ApplianceError, Code
from appliance.base.secret_file import read_secret
from appliance.secrets import codes
from appliance.secrets.secret import Server

LIMIT_S = 4.0  # leaves one of the five seconds in which an error must be told
CONNECT_S = 2.0
_MARGIN_S = 30.0  # a token that ends so soon is not used any more
_SAID = 200  # characters of the server's words that go into a message
_CODES: dict[type[exceptions.VaultError], Code] = {
    exceptions.VaultDown: codes.SEALED,
    exceptions.VaultNotInitialized: codes.SEALED,
    exceptions.Forbidden: codes.FORBIDDEN,
    exceptions.Unauthorized: codes.FORBIDDEN,
    exceptions.InvalidPath: codes.MISSING,
}


@functools.cache
def open_server(server: Server) -> OpenBao:
    """The one client that a process has of a server; nothing is asked yet."""
    return OpenBao(server)


class OpenBao:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._token, self._token_ends = "", 0.0  # by time.monotonic

    def field(self, path: str, field: str) -> Any:
        """What the newest version of an entry has in a field.

        Raises:
            ApplianceError: APL-SECRETS-002 to 008.
        """
        where = f"{self._server.address} {self._server.mount}/{path}"
        with _Question(self._server) as question, _named(where):
            answer = self._read(question, f"/v1/{self._server.mount}/data/{path}", where)
        data = _part(answer, where, "data", "data")
        if field not in data:
            raise ApplianceError(codes.MISSING, f"the entry has no field {field!r}", where=where)
        return data[field]

    def _read(self, question: _Question, path: str, where: str) -> Any:
        if self._token and time.monotonic() < self._token_ends:
            with contextlib.suppress(exceptions.Forbidden):
                return question.ask("get", path, token=self._token)
        return question.ask("get", path, token=self._log_in(question, where))

    def _log_in(self, question: _Question, where: str) -> str:
        login = {
            "role_id": read_secret(self._server.role_id_file, code=codes.LOGIN_REFUSED),
            "secret_id": read_secret(self._server.secret_id_file, code=codes.LOGIN_REFUSED),
        }
        try:
            answer = question.ask("post", "/v1/auth/approle/login", json=login)
        except (exceptions.InvalidRequest, exceptions.Forbidden, exceptions.InvalidPath) as error:
            if error.json is None:
                raise
            raise ApplianceError(codes.LOGIN_REFUSED, _words(error), where=where) from error
        auth = _part(answer, where, "auth")
        token, life_s = auth.get("client_token"), auth.get("lease_duration")
        if not isinstance(token, str) or not isinstance(life_s, int):
            raise ApplianceError(codes.FAILED, "expected a token with its time", where=where)
        self._token, self._token_ends = token, time.monotonic() + life_s - _MARGIN_S
        return token


class _Question:
    """One connection, and the time that is left for what is asked on it. A context: leaving it closes both."""

    def __init__(self, server: Server) -> None:
        self._ends = time.monotonic() + LIMIT_S
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(server.authority)  # an adapter does as its session says, not as it was told itself
        self._adapter = JSONAdapter(base_uri=server.address, session=self._session, allow_redirects=False)

    def ask(self, method: str, path: str, *, token: str = "", **options: Any) -> Any:
        """Raises requests.RequestException, exceptions.VaultError, OSError."""
        left_s = max(self._ends - time.monotonic(), 0.001)  # it may be 0, which the libraries take for no limit
        self._adapter.token = token
        options["timeout"] = (min(CONNECT_S, left_s), left_s)
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(self._adapter.request(method, path, **options))
            except Exception as error:  # noqa: BLE001 - raised again by whoever waits
                future.set_exception(error)

        # The limits of requests are of one step of many, and none is of looking up a name.
        threading.Thread(target=run, daemon=True).start()
        try:
            return future.result(left_s)
        except FutureTimeoutError as error:
            raise requests.Timeout from error
        except (AttributeError, TypeError) as error:  # hvac's, of errors that are no list of texts
            raise exceptions.VaultError from error

    def __enter__(self) -> _Question:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()


def _part(answer: Any, where: str, *names: str) -> dict[str, Any]:
    """What an answer has under the names. Raises ApplianceError APL-SECRETS-008."""
    for name in names:
        if not isinstance(answer, dict) or not isinstance(answer.get(name), dict):
            raise ApplianceError(codes.FAILED, f"expected an answer with {'.'.join(names)}", where=where)
        answer = answer[name]
    found: dict[str, Any] = answer
    return found


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    """Errors of the libraries as codes. Raises ApplianceError APL-SECRETS-002 to 004 and 006 to 008."""
    try:
        yield
    except exceptions.VaultError as error:
        raise ApplianceError(_code_of(error), _words(error), where=where) from error
    except requests.exceptions.SSLError as error:
        reason = str(error).rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        raise ApplianceError(codes.UNTRUSTED, reason[:_SAID], where=where) from error
    except requests.RequestException as error:
        raise ApplianceError(codes.UNREACHABLE, f"no answer: {type(error).__name__}", where=where) from error
    except OSError as error:  # what requests raises for a missing file of the authority
        raise ApplianceError(codes.UNTRUSTED, str(error)[:_SAID], where=where) from error


def _code_of(error: exceptions.VaultError) -> Code:
    if error.json is None:
        return codes.FAILED  # OpenBao answers in JSON; this is another server
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), codes.FAILED)


def _words(error: exceptions.VaultError) -> str:
    """What the server said, on one line; of an entry that is not there, or was deleted, it says nothing."""
    said = "; ".join(error.errors) if error.errors else f"it answered {type(error).__name__} without a reason"
    return " ".join(said.split())[:_SAID]
