"""The feature store: one class in front of the lake (history) and the online store (now).

`get_historical` and `get_online` return the same `Vectors`, computed by the same function over the same readings and
judged by the same contracts; they agree bit for bit wherever the online store reaches (tested).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from appliance.base.clock import to_us
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.features import codes, online
from appliance.features.compute import Plan, Readings, evaluate, plan_features
from appliance.features.contract import REASONS, STATES, Judged
from appliance.features.source import Tables, entity_index, load_readings, micros, read_slots
from appliance.features.view import Feature, FeatureView, select_features
from appliance.storage.files import SiteFiles

HISTORY_US = duration_us("3d")  # beyond the longest window, so that recent predictions can be recomputed online
INSTANT = pa.timestamp("us", "UTC")
_COLUMN_TYPES = (pa.string(), pa.string(), INSTANT, INSTANT, pa.float64(), pa.string())  # as `read_slots` asks
SPINE = pa.schema([pa.field("entity", pa.string()), pa.field("at", INSTANT)])


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Feature vectors after their contracts; arrays of shape (rows, features).

    Attributes:
        age_s: of the newest reading behind the value; NaN where none was read.
        judged: values with defaults put in, states and reasons (see `contract`).
    """

    entities: tuple[str, ...]
    at_us: NDArray[np.int64]
    features: tuple[Feature, ...]
    raw: NDArray[np.float64]
    age_s: NDArray[np.float64]
    judged: Judged

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def values(self) -> NDArray[np.float64]:
        return self.judged.values

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The worst state of each row."""
        return tuple(STATES[state] for state in self.judged.outcomes)

    def table(self) -> pa.Table:
        """Columns entity, at, outcome and per feature ``name``, ``name.age_s``, ``name.state``, ``name.reason``."""
        columns: dict[str, pa.Array] = {
            "entity": pa.array(self.entities, pa.string()),
            "at": pa.array(self.at_us, pa.int64()).cast(INSTANT),
            "outcome": pa.array(self.outcomes, pa.string()),
        }
        for index, name in enumerate(self.names):
            columns[name] = pa.array(self.values[:, index], from_pandas=True)
            columns[f"{name}.age_s"] = pa.array(self.age_s[:, index], from_pandas=True)
            columns[f"{name}.state"] = pa.array([STATES[state] for state in self.judged.states[:, index]])
            columns[f"{name}.reason"] = pa.array([REASONS[reason] for reason in self.judged.reasons[:, index]])
        return pa.table(columns)


@dataclass(frozen=True, kw_only=True)
class Materialized:
    """What one `materialize` did."""

    entities: int
    files: int
    anew: bool
    through_us: int


class FeatureStore:
    """Features of the declared `views` over `lake`, with the online store in the folder `online_folder`."""

    def __init__(self, *, lake: Tables, online_folder: Path, views: Sequence[FeatureView], files: SiteFiles) -> None:
        self._lake = lake
        self._online = online.OnlineStore(online_folder)
        self._files = files
        self.views = tuple(views)
        every = tuple(feature for view in views for feature in view.features)
        self._slots = tuple(sorted({slot for feature in every for slot in feature.slots}))
        self._plan = plan_features(every, self._slots)
        self._key = online.slots_key(f"{slot.key}/{slot.unit}/{self._plan.reach_us(slot)}" for slot in self._slots)
        self._plans: dict[tuple[str, ...], Plan] = {}

    def get_historical(
        self,
        spine: pa.Table,
        names: Sequence[str],
        *,
        snapshots: Mapping[str, int | None] | None = None,
        event_time_only: bool = False,
    ) -> Vectors:
        """Features at past instants, from the lake.

        Args:
            spine: columns entity and at, without nulls; others are ignored.
            names: ``view`` or ``view.feature``.
            snapshots: table -> snapshot id; the newest where none is named.
            event_time_only: forget arrival times. Only the honesty report asks for this.

        Raises:
            ApplianceError: APL-FEATURES-006, or as `select_features`.
        """
        check_spine(spine)
        plan = plan_features(select_features(self.views, names))
        readings = load_readings(self._lake, plan, snapshots=snapshots)
        return compute_vectors(plan, readings.event_time_only() if event_time_only else readings, spine)

    def get_online(self, entities: Sequence[str], at: dt.datetime, names: Sequence[str]) -> Vectors:
        """Features of `entities` at one instant, from the online store.

        Raises:
            ApplianceError: APL-FEATURES-005 or -009, or as `select_features`.
        """
        plan = self._plan_of(tuple(names))
        at_us = to_us(at)
        online.check_reach(self._online.state("slots", "oldest_us"), self._key, at_us)
        distinct = sorted(set(entities))
        readings = self._online.read(distinct, len(self._slots))
        spine = pa.table(
            {"entity": pa.array(entities, pa.string()), "at": pa.array([at_us] * len(entities)).cast(INSTANT)}
        )
        return compute_vectors(plan, readings, spine)

    def data_lineage(self) -> str:
        """Lineage id of the newest commit that the online store has taken in; empty before there is any."""
        return self._online.state().get("data", "")

    def materialize(self) -> Materialized:
        """Bring the online store up to the newest snapshots, by the files that are new since the last time."""
        state = self._online.state()
        tables = sorted({slot.table for slot in self._slots})
        # Read before the files: a commit in between leaves an older id, never one whose files are not here.
        data = next((commit.lineage_id for table in tables for commit in reversed(self._lake.commits(table))), "")
        current = {f"{table}|{file.path}": file.path for table in tables for file in self._lake.files(table)}
        taken = set(state.get("files", "").splitlines())
        anew = state.get("slots") != self._key or not taken <= current.keys()
        fresh = sorted(current.keys() - (set() if anew else taken))
        if not fresh and not anew:
            return Materialized(entities=0, files=0, anew=False, through_us=int(state["through_us"]))
        added = load_readings(self._lake, self._plan) if anew else self._read_files(fresh)
        newest = int(added.known.max()) if len(added.known) else 0
        through_us = newest if anew else max(newest, int(state["through_us"]))
        floors = [through_us - self._plan.reach_us(slot) - HISTORY_US for slot in self._slots]
        if not anew:
            added = online.merge(self._online.read(added.entities, len(self._slots)), added, len(self._slots))
        kept = online.trim(added, len(self._slots), floors)
        self._online.write(
            kept,
            len(self._slots),
            anew=anew,
            state={
                "slots": self._key,
                "data": data,
                "files": "\n".join(sorted(current)),
                "through_us": str(through_us),
                "oldest_us": str(through_us - HISTORY_US),
            },
        )
        return Materialized(entities=len(kept.entities), files=len(fresh), anew=anew, through_us=through_us)

    def _read_files(self, names: Sequence[str]) -> Readings:
        def scan(table: str, columns: Sequence[str], _: str) -> pa.Table:
            paths = [name.partition("|")[2] for name in names if name.startswith(f"{table}|")]
            found = [pq.read_table(path, filesystem=self._files.arrow, columns=list(columns)) for path in paths]
            empty = pa.schema(zip(columns, _COLUMN_TYPES, strict=True)).empty_table()
            return pa.concat_tables(found) if found else empty

        return read_slots(self._slots, scan)

    def _plan_of(self, names: tuple[str, ...]) -> Plan:
        if names not in self._plans:
            self._plans[names] = plan_features(select_features(self.views, names), self._slots)
        return self._plans[names]


def compute_vectors(plan: Plan, readings: Readings, spine: pa.Table) -> Vectors:
    """Evaluate and judge `plan` over `spine`."""
    names = spine["entity"]
    at_us = micros(spine["at"])
    computed = evaluate(plan, readings, entity_index(readings, names), at_us)
    return Vectors(
        entities=tuple(names.to_pylist()),
        at_us=at_us,
        features=plan.features,
        raw=computed.values,
        age_s=computed.age_s,
        judged=computed.judged(plan),
    )


def check_spine(spine: pa.Table) -> None:
    """Raises ApplianceError APL-FEATURES-006."""
    for field in SPINE:
        if field.name not in spine.column_names:
            raise ApplianceError(codes.SPINE_INVALID, f"column {field.name} is missing, got {spine.column_names}")
        column = spine[field.name]
        if column.null_count:
            raise ApplianceError(codes.SPINE_INVALID, f"column {field.name} holds {column.null_count} nulls")
        matches = pa.types.is_timestamp(column.type) if field.name == "at" else column.type == field.type
        if not matches:
            raise ApplianceError(codes.SPINE_INVALID, f"column {field.name}: expected {field.type}, got {column.type}")
