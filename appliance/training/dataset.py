"""From a recipe to a pinned training set: spine, features, labels, parts.

Rules
1. The knowledge-time cut-off is one instant: no reading, label or category that arrived later is looked at.
2. A label is used only when it can no longer change: ``t + horizon + max_arrival_delay <= cut-off``.
3. Rows of the last `gap` before a border of the split belong to no part, so that no label reaches over it.
4. Every feature is pinned twice: as known at t, and by event time alone (``event_only.<name>``), which the honesty
   report needs. A row that breaks a contract is unusable in that reading of time and carries NaN there.

Columns: entity, at, part (train, validation, test), label, usable, event_only.usable, then features twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from appliance.base.clock import from_us, parse_rfc3339, rfc3339, to_us
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.features.compute import plan_features
from appliance.features.source import Tables, load_readings, micros
from appliance.features.store import INSTANT, Vectors, compute_vectors
from appliance.features.training_set import LineageWriter, TrainingSet, pin
from appliance.features.view import Feature, FeatureView, select_features
from appliance.observability.drift import category_reference
from appliance.training import codes
from appliance.training.recipe import ClassifierRecipe, ForecastRecipe, Recipe, recipe_digest

PARTS = ("train", "validation", "test")
EVENT_ONLY = "event_only."


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """Which state of each table was read, and the lineage documents of its commits."""

    ids: dict[str, int | None]
    inputs: tuple[str, ...]


def snapshots_of(tables: Tables, names: Sequence[str]) -> Snapshots:
    """The newest snapshots of `names`, with the lineage ids of all commits up to them."""
    ids = {name: tables.head(name).snapshot_id for name in sorted(set(names))}
    inputs = []
    for name, snapshot_id in ids.items():
        if snapshot_id is None:
            raise ApplianceError(codes.RECIPE_INVALID, f"table {name} holds no rows yet")
        for commit in tables.commits(name):
            inputs.append(commit.lineage_id)
            if commit.snapshot_id == snapshot_id:
                break
    return Snapshots(ids=ids, inputs=tuple(dict.fromkeys(id for id in inputs if id)))


def pin_dataset(
    recipe: Recipe,
    *,
    tables: Tables,
    views: Sequence[FeatureView],
    lineage: LineageWriter,
    folder: Path,
    site_folder: Path,
    snapshots: Snapshots | None = None,
    cutoff_us: int | None = None,
) -> TrainingSet:
    """Materialise and pin what `recipe` trains on.

    Args:
        snapshots: what to read; the newest when None. `reproduce` passes those of the lineage document.
        cutoff_us: knowledge-time cut-off; the newest arrival in the data when None.

    Raises:
        ApplianceError: APL-FEATURES-002, -004 or -008, APL-TRAINING-001.
    """
    names = tables_of(recipe, views)
    snapshots = snapshots or snapshots_of(tables, names)
    if isinstance(recipe, ForecastRecipe):
        rows, cutoff, extras = _series_rows(recipe, tables, snapshots, cutoff_us)
    else:
        rows, cutoff, extras = _classifier_rows(recipe, tables, views, snapshots, cutoff_us)
    return pin(
        rows,
        folder=folder,
        site_folder=site_folder,
        name=recipe.model,
        lineage=lineage,
        inputs=snapshots.inputs,
        facts={
            "model": recipe.model,
            "recipe": recipe_digest(recipe),
            "cutoff": rfc3339(from_us(cutoff)),
            "snapshots": {name: str(id) for name, id in snapshots.ids.items()},
        },
        extras=extras,
    )


def tables_of(recipe: Recipe, views: Sequence[FeatureView]) -> tuple[str, ...]:
    """The tables that `recipe` reads."""
    if isinstance(recipe, ForecastRecipe):
        return (recipe.series.table,)
    features = select_features(views, recipe.features)
    return (*sorted({slot.table for feature in features for slot in feature.slots}), recipe.label.table)


def parts_of(at_us: NDArray[np.int64], split_train: float, split_validation: float, gap_us: int) -> NDArray[np.int8]:
    """0 train, 1 validation, 2 test, -1 for the gaps; `at_us` of shape (rows,), any order."""
    low, high = int(at_us.min()), int(at_us.max())
    first = low + int((high - low) * split_train)
    second = low + int((high - low) * (split_train + split_validation))
    parts = np.full(at_us.shape, -1, np.int8)
    parts[at_us < first - gap_us] = 0
    parts[(at_us >= first) & (at_us < second - gap_us)] = 1
    parts[at_us >= second] = 2
    return parts


def labels_of(
    entity: NDArray[np.int64], at_us: NDArray[np.int64], horizon_us: int, events: Mapping[int, NDArray[np.int64]]
) -> NDArray[np.int8]:
    """1 where an event of the entity lies in (at, at + horizon]; `events` are sorted instants per entity index."""
    label = np.zeros(at_us.shape, np.int8)
    for index, instants in events.items():
        rows = np.flatnonzero(entity == index)
        following = np.searchsorted(instants, at_us[rows], side="right")
        upto = np.searchsorted(instants, at_us[rows] + horizon_us, side="right")
        label[rows] = (upto > following).astype(np.int8)
    return label


def _classifier_rows(
    recipe: ClassifierRecipe,
    tables: Tables,
    views: Sequence[FeatureView],
    snapshots: Snapshots,
    cutoff_us: int | None,
) -> tuple[pa.Table, int, dict[str, Any]]:
    features = select_features(views, recipe.features)
    _check_entity(recipe, features)
    plan = plan_features(features)
    readings = load_readings(tables, plan, snapshots=snapshots.ids)
    if len(readings.event) == 0:
        raise ApplianceError(codes.RECIPE_INVALID, f"model {recipe.model}: its tables hold no readings")
    cutoff = int(readings.known.max()) if cutoff_us is None else cutoff_us
    # 1. The spine: every entity at every step whose label is complete at the cut-off.
    horizon_us, every_us = duration_us(recipe.label.horizon), duration_us(recipe.spine.every)
    complete = cutoff - horizon_us - duration_us(recipe.label.max_arrival_delay)
    start = to_us(parse_rfc3339(recipe.spine.start)) if recipe.spine.start else int(readings.event.min())
    end = min(complete, to_us(parse_rfc3339(recipe.spine.end))) if recipe.spine.end else complete
    offset_us = duration_us(recipe.spine.offset) if recipe.spine.offset else 0
    first = -(-(start - offset_us) // every_us) * every_us + offset_us
    steps = np.arange(first, end + 1, every_us, dtype=np.int64)
    entity = np.repeat(np.arange(len(readings.entities)), len(steps))
    at_us = np.tile(steps, len(readings.entities))
    parts = (
        parts_of(at_us, recipe.split.train, recipe.split.validation, duration_us(recipe.split.gap))
        if len(at_us)
        else np.zeros(0, np.int8)
    )
    # 2. Labels that were known at the cut-off.
    label = labels_of(entity, at_us, horizon_us, _events(recipe, tables, snapshots, readings.entities, cutoff))
    spine = pa.table(
        {
            "entity": pa.array(readings.entities, pa.string()).take(pa.array(entity)),
            "at": pa.array(at_us).cast(INSTANT),
            "part": pa.array(PARTS, pa.string()).take(pa.array(parts, mask=parts < 0)),
            "label": pa.array(label),
        }
    )
    # 3. Features, as known and by event time alone; rows outside every part and rows unusable in both are left out.
    known = compute_vectors(plan, readings, spine)
    event = compute_vectors(plan, readings.event_time_only(), spine)
    usable, event_usable = _usable(known), _usable(event)
    columns: dict[str, Any] = {"usable": usable, "event_only.usable": event_usable}
    for index, name in enumerate(plan.names):
        columns[name] = known.values[:, index]
    for index, name in enumerate(plan.names):
        columns[EVENT_ONLY + name] = event.values[:, index]
    for name, values in columns.items():
        spine = spine.append_column(name, pa.array(values))
    rows = spine.filter(pa.array((parts >= 0) & (usable | event_usable)))
    watched = _categories(recipe, tables, features, snapshots, rows)
    return rows, cutoff, {"categories": watched, "features": [feature.contract.as_json() for feature in features]}


def _check_entity(recipe: ClassifierRecipe, features: Sequence[Feature]) -> None:
    for feature in features:
        for slot in feature.slots:
            if slot.entity != recipe.entity:
                raise ApplianceError(
                    codes.RECIPE_INVALID,
                    f"model {recipe.model} is about {recipe.entity}, feature {feature.name} about {slot.entity}",
                )
    names = [feature.name for feature in features]
    used = [recipe.gates.baseline_feature, *(each.feature for each in recipe.slice)]
    for name in used:
        if name not in names:
            raise ApplianceError(codes.RECIPE_INVALID, f"model {recipe.model}: {name} is not among its features")


def _usable(vectors: Vectors) -> NDArray[np.bool_]:
    usable: NDArray[np.bool_] = vectors.judged.outcomes < 2  # ok or default; the model is never asked otherwise
    return usable


def _events(
    recipe: ClassifierRecipe, tables: Tables, snapshots: Snapshots, entities: Sequence[str], cutoff: int
) -> dict[int, NDArray[np.int64]]:
    label = recipe.label
    rows = tables.scan(
        label.table,
        columns=[label.entity, label.event_axis, label.known_axis],
        where=label.where or None,
        snapshot_id=snapshots.ids[label.table],
    )
    known = micros(rows[label.known_axis]) <= cutoff
    index = pc.fill_null(pc.index_in(rows[label.entity], value_set=pa.array(entities, pa.string())), -1).to_numpy()
    event = micros(rows[label.event_axis])
    return {int(e): np.sort(event[known & (index == e)]) for e in np.unique(index[known]) if e >= 0}


def _categories(
    recipe: ClassifierRecipe, tables: Tables, features: Sequence[Feature], snapshots: Snapshots, rows: pa.Table
) -> dict[str, Any]:
    """Counts of category codes among the readings of the training period: the reference of category drift."""
    slot = features[0].slots[0]
    if not recipe.watch.categories or rows.num_rows == 0:
        return {}
    wanted = [slot.entity, slot.event_axis, *recipe.watch.categories]
    found = tables.scan(
        slot.table,
        columns=wanted,
        where=f"{slot.measure_column} == '{slot.measure}'",
        snapshot_id=snapshots.ids[slot.table],
    )
    until = pc.max(rows.filter(pc.equal(rows["part"], "train"))["at"])
    found = found.filter(pc.less_equal(found[slot.event_axis], until))
    # Numbered by name, so that the order in which the lake returns rows cannot change a digit.
    names = pc.unique(found[slot.entity]).sort()
    clusters = pc.index_in(found[slot.entity], value_set=names).to_numpy()
    return {
        name: category_reference(found[name], clusters.astype(np.int64)).as_json() for name in recipe.watch.categories
    }


def _series_rows(
    recipe: ForecastRecipe, tables: Tables, snapshots: Snapshots, cutoff_us: int | None
) -> tuple[pa.Table, int, dict[str, Any]]:
    series = recipe.series
    rows = tables.scan(
        series.table,
        columns=[series.time, series.known, *series.channels],
        where=None,
        snapshot_id=snapshots.ids[series.table],
    ).sort_by(series.time)
    cutoff = int(micros(rows[series.known]).max()) if cutoff_us is None else cutoff_us
    known = rows.filter(pa.array(micros(rows[series.known]) <= cutoff))
    needed = recipe.split.train + recipe.split.validation + recipe.split.test
    if known.num_rows < needed:
        raise ApplianceError(
            codes.RECIPE_INVALID, f"{series.table} holds {known.num_rows} known steps, the split needs {needed}"
        )
    columns = {"at": known[series.time].cast(INSTANT)}
    columns.update({name: known[name].cast(pa.float64()) for name in series.channels})
    return pa.table(columns).slice(0, needed), cutoff, {}
