"""What a package's metrics say, as rows for tables. Pure.

Classifiers and forecasters have different figures; a package may lack any of them, and then the row is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.governance.package import PackageManifest
from appliance.portal import wording

TITLES = {
    "accuracy": "Accuracy",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
    "log_loss": "Log loss",
    "precision": "Precision",
    "recall": "Recall",
    "roc_auc": "ROC AUC",
    "mse": "MSE",
    "mae": "MAE",
    "mse_mean": "Mean MSE",
    "maximum_mse": "Greatest MSE at steps ahead",
}
LESS_IS_BETTER = ("brier", "ece", "log_loss", "mse", "mae")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A metric with its 95 % interval; decimal text, empty where there is none."""

    name: str
    value: str
    low: str
    high: str
    better: str


@dataclass(frozen=True, kw_only=True)
class Honesty:
    """What the same recipe reports when it may see readings that had not arrived yet."""

    metric: str
    gap: str
    margin: str
    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Gate:
    name: str
    limit: str


@dataclass(frozen=True, kw_only=True)
class Slice:
    name: str
    rows: int
    positives: int
    roc_auc: str
    brier: str
    accuracy: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Everything of one package; empty tuples and None where a kind of model has no such figures."""

    parts: tuple[tuple[str, int, int], ...]
    test: tuple[Row, ...]
    test_title: str
    honesty: Honesty | None
    gates: tuple[Gate, ...]
    closed: Mapping[str, str]
    passed: bool | None
    slices: tuple[Slice, ...]
    calibration: tuple[Mapping[str, Any], ...]
    threshold: Mapping[str, str]
    baselines: tuple[tuple[str, str], ...]


def figures_of(metrics: Mapping[str, Any], manifest: PackageManifest) -> Figures:
    gates = metrics.get("gates", {})
    positives = metrics.get("positives", {})
    recipe_gates = manifest.identity.recipe.get("gates", {})
    return Figures(
        parts=tuple(
            (part, int(metrics["rows"][part]), int(positives.get(part, 0)))
            for part in ("train", "validation", "test")
            if part in metrics.get("rows", {})
        ),
        test=tuple(_test(metrics)),
        test_title="Test metrics" if "test" in metrics else "Test errors by horizon",
        honesty=_honesty(metrics.get("honesty")),
        gates=tuple(_gates(recipe_gates)),
        closed=gates.get("closed", {}),
        passed=gates.get("passed"),
        slices=tuple(_slice(found) for found in metrics.get("slices", ())),
        calibration=tuple(metrics.get("reliability", ())),
        threshold=metrics.get("threshold", {}),
        baselines=tuple(_baselines(metrics)),
    )


def title(name: str) -> str:
    words = [TITLES.get(word, word) for word in name.split("_")]
    return TITLES.get(name) or wording.sentence(" ".join(words))


def _gates(declared: Mapping[str, Any]) -> Iterator[Gate]:
    for name, limit in sorted(declared.items()):
        if isinstance(limit, Mapping):
            for key in sorted(limit, key=lambda each: (len(each), each)):
                yield Gate(name=f"{title(name)} {key}", limit=str(limit[key]))
        else:
            yield Gate(name=title(name), limit=str(limit))


def _test(metrics: Mapping[str, Any]) -> Iterator[Row]:
    for name, found in sorted(metrics.get("test", {}).items()):
        yield _row(name, title(name), found)
    horizons = metrics.get("horizons", {})
    for steps in sorted(horizons, key=int):
        for name in ("mse", "mae"):
            if name in horizons[steps]:
                yield _row(name, f"{title(name)}, {steps} steps ahead", horizons[steps][name])


def _row(name: str, shown: str, found: Mapping[str, str]) -> Row:
    better = "less is better" if name in LESS_IS_BETTER else "more is better"
    return Row(name=shown, value=found["value"], low=found.get("low", ""), high=found.get("high", ""), better=better)


def _honesty(found: Mapping[str, Any] | None) -> Honesty | None:
    if not found:
        return None
    known, naive = found["known_at_the_time"], found["event_time_only"]
    return Honesty(
        metric=title(found["metric"]),
        gap=found["gap"],
        margin=found["margin"],
        rows=tuple((title(name), known[name]["value"], naive[name]["value"]) for name in sorted(known)),
    )


def _slice(found: Mapping[str, Any]) -> Slice:
    metrics = found["metrics"]
    return Slice(
        name=f"{found['feature']} {_between(found['from'], found['to'])}",
        rows=int(found["rows"]),
        positives=int(found["positives"]),
        roc_auc=metrics["roc_auc"]["value"],
        brier=metrics["brier"]["value"],
        accuracy=metrics["accuracy"]["value"],
    )


def _between(low: str, high: str) -> str:
    if low == "-inf":
        return f"below {high}"
    return f"{low} and above" if high == "inf" else f"{low} to {high}"


def _baselines(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = metrics.get("baselines", {})
    if feature := found.get("feature"):
        yield f"{feature['name']} alone, ROC AUC", feature["roc_auc"]
    if rate := found.get("base_rate"):
        yield "The constant rate, Brier score", rate["brier"]["value"]
        yield "The constant rate, log loss", rate["log_loss"]["value"]
    if baseline := metrics.get("baseline"):
        for steps in sorted(baseline["mse"], key=int):
            yield f"{baseline['name']}, MSE {steps} steps ahead", baseline["mse"][steps]
