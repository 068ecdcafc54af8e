"""Model cards: what a reader must know before trusting a model, from the metrics alone. Pure text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.governance.package import Identity
from appliance.training.recipe import ClassifierRecipe, ForecastRecipe, Recipe


def classifier_card(recipe: ClassifierRecipe, identity: Identity, metrics: Mapping[str, Any]) -> str:
    """Markdown; every figure stands in ``metrics.json`` too."""
    honesty, base = metrics["honesty"], metrics["baselines"]
    lines = [
        *_head(recipe, identity),
        "## Data",
        "",
        f"Entity `{recipe.entity}`. Label: an event of `{recipe.label.table}` within {recipe.label.horizon}.",
        "The split is chronological; the newest rows are the test part.",
        "",
        "| part | rows | positive |",
        "| --- | --- | --- |",
        *(f"| {part} | {metrics['rows'][part]} | {metrics['positives'][part]} |" for part in metrics["rows"]),
        "",
        "## Test metrics (95 % intervals, whole devices drawn)",
        "",
        "| metric | value | interval |",
        "| --- | --- | --- |",
        *(f"| {name} | {found['value']} | {_interval(found)} |" for name, found in metrics["test"].items()),
        "",
        f"Threshold {metrics['threshold']['value']}, by {metrics['threshold']['rule']} on the validation part.",
        "",
        "## Honesty",
        "",
        "The same recipe, fitted and judged on event time alone, is what a system without arrival times would report.",
        "",
        "| metric | known at the time | event time alone |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {found['value']} | {honesty['event_time_only'][name]['value']} |"
            for name, found in honesty["known_at_the_time"].items()
        ),
        "",
        f"Gap in {honesty['metric']}: {honesty['gap']}, allowed {honesty['margin']}.",
        "",
        "## Baselines",
        "",
        f"`{base['feature']['name']}` alone: ROC AUC {base['feature']['roc_auc']}.",
        f"Constant rate {base['base_rate']['rate']}: Brier {base['base_rate']['brier']['value']}, "
        f"log loss {base['base_rate']['log_loss']['value']}.",
        "",
        "## Slices of the test part",
        "",
        "| slice | rows | positive | ROC AUC | Brier | accuracy |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_slice(found) for found in metrics["slices"]),
        "",
        "## Calibration",
        "",
        "| score | rows | mean score | observed rate |",
        "| --- | --- | --- | --- |",
        *(
            f"| {row['from']} to {row['to']} | {row['rows']} | {row['mean_score']} | {row['observed_rate']} |"
            for row in metrics["reliability"]
        ),
        "",
        *_tail(metrics, f"largest difference {metrics['parity']['largest']}"),
    ]
    return "\n".join(lines)


def forecast_card(recipe: ForecastRecipe, identity: Identity, metrics: Mapping[str, Any]) -> str:
    """Markdown; every figure stands in ``metrics.json`` too."""
    horizons = metrics["horizons"]
    split = metrics["split"]
    lines = [
        *_head(recipe, identity),
        "## Data",
        "",
        f"Series `{recipe.series.table}`, {len(recipe.series.channels)} channels, look-back {recipe.lookback} steps.",
        f"Chronological split {split['train']}/{split['validation']}/{split['test']} steps, standardised by the "
        "first part.",
        "",
        "## Test errors (standardised; 95 % intervals, whole weeks drawn)",
        "",
        f"| steps | MSE | interval | MAE | {recipe.series.target} MSE | repeat last | {recipe.gates.beat} |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {steps} | {found['mse']['value']} | {_interval(found['mse'])} | {found['mae']['value']} "
            f"| {found['target']['mse']} | {found['repeat_last_mse']} | {metrics['baseline']['mse'][steps]} |"
            for steps, found in horizons.items()
        ),
        "",
        *_tail(metrics, "largest difference " + max(found["parity"] for found in horizons.values())),
    ]
    return "\n".join(lines)


def _head(recipe: Recipe, identity: Identity) -> list[str]:
    return [
        f"# Model card: {recipe.model}",
        "",
        recipe.purpose,
        "",
        f"- Owner: {recipe.owner}",
        f"- Artifact: `{identity.artifact_id}`",
        f"- Training set: `{identity.data}`",
        f"- Environment lock: `{identity.environment}`",
        f"- Hardware class: {identity.hardware}, {identity.threads} threads, seed {identity.seed}",
        f"- Retrain when older than: {recipe.staleness_limit}",
        f"- Service level: p99 within {recipe.slo.latency_p99_ms:g} ms, {recipe.slo.availability_percent:g} % "
        f"available, {recipe.slo.metric} at least {recipe.slo.minimum:g}",
        "",
    ]


def _tail(metrics: Mapping[str, Any], parity: str) -> list[str]:
    gates = metrics["gates"]
    verdict = (
        ["All gates passed."] if gates["passed"] else [f"- {name}: {why}" for name, why in gates["closed"].items()]
    )
    return [
        "## Export",
        "",
        f"ONNX against the training library on every held-out row: {parity}.",
        "",
        "## Gates",
        "",
        *verdict,
        "",
    ]


def _interval(found: Mapping[str, str]) -> str:
    return f"{found['low']} to {found['high']}"


def _slice(found: Mapping[str, Any]) -> str:
    metrics = found["metrics"]
    return (
        f"| {found['feature']} from {found['from']} to {found['to']} | {found['rows']} | {found['positives']} "
        f"| {metrics['roc_auc']['value']} | {metrics['brier']['value']} | {metrics['accuracy']['value']} |"
    )
