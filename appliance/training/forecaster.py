"""The forecaster job: closed-form ridge, and the torch model that must beat it.

Protocol (that of the ETT papers): chronological parts, channels standardised by the train part, every window of the
validation and test parts, whose history may reach back into the part before. Errors are means over windows, steps and
channels in standardised units.

The ridge works on windows with their last value subtracted. Training, validation and the choice of strength need only
the Gram matrices, which are summed channel by channel; the windows are never held all at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from appliance.governance.package import Identity, Metric
from appliance.observability.accuracy import Estimate, decimal, interval_of_means
from appliance.observability.drift import numeric_reference
from appliance.training.card import forecast_card
from appliance.training.export import Runtime, forecast_graph
from appliance.training.package import Content
from appliance.training.recipe import ForecastRecipe, Ridge, TorchLinear

Floats = NDArray[np.float64]
BLOCK_STEPS = 168  # windows of one week overlap almost wholly; intervals draw whole blocks
RIDGE_STRENGTHS = (10.0, 100.0, 1000.0, 10_000.0, 100_000.0)  # of the rival, where the recipe names none
CHUNK = 256  # windows that are forecast at once


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """A standardised series, shape (steps, channels), with the scale that was taken out."""

    values: Floats
    mean: Floats
    scale: Floats


@dataclass(frozen=True, kw_only=True)
class LinearMap:
    """Weight (L, H) and bias (H,), in standardised units. `strength` is NaN for a map that was not ridge."""

    weight: Floats
    bias: Floats
    strength: float


@dataclass(frozen=True, kw_only=True)
class Errors:
    """On the test part; `channel_mse` has shape (channels,)."""

    mse: Estimate
    mae: Estimate
    channel_mse: Floats
    repeat_last_mse: float
    parity: float


def train_forecaster(
    recipe: ForecastRecipe, table: pa.Table, identity: Identity, *, gpu: bool
) -> tuple[Content, dict[str, str]]:
    """Make the package content; the second result names every gate that closed, with the reason."""
    scaled = standardise(recipe, table)
    maps = {horizon: _fit(recipe, scaled, horizon, identity.threads, gpu) for horizon in recipe.horizons}
    onnx = export_maps(recipe, scaled, maps)
    errors = measure_errors(recipe, scaled, maps, onnx)
    metrics = _metrics(recipe, maps, errors)
    rivals = _rivals(recipe, scaled, errors)
    metrics["baseline"] = {"name": recipe.gates.beat, "mse": {str(h): decimal(value) for h, value in rivals.items()}}
    closed = _gates(recipe, errors, rivals)
    metrics["gates"] = {"closed": dict(sorted(closed.items())), "passed": not closed}
    steps = np.arange(recipe.split.train, dtype=np.int64)
    reference = {
        name: numeric_reference(
            table[name].to_numpy()[: recipe.split.train], np.zeros_like(steps), steps // BLOCK_STEPS
        ).as_json()
        for name in recipe.series.channels
    }
    content = Content(
        kind="forecaster",
        model=onnx,
        metrics=metrics,
        primary_metric=Metric(
            name="mse_mean",
            value=decimal(float(np.mean([found.mse.value for found in errors.values()]))),
            direction="minimize",
            holdout=identity.data,
        ),
        card=forecast_card(recipe, identity, metrics),
        reference={"numbers": reference, "scores": {}, "codes": {}},
        interface={
            "input": "window",
            "inputs": recipe.series.channels,
            "lookback": recipe.lookback,
            "outputs": {f"h{horizon}": horizon for horizon in recipe.horizons},
            "target": recipe.series.target,
        },
    )
    return content, closed


def standardise(recipe: ForecastRecipe, table: pa.Table) -> Scaled:
    """The series of the recipe's channels, standardised by the train part."""
    raw = np.column_stack([table[name].to_numpy() for name in recipe.series.channels]).astype(np.float64)
    train = raw[: recipe.split.train]
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    return Scaled(values=(raw - mean) / scale, mean=mean, scale=scale)


def fit_ridge(recipe: ForecastRecipe, scaled: Scaled, horizon: int, strengths: tuple[float, ...]) -> LinearMap:
    """The map whose strength is best on the validation part; ties go to the first."""
    first, second = recipe.split.train, recipe.split.train + recipe.split.validation
    gram, cross, _, _ = _moments(scaled.values[:first], recipe.lookback, horizon)
    history = scaled.values[first - recipe.lookback : second]
    val_gram, val_cross, val_square, val_count = _moments(history, recipe.lookback, horizon)
    best: tuple[float, LinearMap] | None = None
    for strength in strengths:
        weight = np.asarray(np.linalg.solve(gram + strength * np.eye(recipe.lookback), cross), np.float64)
        # ||Y - XW||^2 from the moments alone.
        error = val_square - 2.0 * float((weight * val_cross).sum()) + float((weight * (val_gram @ weight)).sum())
        error /= val_count * horizon
        if best is None or error < best[0]:
            best = (error, LinearMap(weight=weight, bias=np.zeros(horizon), strength=strength))
    assert best is not None  # the recipe names at least one strength
    return best[1]


def measure_errors(
    recipe: ForecastRecipe, scaled: Scaled, maps: dict[int, LinearMap], onnx: bytes
) -> dict[int, Errors]:
    """Errors of the exported model on every test window, per horizon."""
    runtime = Runtime(onnx)
    begin = recipe.split.train + recipe.split.validation
    history = scaled.values[begin - recipe.lookback : begin + recipe.split.test]
    raw = (history * scaled.scale + scaled.mean).astype(np.float32)
    result = {}
    for horizon, fitted in maps.items():
        count = len(history) - recipe.lookback - horizon + 1
        views = np.lib.stride_tricks.sliding_window_view(history, recipe.lookback + horizon, axis=0)  # (W, C, L + H)
        raw_views = np.lib.stride_tricks.sliding_window_view(raw, recipe.lookback, axis=0)  # (W', C, L)
        squares, sizes = np.empty((count, history.shape[1])), np.empty(count)
        parity, repeat = 0.0, 0.0
        for start in range(0, count, CHUNK):
            part = views[start : start + CHUNK]
            stop = start + len(part)
            windows = np.ascontiguousarray(raw_views[start:stop].transpose(0, 2, 1))
            got = (runtime.forecast(windows, horizon) - scaled.mean) / scaled.scale
            last = part[:, :, recipe.lookback - 1 : recipe.lookback]
            moved = (part[:, :, : recipe.lookback] - last).reshape(-1, recipe.lookback)
            native = (moved @ fitted.weight + fitted.bias).reshape(*part.shape[:2], horizon) + last
            parity = max(parity, float(np.abs(native.transpose(0, 2, 1) - got).max()))
            truth = part[:, :, recipe.lookback :]
            difference = got.transpose(0, 2, 1) - truth
            squares[start:stop] = (difference**2).mean(axis=2)
            sizes[start:stop] = np.abs(difference).mean(axis=(1, 2))
            repeat += float(((last - truth) ** 2).mean(axis=(1, 2)).sum())
        blocks = np.arange(count, dtype=np.int64) // BLOCK_STEPS
        result[horizon] = Errors(
            mse=interval_of_means(squares.mean(axis=1), blocks, seed=recipe.seed),
            mae=interval_of_means(sizes, blocks, seed=recipe.seed),
            channel_mse=squares.mean(axis=0),
            repeat_last_mse=repeat / count,
            parity=parity,
        )
    return result


def _moments(values: Floats, lookback: int, horizon: int) -> tuple[Floats, Floats, float, int]:
    """X'X, X'Y, sum of squares of Y and number of windows, over all channels."""
    gram, cross = np.zeros((lookback, lookback)), np.zeros((lookback, horizon))
    square, count = 0.0, 0
    for channel in range(values.shape[1]):
        views = np.lib.stride_tricks.sliding_window_view(np.ascontiguousarray(values[:, channel]), lookback + horizon)
        moved = views - views[:, lookback - 1 : lookback]
        x, y = np.ascontiguousarray(moved[:, :lookback]), np.ascontiguousarray(moved[:, lookback:])
        gram += x.T @ x
        cross += x.T @ y
        square += float((y**2).sum())
        count += len(views)
    return gram, cross, square, count


def _fit(recipe: ForecastRecipe, scaled: Scaled, horizon: int, threads: int, gpu: bool) -> LinearMap:
    if isinstance(recipe.estimator, Ridge):
        return fit_ridge(recipe, scaled, horizon, tuple(recipe.estimator.strengths))
    from appliance.training.networks import fit_linear

    assert isinstance(recipe.estimator, TorchLinear)  # the only other kind
    weight, bias = fit_linear(
        recipe.estimator,
        scaled.values[: recipe.split.train],
        recipe.lookback,
        horizon,
        seed=recipe.seed,
        threads=threads,
        gpu=gpu,
    )
    return LinearMap(weight=weight, bias=bias, strength=float("nan"))


def export_maps(recipe: ForecastRecipe, scaled: Scaled, maps: dict[int, LinearMap]) -> bytes:
    # The scale cancels in a linear map of differences; only the bias must be put back into units.
    return forecast_graph(
        recipe.lookback,
        len(recipe.series.channels),
        {h: (fitted.weight, np.outer(fitted.bias, scaled.scale)) for h, fitted in maps.items()},
    )


def _rivals(recipe: ForecastRecipe, scaled: Scaled, errors: dict[int, Errors]) -> dict[int, float]:
    if recipe.gates.beat == "repeat_last":
        return {horizon: found.repeat_last_mse for horizon, found in errors.items()}
    maps = {horizon: fit_ridge(recipe, scaled, horizon, RIDGE_STRENGTHS) for horizon in recipe.horizons}
    rivals = measure_errors(recipe, scaled, maps, export_maps(recipe, scaled, maps))
    return {horizon: found.mse.value for horizon, found in rivals.items()}


def _metrics(recipe: ForecastRecipe, maps: dict[int, LinearMap], errors: dict[int, Errors]) -> dict[str, Any]:
    target = recipe.series.channels.index(recipe.series.target)
    return {
        "split": {"train": recipe.split.train, "validation": recipe.split.validation, "test": recipe.split.test},
        "horizons": {
            str(horizon): {
                "mse": found.mse.as_json(),
                "mae": found.mae.as_json(),
                "target": {"name": recipe.series.target, "mse": decimal(float(found.channel_mse[target]))},
                "channels": {
                    name: decimal(float(value))
                    for name, value in zip(recipe.series.channels, found.channel_mse, strict=True)
                },
                "repeat_last_mse": decimal(found.repeat_last_mse),
                "strength": decimal(maps[horizon].strength),
                "parity": f"{found.parity:.3e}",
            }
            for horizon, found in errors.items()
        },
    }


def _gates(recipe: ForecastRecipe, errors: dict[int, Errors], rivals: dict[int, float]) -> dict[str, str]:
    closed = {}
    high = [
        f"{horizon} steps: expected at most {recipe.gates.maximum_mse[str(horizon)]:.3f}, got {found.mse.value:.4f}"
        for horizon, found in errors.items()
        if not found.mse.value <= recipe.gates.maximum_mse[str(horizon)]
    ]
    beaten_by = [
        f"{horizon} steps: {recipe.gates.beat} has {rivals[horizon]:.4f}, the model {found.mse.value:.4f}"
        for horizon, found in errors.items()
        if not found.mse.value < rivals[horizon]
    ]
    parity = max(found.parity for found in errors.values())
    if high:
        closed["metric"] = "mean squared error, " + "; ".join(high)
    if beaten_by:
        closed["baseline"] = "mean squared error, " + "; ".join(beaten_by)
    if not parity <= recipe.gates.parity_tolerance:
        closed["parity"] = f"largest difference {parity:.2e}, allowed {recipe.gates.parity_tolerance:.2e}"
    return closed
