"""Requests to the servers of a site: TLS checked against the site's own authority, no proxy, short patience."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.deploy.servers.place import Place

PATIENCE_S = 3.0
OPERATOR = "operator"  # the client certificate of the command line


class NotReadyError(Exception):
    """A server does not do its work yet; the text says what was seen."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        """Raises NotReadyError when the body is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise NotReadyError(f"answered {self.status} without JSON") from error


def ask(
    place: Place,
    port: str,
    path: str,
    *,
    method: str = "GET",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    client: bool = False,
    patience_s: float = PATIENCE_S,
) -> Answer:
    """One request to the named port; with `client`, the operator's certificate is shown.

    Raises:
        NotReadyError: nobody answered, or not with TLS that the site trusts.
    """
    context = ssl.create_default_context(cafile=str(place.authority))
    if client:
        context.load_cert_chain(place.certificate(OPERATOR), place.key(OPERATOR))
    request = urllib.request.Request(  # always https to loopback
        f"https://{place.address(port)}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json", **(headers or {})},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=patience_s) as answer:
            return Answer(status=answer.status, body=answer.read())
    except urllib.error.HTTPError as error:
        return Answer(status=error.code, body=error.read())
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"{place.address(port)}: {getattr(error, 'reason', None) or error}") from error


def expect_ok(answer: Answer) -> None:
    """Raises NotReadyError for every status but 200."""
    if answer.status != 200:
        raise NotReadyError(f"answered {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}")
