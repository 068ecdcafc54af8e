"""How good a live model was, judged once the labels are in.

Rules
1. A prediction counts only when its label can no longer change: ``at + horizon + max_arrival_delay <= now``. A label
   that is not in yet is not a negative.
2. A row counts once per entity and instant, however often it was asked.
3. "Not enough labels" is a state of its own. It is neither good nor an alarm, and no metric is shown.
4. An alarm compares with what the model promised when it was packaged, and needs the whole 95 % interval beyond the
   margin: confidence of the model itself is never evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from appliance.observability.accuracy import Estimate, evaluate, reliability

INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """How a prediction gets its label; columns are those of the label table. Times in microseconds."""

    entity: str
    event_axis: str
    known_axis: str
    horizon_us: int
    max_arrival_delay_us: int


@dataclass(frozen=True, kw_only=True)
class CalibrationLimits:
    """From which a live model is an alarm. Drops are absolute, against the packaged test metrics."""

    least_rows: int = 200
    least_positives: int = 10
    accuracy_drop: float = 0.05
    roc_auc_drop: float = 0.10
    ece: float = 0.10


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """`state` is ``ok``, ``alarm`` or ``not enough labels``; `reasons` say which limits were passed."""

    state: str
    rows: int
    positives: int
    waiting: int
    metrics: dict[str, Estimate]
    reliability: list[dict[str, Any]]
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Predictions whose labels are complete; `waiting` are those whose labels are not."""

    score: NDArray[np.float64]
    label: NDArray[np.int8]
    entity: NDArray[np.int64]
    waiting: int


def join_labels(predictions: pa.Table, labels: pa.Table, rule: LabelRule, *, now_us: int) -> Labelled:
    """Give each answered prediction (columns entity, at, score) its label as known at `now_us`."""
    answered = predictions.filter(pc.is_finite(pc.fill_null(predictions["score"], float("nan"))))
    entity_names = answered["entity"].combine_chunks()
    at = _micros(answered["at"])
    encoded = entity_names.dictionary_encode() if len(entity_names) else pa.array([], pa.string()).dictionary_encode()
    entity = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    # The last answer for an entity and instant is the one that counted.
    order = np.lexsort((np.arange(len(at)), at, entity))
    last = np.append((np.diff(entity[order]) != 0) | (np.diff(at[order]) != 0), True)[: len(order)]
    chosen = order[last]
    complete = at[chosen] + rule.horizon_us + rule.max_arrival_delay_us <= now_us
    waiting = int((~complete).sum())
    chosen = chosen[complete]
    known = labels.filter(
        pc.less_equal(labels[rule.known_axis].cast(INSTANT), pa.scalar(now_us, pa.int64()).cast(INSTANT))
    )
    index = pc.fill_null(pc.index_in(known[rule.entity], value_set=encoded.dictionary), -1).to_numpy()
    event = _micros(known[rule.event_axis])
    label = np.zeros(len(chosen), np.int8)
    for code in np.unique(index[index >= 0]):
        instants = np.sort(event[index == code])
        rows = np.flatnonzero(entity[chosen] == code)
        moments = at[chosen][rows]
        label[rows] = np.searchsorted(instants, moments + rule.horizon_us, "right") > np.searchsorted(
            instants, moments, "right"
        )
    score = answered["score"].to_numpy().astype(np.float64)[chosen]
    return Labelled(score=score, label=label, entity=entity[chosen], waiting=waiting)


def judge_live(
    labelled: Labelled,
    *,
    promised: Mapping[str, float],
    threshold: float,
    seed: int,
    limits: CalibrationLimits | None = None,
) -> CalibrationReport:
    """Compare with the test metrics of the package (`promised`: accuracy, roc_auc)."""
    limits = limits or CalibrationLimits()
    rows, positives = len(labelled.label), int(labelled.label.sum())
    if rows < limits.least_rows or positives < limits.least_positives or positives == rows:
        return CalibrationReport(
            state="not enough labels",
            rows=rows,
            positives=positives,
            waiting=labelled.waiting,
            metrics={},
            reliability=[],
            reasons=(
                f"{rows} rows with {positives} positives; needed are {limits.least_rows} and {limits.least_positives}",
            ),
        )
    metrics = evaluate(labelled.score, labelled.label, labelled.entity, threshold=threshold, seed=seed)
    reasons = []
    for name, drop in (("accuracy", limits.accuracy_drop), ("roc_auc", limits.roc_auc_drop)):
        if name in promised and metrics[name].high < promised[name] - drop:
            reasons.append(f"{name}: promised {promised[name]:.3f}, got {metrics[name].value:.3f}")
    if metrics["ece"].low > limits.ece:
        reasons.append(f"calibration error {metrics['ece'].value:.3f}, limit {limits.ece:.3f}")
    return CalibrationReport(
        state="alarm" if reasons else "ok",
        rows=rows,
        positives=positives,
        waiting=labelled.waiting,
        metrics=metrics,
        reliability=reliability(labelled.score, labelled.label),
        reasons=tuple(reasons),
    )


def _micros(column: pa.ChunkedArray) -> NDArray[np.int64]:
    result: NDArray[np.int64] = column.cast(INSTANT).cast(pa.int64()).to_numpy()
    return result
