"""Answers one request by the right arm: live, canary, shadow copy, or the fallback.

Order of decisions
1. A canary answers for its share of entities, if its breaker admits; a failed canary falls back to live.
2. Live answers for the rest, if its breaker admits.
3. Otherwise the fallback abstains: an answer without a score, which says why.
4. A shadow gets a copy after the answer is made, through a bounded queue; what does not fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from appliance.base.clock import Clock
from appliance.serving.breaker import Breaker
from appliance.serving.contract import Prediction, PredictRequest, Scored
from appliance.serving.metering import GatewayMeter
from appliance.serving.routes import Route, Target
from appliance.serving.split import takes_canary
from appliance.serving.upstream import QuestionRefused, Upstream, UpstreamError

SHADOW_WORKERS = 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A valid request with all its ids filled in."""

    request: PredictRequest
    model: str
    at: dt.datetime
    request_id: str
    trace_id: str


class Arms:
    """Holds the breakers and the shadow queue; one per gateway process."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        meter: GatewayMeter,
        clock: Clock,
        record: Callable[[Prediction], None],
        shadow_queue: int,
        breaker_failures: int,
        breaker_open_for_s: float,
    ) -> None:
        self._upstream, self._meter, self._clock, self._record = upstream, meter, clock, record
        self._breaker_limits = (breaker_failures, breaker_open_for_s)
        self._breakers: dict[str, Breaker] = {}
        self._shadow: asyncio.Queue[tuple[Question, Target]] = asyncio.Queue(shadow_queue)
        self._workers: list[asyncio.Task[None]] = []
        self._under_way = 0

    async def start(self) -> None:
        await self._upstream.start()
        self._workers = [asyncio.create_task(self._mirror()) for _ in range(SHADOW_WORKERS)]

    async def close(self) -> None:
        """Finish the shadow's queue for at most two seconds, then stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._shadow.join(), 2.0)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._upstream.close()

    @property
    def under_way(self) -> int:
        """Requests that are not answered yet, and copies that the shadow has not answered yet."""
        return self._under_way

    async def answer(self, question: Question, route: Route) -> Prediction:
        """Never raises for a failing model; OSError when the prediction cannot be written down."""
        self._under_way += 1
        try:
            return await self._answer(question, route)
        finally:
            self._under_way -= 1

    async def _answer(self, question: Question, route: Route) -> Prediction:
        candidate = route.candidate
        prediction = None
        if (
            candidate is not None
            and candidate.mode == "canary"
            and takes_canary(question.request.entity, candidate.target.artifact_id, candidate.percent)
        ):
            prediction = await self._try(question, candidate.target, "canary")
        if prediction is None and route.live is not None:
            prediction = await self._try(question, route.live, "live")
        if prediction is None:
            reason = "no live model" if route.live is None else "the live model does not answer"
            nothing = Scored(artifact_id="", score=None, outcome="abstain", reason=reason)
            prediction = self._make(question, nothing, version=0, arm="fallback", started_s=time.monotonic())
            self._meter.answered(question.model, "fallback", "abstain", 0.0)
        self._record(prediction)
        if candidate is not None and candidate.mode == "shadow":
            try:
                self._shadow.put_nowait((question, candidate.target))
                self._under_way += 1
            except asyncio.QueueFull:
                self._meter.shadow_dropped(question.model)
        return prediction

    async def _try(self, question: Question, target: Target, arm: str) -> Prediction | None:
        """The arm's prediction, or None when its breaker is open or it fails."""
        failures, open_for_s = self._breaker_limits
        breaker = self._breakers.setdefault(
            f"{arm} {target.artifact_id}", Breaker(failures=failures, open_for_s=open_for_s)
        )
        if not breaker.admits(time.monotonic()):
            return None
        started_s = time.monotonic()
        try:
            scored = await self._upstream.score(target, question.request, question.trace_id)
        except QuestionRefused as error:
            # No model can answer it: an abstention of this arm, and no reason to doubt the arm.
            scored = Scored(artifact_id=target.artifact_id, score=None, outcome="abstain", reason=str(error))
        except UpstreamError as error:
            breaker.failed(time.monotonic())
            _log.warning(
                "no answer", extra={"model": question.model, "arm": arm, "reason": str(error), "port": target.port}
            )
            self._meter.failed(question.model, arm)
            return None
        breaker.succeeded()
        prediction = self._make(question, scored, version=target.version, arm=arm, started_s=started_s)
        self._meter.answered(question.model, arm, scored.outcome, prediction.latency_ms)
        return prediction

    def _make(self, question: Question, scored: Scored, *, version: int, arm: str, started_s: float) -> Prediction:
        return Prediction(
            prediction_id=f"pr-{secrets.token_hex(16)}",
            request_id=question.request_id,
            trace_id=question.trace_id,
            entity=question.request.entity,
            at=question.at,
            served_at=self._clock.now(),
            model=question.model,
            version=version,
            artifact_id=scored.artifact_id,
            arm=arm,
            score=scored.score,
            outcome=scored.outcome,
            reason=scored.reason,
            data=scored.data,
            features=scored.features,
            latency_ms=round((time.monotonic() - started_s) * 1000, 3),
        )

    async def _mirror(self) -> None:
        while True:
            question, target = await self._shadow.get()
            try:
                prediction = await self._try(question, target, "shadow")
                if prediction is not None:
                    self._record(prediction)
            except OSError:
                self._meter.failed(question.model, "shadow")  # the disk is full; the live arm reports it to its client
            finally:
                self._under_way -= 1
                self._shadow.task_done()
