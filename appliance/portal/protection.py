"""What stands around every response, also those of errors and static files. Bare ASGI, no framework.

Rules
1. A request whose Host is not a loopback name is refused before anything else sees it (DNS rebinding). The port does
   not count: it differs behind an SSH forward.
2. Every response carries `HEADERS`; nothing inside can weaken them. Pages are never stored by the browser; a static
   file may be, because its name holds its digest.
3. The policy allows no script at all and no inline style. Trusted Types are on, with no policy allowed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), "
    "microphone=(), midi=(), payment=(), serial=(), usb=()",
}
HOSTS = frozenset(("127.0.0.1", "localhost", "[::1]"))
STATIC = "/static/"
KEPT = "public, max-age=31536000, immutable"
NOT_KEPT = "no-store"


def host_is_allowed(host: str) -> bool:
    """Whether a Host header names loopback; the port, if any, must be a number."""
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name = host
    elif not (port.isascii() and port.isdecimal()):
        return False
    return name.lower() in HOSTS


class Protection:
    """An ASGI application around another."""

    def __init__(self, application: Application, refusal: Application) -> None:
        """`refusal` answers when the host is refused."""
        self._application, self._refusal = application, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def protected(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = scope["path"].startswith(STATIC) and message["status"] == 200
                message["headers"] = _headers(message["headers"], KEPT if kept else NOT_KEPT)
            await send(message)

        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        inner = self._application if len(hosts) == 1 and host_is_allowed(hosts[0]) else self._refusal
        await inner(scope, receive, protected)


def _headers(given: list[tuple[bytes, bytes]], cache: str) -> list[tuple[bytes, bytes]]:
    ours = {name.encode(): value.encode() for name, value in {**HEADERS, "cache-control": cache}.items()}
    return [(name, value) for name, value in given if name.lower() not in {*ours, b"server"}] + list(ours.items())
