"""Kafka Connect's interface, by mutual TLS (Apache Kafka documentation, section 8.2, REST API).

Rules
1. Every question ends within the time limit, attempts included; then it is an error with its cause.
2. While Connect moves its work between workers it answers 409: that is tried again, as are a connection that fails and
   5xx. All questions can be put twice.
3. Redirects are not followed; proxies and certificates of the process environment are not used.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import tenacity

from appliance.base.errors import ApplianceError
from appliance.ingestion.changes import codes

LIMIT_S = 4.0
_ANSWER_S = 3.0
_BUSY = 409


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How Connect is reached: its authority, and the certificate that it asks for."""

    url: str
    ca_file: Path
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, kw_only=True)
class Running:
    """What Connect says of a connector: its own words for the state, of the task too, and the reason of a failure."""

    state: str
    task: str
    reason: str


class _TryAgain(Exception):  # noqa: N818 - carries the error that is raised when the time is up
    def __init__(self, error: ApplianceError) -> None:
        super().__init__(str(error))
        self.error = error


class KafkaConnect:
    def __init__(self, connection: Connection, limit_s: float = LIMIT_S) -> None:
        """Raises ApplianceError APL-CHANGE-001 no address, APL-CHANGE-003 a file of the connection cannot be used."""
        if not connection.url.startswith("https://"):
            raise ApplianceError(codes.NOT_CONFIGURED, f"connect.url: expected https://…, got {connection.url!r}")
        self._url = connection.url.rstrip("/")
        self._limit_s = limit_s
        self._client = httpx.Client(
            verify=_context(connection), timeout=_ANSWER_S, follow_redirects=False, trust_env=False
        )

    def put(self, name: str, configuration: Mapping[str, str]) -> None:
        """Make the connector, or give it another configuration, after Connect itself has found nothing wrong with it.

        Raises:
            ApplianceError: APL-CHANGE-002 to 004.
        """
        plugin = configuration["connector.class"].rpartition(".")[2]
        checked = self._ask("PUT", f"/connector-plugins/{plugin}/config/validate", {**configuration, "name": name})
        faults = [
            f"{each['value']['name']}: {'; '.join(each['value']['errors'])}"
            for each in checked["configs"]
            if each["value"]["errors"]
        ]
        if faults:
            raise ApplianceError(codes.CONNECT_REFUSED, " | ".join(faults)[:500], where=name)
        self._ask("PUT", f"/connectors/{quote(name)}/config", configuration)

    def running(self, name: str) -> Running:
        """How the connector is.

        Raises:
            ApplianceError: APL-CHANGE-005 it was never added; APL-CHANGE-002 to 004.
        """
        found = self._ask("GET", f"/connectors/{quote(name)}/status")
        task: Mapping[str, str] = next(iter(found["tasks"]), {})  # it has one, or none while it is stopped
        trace = task.get("trace") or found["connector"].get("trace") or ""
        return Running(state=found["connector"]["state"], task=task.get("state", ""), reason=_reason(trace))

    def offsets(self, name: str) -> Mapping[str, Any]:
        """Up to where it has brought its source, in the connector's own terms. Raises as `running`."""
        found: dict[str, Any] = self._ask("GET", f"/connectors/{quote(name)}/offsets")
        return found

    def configuration(self, name: str) -> Mapping[str, str]:
        """What it was given last. Raises as `running`."""
        found: dict[str, str] = self._ask("GET", f"/connectors/{quote(name)}/config")
        return found

    def stop(self, name: str) -> None:
        """End its task, which lets go of its source; a pause would keep it."""
        self._ask("PUT", f"/connectors/{quote(name)}/stop")

    def resume(self, name: str) -> None:
        self._ask("PUT", f"/connectors/{quote(name)}/resume")

    def restart(self, name: str) -> None:
        self._ask("POST", f"/connectors/{quote(name)}/restart?includeTasks=true")

    def remove(self, name: str) -> None:
        self._ask("DELETE", f"/connectors/{quote(name)}")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgain),
            stop=tenacity.stop_before_delay(self._limit_s),
            wait=tenacity.wait_exponential(multiplier=0.2, max=1.0),
            reraise=True,
        )
        try:
            return attempts(self._once, method, path, body)
        except _TryAgain as failed:
            raise failed.error from failed

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            answer = self._client.request(method, self._url + path, json=body)
        except httpx.HTTPError as error:
            text = f"{type(error).__name__}: {error}"
            # Of a certificate that the other side refuses, TLS 1.3 tells in the first read.
            if any(word in text.lower() for word in ("certificate", "alert", "handshake")):
                raise ApplianceError(codes.UNTRUSTED, text[:300], where=self._url) from error
            raise _TryAgain(ApplianceError(codes.UNREACHABLE, text[:300], where=self._url)) from error
        if answer.is_success:
            return answer.json() if answer.content else None
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ApplianceError(codes.NOT_ADDED, path.split("/")[2].split("?")[0], where=self._url)
        failed = ApplianceError(codes.CONNECT_REFUSED, f"{answer.status_code}: {_said(answer)}", where=self._url + path)
        if answer.status_code == _BUSY or answer.is_server_error:
            raise _TryAgain(failed)
        raise failed


def _context(connection: Connection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(connection.ca_file))
        context.load_cert_chain(connection.certificate_file, connection.key_file)
    except OSError as error:  # SSLError is one
        message = f"a file of the connection cannot be used: {error.strerror or error}"
        raise ApplianceError(codes.UNTRUSTED, message, where=str(connection.certificate_file)) from error
    return context


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase


def _reason(trace: str) -> str:
    """Of a Java trace the lines that say something: the first, and the last that names a cause."""
    lines = [each.strip() for each in trace.splitlines() if each and not each.startswith("\t")]
    return " … ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))[:500]
