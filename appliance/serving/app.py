"""The ASGI application of one model service: ``POST /score`` and ``GET /model``, for the gateway only.

It is mounted in a Bento (`appliance.serving.service`), which hosts it; the typed Bento endpoint is not on this path.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from appliance.base.errors import ApplianceError
from appliance.serving.contract import parse_request
from appliance.serving.runtime import Scorer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ModelApp:
    """Scores inside the event loop: a model call takes less than handing it to a thread would."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            status, body = await self._respond(scope, receive)
            await send(
                {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
            )
            await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        verified = self._scorer.verified
        if scope["method"] == "GET" and scope["path"] == "/model":
            return 200, msgspec.json.encode(
                {"model": verified.name, "version": verified.version, "artifact_id": verified.artifact_id}
            )
        if scope["method"] != "POST" or scope["path"] != "/score":
            return 404, b'{"error":"no such path"}'
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            request = parse_request(body)
            scored = self._scorer.answer(request.entity, request.at or dt.datetime.now(dt.UTC))
        except ApplianceError as error:
            return 422, msgspec.json.encode({"error": error.as_dict()})
        return 200, msgspec.json.encode(scored)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
