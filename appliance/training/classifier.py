"""The classifier job: fit, export, judge, and judge honestly.

Order of work
1. Fit on the train part, as known at each instant. 2. Export; every score below comes from ONNX Runtime, which is what
will serve. 3. Parity on all held-out rows. 4. Threshold on the validation part. 5. Metrics, slices, calibration and
baselines on the test part. 6. Honesty: the same recipe fitted and judged on event time alone, as a system without
arrival times would report it. 7. Gates.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from appliance.features.source import micros
from appliance.governance.package import Identity, Metric
from appliance.observability.accuracy import (
    Estimate,
    best_threshold,
    decimal,
    evaluate,
    headline,
    reliability,
    roc_auc,
)
from appliance.observability.drift import numeric_reference
from appliance.training.card import classifier_card
from appliance.training.dataset import EVENT_ONLY
from appliance.training.estimators import Fitted, Matrix, fit
from appliance.training.export import Runtime
from appliance.training.package import Content
from appliance.training.recipe import ClassifierRecipe

DAY_US = 86_400_000_000
SCORE_COLUMN = "score"
HONESTY_METRICS = ("roc_auc", "average_precision", "brier")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of one part; `x` float32 (N, F)."""

    x: Matrix
    label: NDArray[np.int8]
    entity: NDArray[np.int64]
    day: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A fitted model with its scores on held-out rows."""

    fitted: Fitted
    onnx: bytes
    threshold: float
    test_score: NDArray[np.float64]
    metrics: dict[str, Estimate]
    parity: float


def train_classifier(
    recipe: ClassifierRecipe,
    table: pa.Table,
    documents: Mapping[str, bytes],
    identity: Identity,
    *,
    gpu: bool,
) -> tuple[Content, dict[str, str]]:
    """Make the package content; the second result names every gate that closed, with the reason."""
    contracts = json.loads(documents["features.json"])
    names = [contract["name"] for contract in contracts]
    known = split_rows(table, names, "", "usable")
    thin = [name for name, rows in known.items() if len(rows) == 0 or len(np.unique(rows.label)) < 2]
    event = split_rows(table, names, EVENT_ONLY, "event_only.usable")
    thin += [f"{name} by event time" for name, rows in event.items() if len(np.unique(rows.label)) < 2]
    if thin:
        return _nothing(recipe, known, identity), {"labels": f"one class only in {', '.join(thin)}"}
    honest = _judge(recipe, known, names, identity.threads, gpu)
    inflated = _judge(recipe, event, names, identity.threads, gpu)
    judged_by = recipe.gates.honesty_metric
    gap = inflated.metrics[judged_by].value - honest.metrics[judged_by].value
    metrics = _metrics(recipe, known, names, honest, inflated, gap)
    closed = _gates(recipe, honest, inflated, gap, metrics)
    metrics["gates"] = {"closed": dict(sorted(closed.items())), "passed": not closed}
    content = Content(
        kind="classifier",
        model=honest.onnx,
        metrics=metrics,
        primary_metric=Metric(
            name=recipe.gates.metric,
            value=decimal(honest.metrics[recipe.gates.metric].value),
            direction="maximize",
            holdout=identity.data,
        ),
        card=classifier_card(recipe, identity, metrics),
        reference=_reference(known, names, honest, json.loads(documents["categories.json"])),
        interface={
            "entity": recipe.entity,
            "input": "features",
            "output": SCORE_COLUMN,
            "inputs": names,
            "contracts": contracts,
            "threshold": repr(honest.threshold),
            "horizon": recipe.label.horizon,
        },
    )
    return content, closed


def split_rows(table: pa.Table, names: list[str], prefix: str, usable: str) -> dict[str, Rows]:
    """The usable rows of each part."""
    x = np.column_stack([table[prefix + name].to_numpy() for name in names]).astype(np.float32)
    label = table["label"].to_numpy().astype(np.int8)
    entity = table["entity"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    day = micros(table["at"]) // DAY_US
    part = np.array(table["part"].to_pylist())
    keep = table[usable].to_numpy()
    result = {}
    for name in ("train", "validation", "test"):
        chosen = keep & (part == name)
        result[name] = Rows(
            x=np.ascontiguousarray(x[chosen]),
            label=label[chosen],
            entity=entity[chosen].astype(np.int64),
            day=day[chosen] - (int(day.min()) if len(day) else 0),
        )
    return result


def _judge(recipe: ClassifierRecipe, rows: dict[str, Rows], names: list[str], threads: int, gpu: bool) -> Judged:
    train, validation, test = rows["train"], rows["validation"], rows["test"]
    fitted = fit(recipe.estimator, train.x, train.label, seed=recipe.seed, threads=threads, gpu=gpu)
    onnx = fitted.onnx(names)
    runtime = Runtime(onnx)
    scores = {name: runtime.score(rows[name].x) for name in ("validation", "test")}
    parity = max(
        float(np.abs(fitted.score(rows[name].x) - scores[name]).max(initial=0.0)) for name in ("validation", "test")
    )
    threshold = best_threshold(
        scores["validation"], validation.label, rule=recipe.threshold.rule, value=recipe.threshold.value
    )
    return Judged(
        fitted=fitted,
        onnx=onnx,
        threshold=threshold,
        test_score=scores["test"],
        metrics=evaluate(scores["test"], test.label, test.entity, threshold=threshold, seed=recipe.seed),
        parity=parity,
    )


def _metrics(
    recipe: ClassifierRecipe, rows: dict[str, Rows], names: list[str], honest: Judged, inflated: Judged, gap: float
) -> dict[str, Any]:
    test = rows["test"]
    column = test.x[:, names.index(recipe.gates.baseline_feature)].astype(np.float64)
    rate = float(rows["train"].label.mean())
    rate_score = np.full(len(test), rate)
    base = evaluate(rate_score, test.label, test.entity, threshold=0.5, seed=recipe.seed)
    return {
        "rows": {name: len(part) for name, part in rows.items()},
        "positives": {name: int(part.label.sum()) for name, part in rows.items()},
        "threshold": {"value": decimal(honest.threshold), "rule": recipe.threshold.rule},
        "test": headline(honest.metrics),
        "baselines": {
            "feature": {
                "name": recipe.gates.baseline_feature,
                "roc_auc": decimal(roc_auc(column, test.label)),
            },
            "base_rate": {
                "rate": decimal(rate),
                "brier": base["brier"].as_json(),
                "log_loss": base["log_loss"].as_json(),
            },
        },
        "reliability": reliability(honest.test_score, test.label),
        "slices": _slices(recipe, test, names, honest),
        "honesty": {
            "metric": recipe.gates.honesty_metric,
            "known_at_the_time": headline({name: honest.metrics[name] for name in HONESTY_METRICS}),
            "event_time_only": headline({name: inflated.metrics[name] for name in HONESTY_METRICS}),
            "gap": decimal(gap),
            "margin": decimal(recipe.gates.honesty_margin),
        },
        "parity": {"largest": f"{honest.parity:.3e}", "tolerance": f"{recipe.gates.parity_tolerance:.3e}"},
    }


def _slices(recipe: ClassifierRecipe, test: Rows, names: list[str], honest: Judged) -> list[dict[str, Any]]:
    found = []
    for declared in recipe.slice:
        values = test.x[:, names.index(declared.feature)]
        edges = [-np.inf, *declared.edges, np.inf]
        for low, high in itertools.pairwise(edges):
            inside = (values >= low) & (values < high)
            part = evaluate(
                honest.test_score[inside],
                test.label[inside],
                test.entity[inside],
                threshold=honest.threshold,
                seed=recipe.seed,
            )
            found.append(
                {
                    "feature": declared.feature,
                    "from": repr(float(low)),
                    "to": repr(float(high)),
                    "rows": int(inside.sum()),
                    "positives": int(test.label[inside].sum()),
                    "metrics": headline({name: part[name] for name in ("roc_auc", "brier", "ece", "accuracy")}),
                }
            )
    return found


def _gates(
    recipe: ClassifierRecipe, honest: Judged, inflated: Judged, gap: float, metrics: dict[str, Any]
) -> dict[str, str]:
    gates = recipe.gates
    reached = honest.metrics[gates.metric].value
    rival = float(metrics["baselines"]["feature"]["roc_auc"])
    rival = max(rival, 1 - rival)
    closed = {}
    if not gap <= gates.honesty_margin:
        name = gates.honesty_metric
        closed["honesty"] = (
            f"{name} is {inflated.metrics[name].value:.3f} on event time alone and {honest.metrics[name].value:.3f} "
            f"with what was known: the gap {gap:.3f} is above the margin {gates.honesty_margin:.3f}"
        )
    if not reached >= gates.minimum:
        closed["metric"] = f"{gates.metric}: expected at least {gates.minimum:.3f}, got {reached:.3f}"
    if not honest.metrics["roc_auc"].value > rival:
        closed["baseline"] = (
            f"roc_auc: {gates.baseline_feature} alone reaches {rival:.3f}, "
            f"the model {honest.metrics['roc_auc'].value:.3f}"
        )
    if not honest.parity <= gates.parity_tolerance:
        closed["parity"] = f"largest difference {honest.parity:.2e}, allowed {gates.parity_tolerance:.2e}"
    return closed


def _reference(rows: dict[str, Rows], names: list[str], honest: Judged, categories: dict[str, Any]) -> dict[str, Any]:
    train, test = rows["train"], rows["test"]
    numbers = {
        name: numeric_reference(train.x[:, index].astype(np.float64), train.entity, train.day).as_json()
        for index, name in enumerate(names)
    }
    scores = numeric_reference(honest.test_score, test.entity, test.day).as_json()
    return {"numbers": numbers, "scores": {SCORE_COLUMN: scores}, "codes": categories}


def _nothing(recipe: ClassifierRecipe, rows: dict[str, Rows], identity: Identity) -> Content:
    counts = {name: len(part) for name, part in rows.items()}
    positives = {name: int(part.label.sum()) for name, part in rows.items()}
    return Content(
        kind="classifier",
        model=b"",
        metrics={"rows": counts, "positives": positives},
        primary_metric=Metric(name=recipe.gates.metric, value="0", direction="maximize", holdout=identity.data),
        card=f"# {recipe.model}\n\nNot trained: too few labels.\n",
        reference={},
        interface={},
    )
