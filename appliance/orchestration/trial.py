"""Judges a model on trial by what the gateway recorded: shadow copies, canary answers, live answers.

Pure: recorded answers and limits in, reasons against the candidate out. An empty list is a pass.

Checks, in this order
1. There was traffic: at least as many requests as the site asks for, and the arm answered some of them.
2. Every request that the arm should have answered was answered by it, but for the allowed share.
3. The arm abstains no more often than the reference does, beyond the allowed share (when there is a reference).
4. Its scores are distributed like those of the reference, within the allowed Kolmogorov-Smirnov distance.
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
    """One recorded answer; `score` is None for an abstention."""

    request_id: str
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
        reference: answers of the live model to compare with; empty when there is none.
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
    mine = [answer.score for answer in arm if answer.score is not None]
    theirs = [answer.score for answer in reference if answer.score is not None]
    figures["abstain_percent"] = 100.0 * (len(arm) - len(mine)) / len(arm)
    if not mine:
        reasons.append("it abstained from every request")
    if reference:
        base_percent = 100.0 * (len(reference) - len(theirs)) / len(reference)
        if figures["abstain_percent"] > base_percent + limits.max_error_percent:
            reasons.append(f"it abstains in {figures['abstain_percent']:.2f} %, the live model in {base_percent:.2f} %")
    if len(mine) >= LEAST_SCORES and len(theirs) >= LEAST_SCORES:
        shift = float(stats.ks_2samp(np.array(mine), np.array(theirs), method="asymp").statistic)
        figures["score_shift"] = shift
        if shift > limits.max_score_shift:
            reasons.append(f"scores differ from the live model's by {shift:.3f}, at most {limits.max_score_shift:g}")
    return Judgement(traffic=True, reasons=tuple(reasons), figures=figures)
