"""How good scores are: the definitions of every metric, once, for training, monitoring and reports.

Rules
1. Every metric takes weights per row, so that a bootstrap sample is a weight vector and nothing is copied.
2. Intervals are percentile intervals of a cluster bootstrap: whole entities are drawn, because rows of one device
   are not independent. Seeded, so the same rows give the same interval.
3. A metric that is not defined (one class only) is NaN, never 0.

Shapes: N rows, B bootstrap samples. `score` is a probability in [0, 1], `label` is 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SAMPLES = 200  # bootstrap samples; the standard error of a 2.5 % percentile is then about 1 % of rank
CALIBRATION_BINS = 10
EPSILON = 1e-7  # log loss clips here: a float32 score cannot say more
METRICS = ("roc_auc", "average_precision", "brier", "log_loss", "ece", "accuracy", "precision", "recall")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric with its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, str]:
        return {"value": decimal(self.value), "low": decimal(self.low), "high": decimal(self.high)}


def decimal(value: float) -> str:
    """Six decimals; ``nan`` where the value is not defined."""
    return f"{value:.6f}" if math.isfinite(value) else "nan"


def evaluate(
    score: Floats, label: NDArray[np.int8], clusters: NDArray[np.int64], *, threshold: float, seed: int
) -> dict[str, Estimate]:
    """All `METRICS`, with intervals by drawing whole clusters.

    Args:
        clusters: index of the entity of each row, shape (N,).
    """
    if len(score) == 0:
        return dict.fromkeys(METRICS, Estimate(value=math.nan, low=math.nan, high=math.nan))
    order = np.argsort(score, kind="stable")
    ranked = _Ranked(score[order], label[order].astype(np.float64), threshold)
    count = int(clusters.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), SAMPLES)
    sampled = {name: np.empty(SAMPLES) for name in METRICS}
    for index in range(SAMPLES):
        values = ranked.metrics(drawn[index][clusters[order]].astype(np.float64))
        for name in METRICS:
            sampled[name][index] = values[name]
    point = ranked.metrics(np.ones(len(score)))
    return {name: _estimate(point[name], sampled[name]) for name in METRICS}


def reliability(score: Floats, label: NDArray[np.int8]) -> list[dict[str, Any]]:
    """Mean score against observed rate in bins of equal width: what a reliability diagram shows."""
    bins = np.minimum((score * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    rows = []
    for index in range(CALIBRATION_BINS):
        inside = bins == index
        count = int(inside.sum())
        rows.append(
            {
                "from": decimal(index / CALIBRATION_BINS),
                "to": decimal((index + 1) / CALIBRATION_BINS),
                "rows": count,
                "mean_score": decimal(float(score[inside].mean()) if count else math.nan),
                "observed_rate": decimal(float(label[inside].mean()) if count else math.nan),
            }
        )
    return rows


def roc_auc(score: Floats, label: NDArray[np.int8]) -> float:
    """Area under the ROC curve, ties counted half; NaN for one class."""
    order = np.argsort(score, kind="stable")
    return _Ranked(score[order], label[order].astype(np.float64), 0.5).metrics(np.ones(len(score)))["roc_auc"]


def interval_of_means(values: Floats, clusters: NDArray[np.int64], *, seed: int) -> Estimate:
    """Mean of `values` (N,) with its interval, whole clusters drawn."""
    count = int(clusters.max()) + 1
    sums = np.bincount(clusters, values, count)
    sizes = np.bincount(clusters, minlength=count).astype(np.float64)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), SAMPLES)
    return _estimate(float(values.mean()), (drawn * sums).sum(axis=1) / (drawn * sizes).sum(axis=1))


def best_threshold(score: Floats, label: NDArray[np.int8], *, rule: str, value: float) -> float:
    """The threshold by `rule` on validation rows: ``max_f1``, or the highest with a recall of at least `value`."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    total = int(hits[-1])
    last_of_tie = np.append(score[order][1:] != score[order][:-1], True)
    recall = hits / max(total, 1)
    if rule == "recall_at_least":
        chosen = np.flatnonzero(last_of_tie & (recall >= value))
        return float(score[order][chosen[0]]) if len(chosen) else 0.0
    precision = hits / np.arange(1, len(hits) + 1)
    f1 = np.where(last_of_tie, 2 * precision * recall / np.maximum(precision + recall, EPSILON), -1.0)
    return float(score[order][int(np.argmax(f1))])


def headline(metrics: Mapping[str, Estimate]) -> dict[str, dict[str, str]]:
    return {name: metrics[name].as_json() for name in metrics}


def _estimate(point: float, sampled: Floats) -> Estimate:
    known = sampled[np.isfinite(sampled)]
    if not math.isfinite(point) or len(known) == 0:
        return Estimate(value=point, low=math.nan, high=math.nan)
    low, high = np.quantile(known, (0.025, 0.975))
    return Estimate(value=point, low=float(low), high=float(high))


class _Ranked:
    """Rows in order of score, prepared once for many weight vectors."""

    def __init__(self, score: Floats, label: Floats, threshold: float) -> None:
        self._label = label
        self._starts = np.flatnonzero(np.append(True, score[1:] != score[:-1]))
        self._squares = (score - label) ** 2
        clipped = np.clip(score, EPSILON, 1 - EPSILON)
        self._losses = -(label * np.log(clipped) + (1 - label) * np.log1p(-clipped))
        self._positive = (score >= threshold).astype(np.float64)
        self._bins = np.minimum((score * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
        self._score = score

    def metrics(self, weights: Floats) -> dict[str, float]:
        total = float(weights.sum())
        ones = weights * self._label
        hits_total, misses_total = float(ones.sum()), total - float(ones.sum())
        # 1. Ranking, tie groups at once.
        hits = np.add.reduceat(ones, self._starts)
        misses = np.add.reduceat(weights, self._starts) - hits
        below = np.cumsum(misses) - misses
        auc = _ratio(float((hits * (below + misses / 2)).sum()), hits_total * misses_total)
        hits_above = np.cumsum(hits[::-1])
        all_above = hits_above + np.cumsum(misses[::-1])
        precision_at = np.divide(hits_above, all_above, out=np.zeros_like(hits_above), where=all_above > 0)
        average_precision = _ratio(float((precision_at * hits[::-1]).sum()), hits_total)
        # 2. Calibration.
        bin_weight = np.bincount(self._bins, weights, CALIBRATION_BINS)
        bin_gap = np.bincount(self._bins, weights * (self._score - self._label), CALIBRATION_BINS)
        # 3. At the threshold.
        flagged = weights * self._positive
        true_flags = float((flagged * self._label).sum())
        right = true_flags + misses_total - (float(flagged.sum()) - true_flags)
        return {
            "roc_auc": auc,
            "average_precision": average_precision,
            "brier": _ratio(float((weights * self._squares).sum()), total),
            "log_loss": _ratio(float((weights * self._losses).sum()), total),
            "ece": _ratio(float(np.abs(bin_gap).sum()), float(bin_weight.sum())),
            "accuracy": _ratio(right, total),
            "precision": _ratio(true_flags, float(flagged.sum())),
            "recall": _ratio(true_flags, hits_total),
        }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
