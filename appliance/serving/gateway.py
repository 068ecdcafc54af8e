"""The gateway: a bare ASGI application in front of the model services.

Paths
    POST /v1/models/{name}/predict   one prediction
    GET  /v1/models                  what is served
    GET  /healthz, /readyz           the process runs; the routes are read
    GET  /metrics                    text for Prometheus
    POST /-/rotate                   close the open prediction segment (control token)
    POST /-/under-way                requests and shadow copies not answered yet (control token)

Rules
1. It listens on loopback; TLS and client authentication stand in front of it.
2. A malformed request gets 400 or 413 with the field; an unknown model 404; both are counted, neither is predicted.
3. No answer leaves before its prediction is written down; when that fails the client gets 503.
4. Routes are re-read when the file changes; a bad file keeps the old routes and makes /readyz fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec

from appliance.base import log
from appliance.base.clock import Clock
from appliance.base.errors import ApplianceError
from appliance.serving import codes
from appliance.serving.arms import Arms, Question
from appliance.serving.contract import MAX_REQUEST_BYTES, parse_request
from appliance.serving.metering import GatewayMeter
from appliance.serving.prediction_log import PredictionWriter
from appliance.serving.routes import FILE_NAME, Routes, load_routes

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ROUTES_POLL_S = 0.1
_log = logging.getLogger(__name__)


class Gateway:
    """An ASGI application; `control_token` guards the paths under ``/-/``."""

    def __init__(
        self,
        *,
        folder: Path,
        arms: Arms,
        writer: PredictionWriter,
        meter: GatewayMeter,
        clock: Clock,
        control_token: str,
    ) -> None:
        self._folder, self._arms, self._writer, self._meter, self._clock = folder, arms, writer, meter, clock
        self._token = control_token
        self._routes = Routes()
        self._routes_error = "not read yet"
        self._routes_stamp: tuple[int, int] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            status, body, kind = await self._respond(scope, receive)
            headers = [
                (b"content-type", kind),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.read_routes()
                await self._arms.start()
                self._watcher = asyncio.create_task(self._watch())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._watcher is not None:
                    self._watcher.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await self._watcher
                await self._arms.close()
                self._writer.rotate()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(ROUTES_POLL_S)
            self.read_routes()

    def read_routes(self) -> None:
        """Take the routes file if it changed and is valid."""
        try:
            status = (self._folder / FILE_NAME).stat()
            stamp = (status.st_mtime_ns, status.st_ino)
        except FileNotFoundError:
            stamp = (0, 0)
        if stamp == self._routes_stamp:
            return
        self._routes_stamp = stamp
        try:
            self._routes, self._routes_error = load_routes(self._folder), ""
        except ApplianceError as error:
            self._routes_error = str(error)
            _log.error("routes refused", extra={"code": error.code.id, "reason": error.message})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, bytes, bytes]:
        path, method = scope["path"], scope["method"]
        if method == "POST" and path.startswith("/v1/models/") and path.endswith("/predict"):
            return await self._predict(path[len("/v1/models/") : -len("/predict")], scope, receive)
        if method == "GET" and path == "/healthz":
            return 200, b'{"status":"ok"}', b"application/json"
        if method == "GET" and path == "/readyz":
            if self._routes_error:
                return (
                    503,
                    msgspec.json.encode({"status": "not ready", "reason": self._routes_error}),
                    b"application/json",
                )
            return 200, b'{"status":"ready"}', b"application/json"
        if method == "GET" and path == "/v1/models":
            return 200, msgspec.json.encode(self._routes), b"application/json"
        if method == "GET" and path == "/metrics":
            return 200, self._meter.render(), b"text/plain; version=0.0.4"
        if method == "POST" and path in ("/-/rotate", "/-/under-way"):
            return self._control(scope, rotate=path == "/-/rotate")
        self._meter.refused("path")
        return 404, b'{"error":{"message":"no such path"}}', b"application/json"

    def _control(self, scope: Scope, *, rotate: bool) -> tuple[int, bytes, bytes]:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + self._token.encode()):
            self._meter.refused("control token")
            return 403, b'{"error":{"message":"control token missing or wrong"}}', b"application/json"
        if rotate:
            self._writer.rotate()
        return 200, msgspec.json.encode({"under_way": self._arms.under_way}), b"application/json"

    async def _predict(self, model: str, scope: Scope, receive: Receive) -> tuple[int, bytes, bytes]:
        try:
            request = parse_request(await _read_body(receive))
            route = self._routes.of(model)
            if route is None:
                raise ApplianceError(codes.NO_SUCH_MODEL, f"no model {model!r} is served", where="$.model")
        except ApplianceError as error:
            self._meter.refused(error.code.id)
            status = {codes.NO_SUCH_MODEL: 404, codes.REQUEST_TOO_LARGE: 413}.get(error.code, 400)
            return status, msgspec.json.encode({"error": error.as_dict()}), b"application/json"
        at = request.at or self._clock.now()
        question = Question(
            request=msgspec.structs.replace(request, at=at),  # the model answers for the instant that is recorded
            model=model,
            at=at,
            request_id=request.request_id or log.new_trace_id(),
            trace_id=_trace_id(scope),
        )
        try:
            prediction = await self._arms.answer(question, route)
        except OSError as error:
            _log.error("prediction not recorded", extra={"reason": str(error), "trace_id": question.trace_id})
            return (
                503,
                b'{"error":{"message":"the prediction cannot be recorded, so it is not given"}}',
                b"application/json",
            )
        return 200, msgspec.json.encode(prediction), b"application/json"


def _trace_id(scope: Scope) -> str:
    """The trace id of the caller's W3C ``traceparent``, or a new one."""
    parts = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1").split("-")
    return parts[1] if len(parts) == 4 and log.is_trace_id(parts[1]) else log.new_trace_id()


async def _read_body(receive: Receive) -> bytes:
    """The whole body, at most `MAX_REQUEST_BYTES`.

    Raises:
        ApplianceError: APL-SERVE-008; the rest is not read.
    """
    body = b""
    while True:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise ApplianceError(codes.REQUEST_TOO_LARGE, f"over {MAX_REQUEST_BYTES} bytes", where="$")
        if not message.get("more_body"):
            return body
