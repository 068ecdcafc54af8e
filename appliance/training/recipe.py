"""Recipes: everything that decides a model, declared in ``declarations/recipes/*.toml`` and nowhere else.

Rules
1. A recipe names owner, purpose, service level and staleness limit; a model without them cannot be made.
2. `as_json` is the resolved recipe: every default written out, floats as decimal text. It goes into the package and
   into the artifact id, and `recipe_of_json` reads it back for `reproduce`.
3. Splits are chronological. A random split would let a model see its own future.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from appliance.base.clock import parse_rfc3339
from appliance.base.digest import digest_json
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.config.declarations import load_toml
from appliance.features.view import Name, decimal_strings
from appliance.training import codes

Share = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a recipe."""


class Slo(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model promises to those who call it."""

    latency_p99_ms: Annotated[float, Meta(gt=0)]
    availability_percent: Annotated[float, Meta(gt=0, le=100)]
    metric: str
    minimum: float


class Label(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 where an event of `table` falls into (t, t + horizon]. Rows whose label may still change are left out."""

    table: str
    entity: str
    event_axis: str
    known_axis: str
    horizon: str
    max_arrival_delay: str
    where: str = ""


class Spine(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The instants at which the model is trained: `every`, moved by `offset` from whole multiples since 1970 UTC.

    From `start` to `end`, or as far as the data goes. Instants should be those at which the model will be asked: where
    readings come in batches, shortly after a batch.
    """

    every: str
    offset: str = ""
    start: str = ""
    end: str = ""


class Split(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of the time range, oldest first; the rest is the test part. `gap` is left out before each border."""

    train: Share
    validation: Share
    gap: str


class Slice(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Held-out rows by ranges of a feature: below the first edge, between edges, from the last edge on."""

    feature: str
    edges: Annotated[list[float], Meta(min_length=1)]


class Threshold(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the threshold is chosen on the validation part."""

    rule: Literal["max_f1", "recall_at_least"]
    value: float = 0.0


class ClassifierGates(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run must reach to become a package. `baseline_feature` alone must rank worse than the model.

    `honesty_metric` may lose at most `honesty_margin` between event time alone and what was known. Where positives
    are rare, average precision shows a leak that ROC AUC hides.
    """

    metric: Literal["roc_auc", "average_precision"]
    minimum: float
    honesty_metric: Literal["roc_auc", "average_precision"]
    honesty_margin: Annotated[float, Meta(gt=0)]
    parity_tolerance: Annotated[float, Meta(gt=0)]
    baseline_feature: str


class GradientBoosting(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="gradient_boosting"):
    """scikit-learn's GradientBoostingClassifier."""

    trees: Count = 80
    depth: Count = 3
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 0.1
    row_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    least_leaf: Count = 50
    features_per_split: Count = 4


class Logistic(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="logistic_regression"):
    """Standardised logistic regression."""

    strength: Annotated[float, Meta(gt=0)] = 1.0


class TorchMlp(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="torch_mlp"):
    """Standardised two-layer network."""

    width: Count = 32
    epochs: Count = 6
    batch: Count = 512
    learning_rate: Annotated[float, Meta(gt=0)] = 0.003
    device: Literal["auto", "cpu"] = "auto"


class Ridge(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ridge"):
    """Closed-form linear map of the last-value-subtracted window, strength chosen by validation."""

    strengths: Annotated[list[float], Meta(min_length=1)]


class TorchLinear(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="torch_linear"):
    """The same map trained by Adam."""

    epochs: Count = 3
    batch: Count = 256
    learning_rate: Annotated[float, Meta(gt=0)] = 0.001
    device: Literal["auto", "cpu"] = "auto"


class Watch(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Category columns of the first source's table whose codes are watched for drift."""

    categories: list[str] = []


class ClassifierRecipe(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="classifier"):
    """Will it happen within the horizon: features at an instant, a probability."""

    model: Name
    owner: str
    purpose: str
    staleness_limit: str
    entity: str
    features: Annotated[list[str], Meta(min_length=1)]
    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    slo: Slo
    label: Label
    spine: Spine
    split: Split
    estimator: GradientBoosting | Logistic | TorchMlp
    threshold: Threshold
    gates: ClassifierGates
    slice: list[Slice] = []
    watch: Watch = Watch()


class Series(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table with one row per step: `time` and one column per channel."""

    table: str
    time: str
    known: str
    channels: Annotated[list[str], Meta(min_length=1)]
    target: str


class StepSplit(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps of each part, oldest first; what lies beyond is not used."""

    train: Count
    validation: Count
    test: Count


class ForecastGates(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`maximum_mse`: per horizon, of the standardised channels. `beat`: the baseline that must be worse."""

    maximum_mse: dict[str, float]
    parity_tolerance: Annotated[float, Meta(gt=0)]
    beat: Literal["repeat_last", "ridge"]


class ForecastRecipe(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="forecaster"):
    """What comes next: the last `lookback` steps of every channel, the next `horizons`."""

    model: Name
    owner: str
    purpose: str
    staleness_limit: str
    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    slo: Slo
    series: Series
    lookback: Count
    horizons: Annotated[list[Count], Meta(min_length=1)]
    split: StepSplit
    estimator: Ridge | TorchLinear
    gates: ForecastGates


Recipe: TypeAlias = ClassifierRecipe | ForecastRecipe
TORCH = (TorchMlp, TorchLinear)


def load_recipes(folder: Path) -> tuple[Recipe, ...]:
    """All recipes under `folder` (``*.toml``), in order of model name.

    Raises:
        ApplianceError: APL-CONFIG-004, APL-TRAINING-001 or APL-BASE-004, with the file.
    """
    recipes: dict[str, Recipe] = {}
    union: Any = Recipe
    for path in sorted(folder.glob("*.toml")):
        recipe: Recipe = load_toml(path, union)
        check_recipe(recipe, where=str(path))
        if recipe.model in recipes:
            raise ApplianceError(codes.RECIPE_INVALID, f"model {recipe.model} is declared twice", where=str(path))
        recipes[recipe.model] = recipe
    return tuple(recipes[name] for name in sorted(recipes))


def find_recipe(recipes: tuple[Recipe, ...], model: str) -> Recipe:
    """Raises ApplianceError APL-TRAINING-002."""
    for recipe in recipes:
        if recipe.model == model:
            return recipe
    names = ", ".join(recipe.model for recipe in recipes) or "none"
    raise ApplianceError(codes.UNKNOWN_RECIPE, f"no recipe declares {model!r}; declared: {names}")


def check_recipe(recipe: Recipe, *, where: str) -> None:
    """What the types cannot say; APL-TRAINING-001 or APL-BASE-004."""
    duration_us(recipe.staleness_limit)
    faults = []
    if isinstance(recipe, ClassifierRecipe):
        if recipe.split.train + recipe.split.validation >= 1:
            faults.append("split: train and validation leave nothing to test on")
        if duration_us(recipe.split.gap) < duration_us(recipe.label.horizon):
            faults.append(
                f"split.gap {recipe.split.gap} is shorter than label.horizon {recipe.label.horizon}: labels would leak"
            )
        if recipe.label.event_axis == recipe.label.known_axis:
            faults.append(f"label: {recipe.label.event_axis} is named as event axis and as arrival axis")
        for text in (recipe.spine.start, recipe.spine.end):
            if text and _instant(text) is None:
                faults.append(f"spine: {text!r} is not an RFC 3339 instant")
        if recipe.spine.offset and duration_us(recipe.spine.offset) >= duration_us(recipe.spine.every):
            faults.append(f"spine.offset {recipe.spine.offset} is not below spine.every {recipe.spine.every}")
        duration_us(recipe.label.max_arrival_delay)
    else:
        missing = [str(h) for h in recipe.horizons if str(h) not in recipe.gates.maximum_mse]
        if missing:
            faults.append(f"gates.maximum_mse names no limit for horizon {', '.join(missing)}")
        if recipe.series.target not in recipe.series.channels:
            faults.append(f"series.target {recipe.series.target} is not among the channels")
    if faults:
        raise ApplianceError(codes.RECIPE_INVALID, "; ".join(faults), where=where)


def as_json(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe; floats are decimal text."""
    document: dict[str, Any] = decimal_strings(msgspec.to_builtins(recipe))
    return document


def recipe_of_json(document: Mapping[str, Any]) -> Recipe:
    """Reads what `as_json` wrote."""
    union: Any = Recipe
    try:
        recipe: Recipe = msgspec.convert(document, union, strict=False)
    except msgspec.ValidationError as error:
        raise ApplianceError(codes.RECIPE_INVALID, str(error)) from error
    return recipe


def recipe_digest(recipe: Recipe) -> str:
    return digest_json(as_json(recipe))


def uses_gpu(recipe: Recipe) -> bool:
    """Whether the recipe takes a GPU when there is one."""
    return isinstance(recipe.estimator, TORCH) and recipe.estimator.device == "auto"


def _instant(text: str) -> dt.datetime | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None
