"""Judges a model on trial by what the gateway recorded: shadow copies, canary answers, live answers.

Pure: recorded answers and limits in, reasons against the candidate out. An empty list is a pass.

Checks, in this order
1. There was traffic: at least as many requests as the site asks for, and the arm answered some of them.
2. Every request that the arm should have answered was answered by it, but for the allowed share.
3. The arm abstains no more often than the live model does on the same questions, beyond the allowed share.
4. Its scores are distributed like those of the live model on the same questions, within the allowed Kolmogorov-Smirnov
   distance.

The live model answered every question of the shadow, so its answers there are what a canary is compared with: the
questions that it answers meanwhile are those of other devices, which may differ in what is known of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEAST_SCORES = 30  # below it a distance between distributions says nothing


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of the site: see `PipelineSection`."""

    requests: int
    max_error_percent: float
    max_score_shift: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One recorded answer to `question` (an entity at an instant); `score` is None for an abstention."""

    request_id: str
    question: str
    score: float | None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a trial showed. `traffic` is false when there was too little to judge by."""

    traffic: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, float]

    @property
    def passed(self) -> bool:
        return self.traffic and not self.reasons


def judge(
    *, expected: Sequence[str], arm: Sequence[Answer], reference: Sequence[Answer], sent: int, limits: Limits
) -> Judgement:
    """Judge one arm.

    Args:
        expected: ids of the requests that the arm should have answered.
        arm: what it answered.
        reference: answers of the live model, of which those to the arm's questions are compared; empty when there is
            no live model.
        sent: requests of the whole trial.
    """
    answered = {answer.request_id for answer in arm}
    missing = len(set(expected) - answered)
    figures = {"sent": float(sent), "expected": float(len(expected)), "answered": float(len(answered))}
    if sent < limits.requests or not expected or not answered:
        reason = f"{sent} requests sent, {len(answered)} of {len(expected)} answered; {limits.requests} are asked for"
        return Judgement(traffic=False, reasons=(reason,), figures=figures)
    reasons = []
    error_percent = 100.0 * missing / len(expected)
    figures["error_percent"] = error_percent
    if error_percent > limits.max_error_percent:
        reasons.append(f"{error_percent:.2f} % of requests were not answered, at most {limits.max_error_percent:g} %")
    figures["abstain_percent"] = _abstain_percent([answer.score for answer in arm])
    if figures["abstain_percent"] == 100.0:
        reasons.append("it abstained from every request")
    known = {answer.question: answer.score for answer in reference}
    pairs = [(answer.score, known[answer.question]) for answer in arm if answer.question in known]
    figures["compared"] = float(len(pairs))
    if pairs:
        mine, theirs = (list(side) for side in zip(*pairs, strict=True))
        here_percent, base_percent = _abstain_percent(mine), _abstain_percent(theirs)
        if here_percent > base_percent + limits.max_error_percent:
            reasons.append(f"it abstains in {here_percent:.2f} %, the live model in {base_percent:.2f} %")
        scores = [[score for score in side if score is not None] for side in (mine, theirs)]
        if min(map(len, scores)) >= LEAST_SCORES:
            shift = float(stats.ks_2samp(*map(np.array, scores), method="asymp").statistic)
            figures["score_shift"] = shift
            if shift > limits.max_score_shift:
                reasons.append(
                    f"scores differ from the live model's by {shift:.3f}, at most {limits.max_score_shift:g}"
                )
    return Judgement(traffic=True, reasons=tuple(reasons), figures=figures)


def _abstain_percent(scores: Sequence[float | None]) -> float:
    return 100.0 * sum(score is None for score in scores) / len(scores)
