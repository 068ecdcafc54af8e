"""A small synthetic fleet and stand-ins for lake and log, for the tests of features and training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appliance.base.digest import digest_json

INSTANT = pa.timestamp("us", "UTC")
START_US = 1_767_225_600_000_000  # 2026-01-01
HOUR_US = 3_600_000_000
UNITS = {"load": "pu", "ambient": "degC", "top_oil": "degC", "dga_tdcg": "ppm"}


@dataclass(frozen=True, kw_only=True)
class DataFile:
    path: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Head:
    snapshot_id: int | None


@dataclass(frozen=True, kw_only=True)
class Commit:
    snapshot_id: int
    lineage_id: str


class MemoryLake:
    """Keeps every snapshot as a list of Parquet files under `folder`, as the lake does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshots: dict[str, list[list[DataFile]]] = {}

    def append(self, name: str, rows: pa.Table) -> None:
        history = self.snapshots.setdefault(name, [[]])
        path = f"lake/{name}-{len(history)}.parquet"
        (self.folder / "lake").mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, self.folder / path)
        history.append([*history[-1], DataFile(path=path, rows=rows.num_rows)])

    def rewrite(self, name: str) -> None:
        """What compaction does: the same rows in another file."""
        rows = self.scan(name)
        history = self.snapshots[name]
        history.append([])
        self.append(name, rows)

    def head(self, name: str) -> Head:
        return Head(snapshot_id=len(self.snapshots[name]) - 1 if name in self.snapshots else None)

    def files(self, name: str, snapshot_id: int | None = None) -> Sequence[DataFile]:
        history = self.snapshots.get(name, [[]])
        return tuple(history[-1 if snapshot_id is None else snapshot_id])

    def commits(self, name: str) -> Sequence[Commit]:
        return tuple(
            Commit(snapshot_id=n, lineage_id=digest_json([name, n])) for n in range(1, len(self.snapshots[name]))
        )

    def scan(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """Of `where` only the comparison of the measure is understood; the rest filters nothing."""
        paths = [self.folder / file.path for file in self.files(name, snapshot_id)]
        rows = pa.concat_tables([pq.read_table(path) for path in paths])
        if found := re.match(r"measure == '(\w+)'", where or ""):
            rows = rows.filter(pc.equal(rows["measure"], found[1]))
        return rows.select(list(columns)) if columns else rows


class EntryList:
    """Stands in for the transparency log."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []

    def append(self, entries: Sequence[bytes]) -> None:
        self.entries += entries


@dataclass(frozen=True, kw_only=True)
class Fleet:
    readings: pa.Table
    incidents: pa.Table
    end_us: int


def make_fleet(
    *, devices: int = 40, days: int = 40, step_us: int = HOUR_US, seed: int = 1, shift_c: float = 0.0
) -> Fleet:
    """Readings with late arrivals, laboratory samples backdated to incidents, and incident labels.

    `shift_c` is added to the oil temperature of the last seven days: planted drift.
    """
    rng = np.random.default_rng(seed)
    steps = int(days * 24 * HOUR_US // step_us)
    event = START_US + np.arange(steps) * step_us
    hour = (event - START_US) / HOUR_US
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("device", "measure", "event", "known", "value")}
    incidents: list[tuple[str, int, int]] = []
    weather = 18 + 7 * np.sin(2 * np.pi * (hour - 9) / 24) + np.repeat(rng.normal(0, 3, days), steps // days)
    for number in range(devices):
        name = f"T{number:03d}"
        base = rng.uniform(0.55, 0.95)
        daily = np.repeat(np.clip(np.cumsum(rng.normal(0, 0.08, days)), -0.3, 0.4), steps // days)
        load = np.clip(base + daily + 0.18 * np.sin(2 * np.pi * (hour - 12) / 24) + rng.normal(0, 0.04, steps), 0.05, 2)
        ambient = weather + rng.normal(0, 0.7, steps)
        top_oil = ambient + 38 * load**1.6 + rng.normal(0, 1.2, steps)
        hot_spot = top_oil + 23 * load**1.6
        top_oil = top_oil + np.where(event >= event[-1] - 7 * 24 * HOUR_US, shift_c, 0.0)
        over = hot_spot > 110
        starts = np.flatnonzero(over & ~np.concatenate([[False], over[:-1]]))
        starts = [s for i, s in enumerate(starts) if i == 0 or event[s] - event[starts[i - 1]] > 12 * HOUR_US]
        for measure, values in (("load", load), ("ambient", ambient), ("top_oil", top_oil)):
            late = np.where(rng.random(steps) < 0.03, rng.integers(HOUR_US, 20 * HOUR_US, steps), 0)
            _add(columns, name, measure, event, event + 30_000_000 + late, values)
        weekly = np.arange(0, days, 7) * 24 * HOUR_US + START_US + int(rng.integers(0, 6)) * HOUR_US
        delay = rng.integers(3 * 24, 10 * 24, len(weekly)) * HOUR_US
        _add(columns, name, "dga_tdcg", weekly, weekly + delay, rng.normal(320, 25, len(weekly)))
        for start in starts:
            taken = int(event[start] - rng.integers(10, 26) * HOUR_US)
            known = int(event[start] + rng.integers(3 * 24, 9 * 24) * HOUR_US)
            _add(columns, name, "dga_tdcg", np.array([taken]), np.array([known]), np.array([rng.normal(900, 60)]))
            incidents.append((name, int(event[start]), int(event[start] + rng.integers(24, 96) * HOUR_US)))
    joined = {key: np.concatenate(parts) for key, parts in columns.items()}
    order = np.argsort(joined["known"], kind="stable")
    measures = joined["measure"][order]
    readings = pa.table(
        {
            "device_id": pa.array(joined["device"][order].astype(str)),
            "measure": pa.array(measures.astype(str)),
            "event_time": pa.array(joined["event"][order]).cast(INSTANT),
            "arrived_at": pa.array(joined["known"][order]).cast(INSTANT),
            "value": pa.array(joined["value"][order]),
            "unit": pa.array([UNITS[measure] for measure in measures]),
            "quality": pa.array(["good"] * len(order)),
            "firmware": pa.array(np.where(order % 3 == 0, "4.1", "4.2").astype(str)),
        }
    )
    end_us = int(event[-1])
    readings = readings.filter(pa.array(joined["known"][order] <= end_us))
    labels = pa.table(
        {
            "device_id": pa.array([row[0] for row in incidents], pa.string()),
            "event_time": pa.array([row[1] for row in incidents], pa.int64()).cast(INSTANT),
            "arrived_at": pa.array([row[2] for row in incidents], pa.int64()).cast(INSTANT),
            "kind": pa.array(["hot_spot"] * len(incidents), pa.string()),
        }
    )
    return Fleet(readings=readings, incidents=labels, end_us=end_us)


def _add(
    columns: dict[str, list[np.ndarray]],
    device: str,
    measure: str,
    event: np.ndarray,
    known: np.ndarray,
    value: np.ndarray,
) -> None:
    columns["device"].append(np.full(len(event), device, object))
    columns["measure"].append(np.full(len(event), measure, object))
    columns["event"].append(event)
    columns["known"].append(known)
    columns["value"].append(value)
