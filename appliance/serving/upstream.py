"""Calls one model service over loopback HTTP with pooled connections; every failure is one exception."""

from __future__ import annotations

import aiohttp
import msgspec

from appliance.serving.contract import PredictRequest, Scored
from appliance.serving.routes import Target

_decoder = msgspec.json.Decoder(Scored)


class UpstreamError(Exception):
    """The model service did not give a valid answer in time."""


class QuestionRefused(Exception):  # noqa: N818 - named for what happened
    """The model service is well, but cannot answer for this entity or instant; the message says why."""


class Upstream:
    """A pool of connections; opened inside the event loop by `start`."""

    def __init__(self, *, timeout_ms: int) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=self._timeout, connector=aiohttp.TCPConnector(limit=256))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def score(self, target: Target, request: PredictRequest, trace_id: str) -> Scored:
        """Ask the service at `target`.

        Raises:
            UpstreamError: no connection, too slow, not 200, not the contract, or not the model that was routed to.
            QuestionRefused: the service refused the question (422).
        """
        assert self._session is not None, "start() was not awaited"
        try:
            async with self._session.post(
                f"http://127.0.0.1:{target.port}/score",
                data=msgspec.json.encode(request),
                headers={"content-type": "application/json", "x-trace-id": trace_id},
            ) as response:
                body = await response.read()
                if response.status == 422:
                    raise QuestionRefused(msgspec.json.decode(body)["error"]["message"])
                if response.status != 200:
                    raise UpstreamError(f"status {response.status}: {body[:200]!r}")
            scored = _decoder.decode(body)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError, LookupError) as error:
            raise UpstreamError(f"{type(error).__name__}: {error}") from error
        if scored.artifact_id != target.artifact_id:
            raise UpstreamError(f"expected model {target.artifact_id}, port {target.port} serves {scored.artifact_id}")
        return scored
