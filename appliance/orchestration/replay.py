"""Sends prediction requests through the running gateway: recorded ones on trial of a candidate, or a client's own.

The gateway is the only door: nothing here talks to a model service. At most `CONCURRENT` requests are under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.serving import codes
from appliance.serving.contract import Prediction, PredictRequest

CONCURRENT = 16
TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came back, in the order of the requests.

    Attributes:
        answers: one per request; None where the gateway gave no prediction.
        problems: the first few reasons of failed requests, for people.
    """

    answers: tuple[Prediction | None, ...]
    problems: tuple[str, ...]

    @property
    def failed(self) -> int:
        return sum(answer is None for answer in self.answers)


def send(port: int, model: str, requests: Sequence[PredictRequest], progress: Progress) -> Replayed:
    """Send all requests to the gateway on `port`.

    Raises:
        ApplianceError: APL-SERVE-003, nothing answers there.
    """
    progress.begin(f"requests to {model}", len(requests))
    return asyncio.run(_send(port, model, requests, progress))


async def _send(port: int, model: str, requests: Sequence[PredictRequest], progress: Progress) -> Replayed:
    answers: list[Prediction | None] = [None] * len(requests)
    problems: list[str] = []
    waiting = iter(enumerate(requests))

    async def work(session: aiohttp.ClientSession) -> None:
        for index, request in waiting:
            async with session.post(
                f"http://127.0.0.1:{port}/v1/models/{model}/predict", data=msgspec.json.encode(request)
            ) as response:
                body = await response.read()
                if response.status == 200:
                    answers[index] = msgspec.json.decode(body, type=Prediction)
                elif len(problems) < 5:
                    problems.append(f"{response.status}: {body[:300].decode('utf-8', 'replace')}")
            progress.advance(1)

    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            await asyncio.gather(*(work(session) for _ in range(CONCURRENT)))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _not_running(port, error) from error
    return Replayed(answers=tuple(answers), problems=tuple(problems))


def _not_running(port: int, error: Exception) -> ApplianceError:
    return ApplianceError(codes.NOT_RUNNING, f"{type(error).__name__}: {error}", where=f"127.0.0.1:{port}")
