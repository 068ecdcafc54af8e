"""A schema registry by the Confluent API over HTTP, at ours Apicurio behind nginx.

Rules
1. Every question ends within the time limit, attempts and pauses included; then it is an error with its cause.
2. A connection that fails and 5xx are tried again: each question can be put twice (a schema that is there already gives
   its id again). All else fails at once.
3. What an id stands for is kept once it was told: it never changes. That an id is unknown is not kept.
4. Our own check comes before a registration; the subject's level is set at the registry too, which then guards it
   against registrations of others.
5. Redirects are not followed; proxies and certificates of the process environment are not used.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import tenacity

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes, compatibility
from appliance.ingestion.schemas.registry import (
    DEFAULT_LEVEL,
    KINDS,
    MAX_ID,
    MAX_TEXT_BYTES,
    Kind,
    Level,
    Reference,
    RegisteredSchema,
    Version,
    subject_must_be_named,
)
from appliance.secrets.secret import Secret

ATTEMPTS = 3
MAX_ANSWER_BYTES = 4 * MAX_TEXT_BYTES  # a text of 1 MiB with every character escaped, or a list of subjects
MAX_REFERENCES = 64  # of one schema, those of its references included
_SCHEMA_UNKNOWN, _SUBJECT_UNKNOWN, _VERSION_UNKNOWN = 40403, 40401, 40402
_HEADERS = {"Accept": "application/vnd.schemaregistry.v1+json", "User-Agent": "appliance-schemas"}


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a registry is reached.

    Attributes:
        url: up to where ``/subjects`` begins.
        authority: file with the certificates that are trusted; None: the system's.
        user, password: HTTP basic authentication, over TLS alone; None: none.
        limit_s: of one question.
    """

    url: str
    authority: Path | None = None
    user: str | None = None
    password: Secret | None = None
    limit_s: float = 4.0


class _TryAgain(Exception):  # noqa: N818 - carries the error that is raised when attempts are used up
    def __init__(self, error: ApplianceError) -> None:
        super().__init__(str(error))
        self.error = error


class _Login(httpx.Auth):
    """HTTP basic authentication with the password as it is at each question, so that a renewed one counts at once."""

    def __init__(self, user: str, password: Secret) -> None:
        self._user = user
        self._password = password

    def header(self) -> str:
        """Raises ApplianceError APL-SCHEMA-011, APL-SECRETS-002 to 009."""
        login = f"{self._user}:{self._password.read(code=codes.SETTINGS_INVALID)}"
        return "Basic " + base64.b64encode(login.encode()).decode("ascii")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self.header()
        yield request


class ConfluentRegistry:
    """A `registry.SchemaRegistry`. Its connections close with the process, or by `close`."""

    def __init__(
        self, connection: Connection, *, levels: Mapping[str, Level], default_level: Level = DEFAULT_LEVEL
    ) -> None:
        """`levels` holds the compatibility of the subjects that differ from `default_level`.

        Raises:
            ApplianceError: APL-SCHEMA-011, APL-SECRETS-002 to 009; the registry was asked nothing.
        """
        self._url = _checked(connection).rstrip("/")
        self._limit_s = connection.limit_s
        self._levels = levels
        self._default_level = default_level
        self._known: dict[int, RegisteredSchema] = {}
        auth = None
        if connection.user is not None and connection.password is not None:
            auth = _Login(connection.user, connection.password)
            auth.header()  # what cannot be read is told before anything is asked
        self._client = httpx.Client(
            headers=_HEADERS, auth=auth, verify=_context(connection.authority), follow_redirects=False, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def by_id(self, id: int) -> RegisteredSchema | None:
        if id in self._known:
            return self._known[id]
        if not 0 < id <= MAX_ID:
            return None
        answer = self._ask("GET", f"/schemas/ids/{id}", unknown=_SCHEMA_UNKNOWN)
        if answer is None:
            return None
        return self._keep(id, answer)

    def subjects(self) -> tuple[str, ...]:
        return tuple(sorted(self._list("/subjects", str)))

    def versions(self, subject: str) -> tuple[Version, ...]:
        path = f"/subjects/{quote(subject, safe='')}/versions"
        numbers = sorted(self._list(path, int, unknown=_SUBJECT_UNKNOWN))
        found = [self._version(subject, number) for number in numbers]
        return tuple(each for each in found if each is not None)  # None: deleted meanwhile

    def check(self, subject: str, kind: Kind, text: str) -> tuple[str, ...]:
        subject_must_be_named(subject)
        before = [each.schema for each in self.versions(subject)]
        wanted = compatibility.normal(kind, text)
        if any(
            each.kind == kind and compatibility.normal(kind, each.text, each.references) == wanted for each in before
        ):
            return ()
        return compatibility.reasons_against(kind, text, before=before, level=self._level(subject))

    def register(self, subject: str, kind: Kind, text: str) -> int:
        reasons = self.check(subject, kind, text)
        if reasons:
            raise ApplianceError(codes.INCOMPATIBLE, "; ".join(reasons), where=subject)
        name = quote(subject, safe="")
        self._ask("PUT", f"/config/{name}", body={"compatibility": self._level(subject)})
        body = {"schema": text, **({} if kind == "AVRO" else {"schemaType": kind})}
        answer = self._ask("POST", f"/subjects/{name}/versions", body=body)
        id: int = _field(answer, "id", int, self._url)
        return id

    def _level(self, subject: str) -> Level:
        return self._levels.get(subject, self._default_level)

    def _version(self, subject: str, number: int) -> Version | None:
        path = f"/subjects/{quote(subject, safe='')}/versions/{number}"
        answer = self._ask("GET", path, unknown=_VERSION_UNKNOWN)
        if answer is None:
            return None
        id = _field(answer, "id", int, path)
        return Version(subject=subject, version=number, schema=self._known.get(id) or self._keep(id, answer))

    def _keep(self, id: int, answer: Any) -> RegisteredSchema:
        where = f"schema {id}"
        kind = answer.get("schemaType", "AVRO") if isinstance(answer, dict) else None
        if kind not in KINDS:
            raise ApplianceError(codes.BAD_ANSWER, f"expected one of {', '.join(KINDS)}, got {kind!r}", where=where)
        references: list[Reference] = []
        self._follow(answer, references, set(), where)
        text = _field(answer, "schema", str, where)
        made = RegisteredSchema(id=id, kind=kind, text=text, references=tuple(references))
        self._known[id] = made  # as many as there are registered schemas, whatever ids values claim
        return made

    def _follow(self, answer: Any, found: list[Reference], asked: set[tuple[str, int]], where: str) -> None:
        """Add what a schema refers to, each after what it refers to itself."""
        named = answer.get("references") or []
        if not isinstance(named, list):
            raise ApplianceError(codes.BAD_ANSWER, "references: expected a list", where=where)
        for each in named:
            name, subject = _field(each, "name", str, where), _field(each, "subject", str, where)
            number = _field(each, "version", int, where)
            if (subject, number) in asked:
                continue
            if len(asked) >= MAX_REFERENCES:
                raise ApplianceError(codes.BAD_ANSWER, f"more than {MAX_REFERENCES} references", where=where)
            asked.add((subject, number))
            path = f"/subjects/{quote(subject, safe='')}/versions/{number}"
            referred = self._ask("GET", path)
            text = _field(referred, "schema", str, path)
            self._follow(referred, found, asked, where)
            found.append(Reference(name=name, subject=subject, version=number, text=text))

    def _list(self, path: str, type: type, *, unknown: int | None = None) -> list[Any]:
        answer = self._ask("GET", path, unknown=unknown)
        if answer is None:
            return []
        if not isinstance(answer, list) or not all(isinstance(each, type) for each in answer):
            raise ApplianceError(codes.BAD_ANSWER, f"expected a list of {type.__name__}", where=self._url + path)
        return answer

    def _ask(self, method: str, path: str, *, body: Any = None, unknown: int | None = None) -> Any:
        """The answer's JSON; None when the registry answers that it does not know the thing, by the code `unknown`.

        Raises:
            ApplianceError: APL-SCHEMA-001, 002, 004 to 009.
        """
        ends = time.monotonic() + self._limit_s
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgain),
            stop=tenacity.stop_after_attempt(ATTEMPTS) | tenacity.stop_after_delay(self._limit_s),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=0.5),
            reraise=True,
        )
        try:
            return attempts(self._once, method, path, body, unknown, ends)
        except _TryAgain as failed:
            raise failed.error from failed

    def _once(self, method: str, path: str, body: Any, unknown: int | None, ends: float) -> Any:
        where = self._url + path
        left_s = max(0.1, ends - time.monotonic())
        try:
            with self._client.stream(method, where, json=body, timeout=left_s) as response:
                data = bytearray()
                for chunk in response.iter_bytes():  # as they come: with a size, httpx waits until it is full
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        raise ApplianceError(codes.BAD_ANSWER, f"more than {MAX_ANSWER_BYTES} bytes", where=where)
                    if time.monotonic() > ends:  # httpx limits the wait for each part, not for all
                        raise _TryAgain(ApplianceError(codes.UNREACHABLE, _late(self._limit_s), where=where))
        except httpx.HTTPError as error:
            raise _of_transport(error, where, self._limit_s) from error
        return _judged(response, bytes(data), unknown, where)


def _checked(connection: Connection) -> str:
    """The address. Raises ApplianceError APL-SCHEMA-011."""
    try:
        split = urlsplit(connection.url)
        usable = split.scheme in ("http", "https") and bool(split.hostname) and (split.port or 1) > 0
        httpx.URL(connection.url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ApplianceError(codes.SETTINGS_INVALID, f"registry: {error}", where=connection.url) from error
    if not usable or split.query or split.fragment or split.username:
        raise ApplianceError(codes.SETTINGS_INVALID, "registry: expected https://HOST:PORT/PATH", where=connection.url)
    if (connection.user is None) != (connection.password is None):
        raise ApplianceError(codes.SETTINGS_INVALID, "user and password are given together")
    if connection.user is not None and split.scheme != "https":
        raise ApplianceError(codes.SETTINGS_INVALID, "a password is sent over https only", where=connection.url)
    return connection.url


def _context(authority: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(authority) if authority is not None else None)
    except OSError as error:  # SSLError is one
        message = f"ca_file holds no certificates: {error.strerror or error}"
        raise ApplianceError(codes.SETTINGS_INVALID, message, where=str(authority)) from error


def _judged(response: httpx.Response, data: bytes, unknown: int | None, where: str) -> Any:
    """What the status and the body say; see `ConfluentRegistry._ask`."""
    status = response.status_code
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if status == 200:
        if answer is None:
            raise ApplianceError(codes.BAD_ANSWER, "it is not JSON", where=where)
        return answer
    if status in (401, 403, 407):
        raise ApplianceError(codes.CREDENTIALS_REFUSED, f"status {status}", where=where)
    said = answer if isinstance(answer, dict) and isinstance(answer.get("error_code"), int) else None
    if status >= 500 or status == 429:
        message = (
            f"status {status}: {str(said['message'])[:500] if said and 'message' in said else response.reason_phrase}"
        )
        raise _TryAgain(ApplianceError(codes.REGISTRY_FAILED, message, where=where))
    if said is None:
        raise ApplianceError(codes.OTHER_API, f"status {status} without an error code of the API", where=where)
    if unknown is not None and said["error_code"] == unknown:
        return None
    message = str(said.get("message", ""))[:500]
    code = {409: codes.INCOMPATIBLE, 422: codes.INVALID}.get(status, codes.REGISTRY_FAILED)
    raise ApplianceError(code, f"the registry says {said['error_code']}: {message}", where=where)


def _field(answer: Any, name: str, type: type, where: str) -> Any:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, type) or isinstance(value, bool):
        raise ApplianceError(codes.BAD_ANSWER, f"expected {name} as {type.__name__}, got {value!r}"[:300], where=where)
    return value


def _late(limit_s: float) -> str:
    return f"no answer within {limit_s:g} s"


def _of_transport(error: httpx.HTTPError, where: str, limit_s: float) -> Exception:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ApplianceError(codes.NOT_TRUSTED, cause.verify_message, where=where)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.RemoteProtocolError):
        return _TryAgain(ApplianceError(codes.OTHER_API, f"its answer is not HTTP: {error}", where=where))
    if isinstance(error, httpx.DecodingError):
        return ApplianceError(codes.BAD_ANSWER, f"its content encoding is damaged: {error}", where=where)
    reason = _late(limit_s) if isinstance(error, httpx.TimeoutException) else str(error)
    return _TryAgain(ApplianceError(codes.UNREACHABLE, reason or type(error).__name__, where=where))
