"""Reads readings of lake tables into `Readings`. The only module of features that knows table columns.

Rules
1. Rows are filtered by measure, and by snapshot when one is named; nothing else is left out here.
2. A row whose event or arrival time is null cannot be placed in time and is refused by the ingest rules before;
   should one appear, it is dropped. A null value is kept as NaN.
3. The order of rows in the lake never matters (`compute.group_readings` sorts by value).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from appliance.features.compute import Plan, Readings, group_readings
from appliance.features.view import Slot


class Tables(Protocol):
    """What features need of `appliance.storage.tables.Lake`."""

    def head(self, name: str) -> Any:
        """An object with ``snapshot_id: int | None``."""

    def scan(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        snapshot_id: int | None = None,
    ) -> pa.Table: ...

    def files(self, name: str, snapshot_id: int | None = None) -> Sequence[Any]:
        """Objects with ``path: str``."""

    def commits(self, name: str) -> Sequence[Any]:
        """Objects with ``snapshot_id: int`` and ``lineage_id: str``, oldest first."""


Scan = Callable[[str, Sequence[str], str], pa.Table]  # table, columns, filter text -> rows


def load_readings(tables: Tables, plan: Plan, *, snapshots: Mapping[str, int | None] | None = None) -> Readings:
    """All readings that `plan` can ask for, of the named snapshots (table -> id) or the newest."""

    def scan(table: str, columns: Sequence[str], where: str) -> pa.Table:
        snapshot_id = None if snapshots is None else snapshots.get(table)
        return tables.scan(table, columns=columns, where=where, snapshot_id=snapshot_id)

    return read_slots(plan.slots, scan)


def read_slots(slots: Sequence[Slot], scan: Scan) -> Readings:
    """Readings of `slots`, one scan per table and column layout."""
    layouts: dict[tuple[str, ...], list[int]] = {}
    for index, slot in enumerate(slots):
        layouts.setdefault(_layout(slot), []).append(index)
    parts: list[tuple[pa.ChunkedArray, dict[str, NDArray[Any]]]] = []
    for (table, *columns), indexes in layouts.items():
        measures = [slots[index].measure for index in indexes]
        quoted = ", ".join(f"'{measure}'" for measure in measures)
        rows = scan(table, columns, f"{columns[1]} in ({quoted})")
        parts.append(_columns(rows, columns, measures, indexes, [slots[index].unit for index in indexes]))
    names = pa.chunked_array([chunk for entity, _ in parts for chunk in entity.chunks], pa.string())
    encoded = names.combine_chunks().dictionary_encode()
    entities = encoded.dictionary.to_pylist()
    order = sorted(range(len(entities)), key=entities.__getitem__)
    rank = np.empty(len(entities), np.int64)
    rank[order] = np.arange(len(entities))
    codes = rank[encoded.indices.to_numpy(zero_copy_only=False)] if len(entities) else np.zeros(0, np.int64)
    joined = {key: np.concatenate([part[key] for _, part in parts]) for key in parts[0][1]} if parts else {}
    return group_readings(
        [entities[index] for index in order],
        len(slots),
        group=codes * len(slots) + joined["slot"],
        event=joined["event"],
        known=joined["known"],
        value=joined["value"],
        foreign=joined["foreign"],
    )


def entity_index(readings: Readings, names: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """The index of each name in ``readings.entities``, -1 where it has none; shape (rows,)."""
    found = pc.index_in(names, value_set=pa.array(readings.entities, pa.string()))
    result: NDArray[np.int64] = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    return result


def micros(column: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """A timestamp column as int64 microseconds since 1970 UTC."""
    result: NDArray[np.int64] = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return result


def _layout(slot: Slot) -> tuple[str, ...]:
    return (
        slot.table,
        slot.entity,
        slot.measure_column,
        slot.event_axis,
        slot.known_axis,
        slot.value_column,
        slot.unit_column,
    )


def _columns(
    rows: pa.Table, columns: Sequence[str], measures: Sequence[str], indexes: Sequence[int], units: Sequence[str]
) -> tuple[pa.ChunkedArray, dict[str, NDArray[Any]]]:
    entity, measure, event, known, value, unit = columns
    # Other measures can be here when the rows come from a file and not from a filtered scan.
    wanted = pc.is_in(rows[measure], value_set=pa.array(measures, pa.string()))
    placed = pc.and_(pc.is_valid(rows[event]), pc.is_valid(rows[known]))
    rows = rows.filter(pc.and_(pc.and_(wanted, placed), pc.is_valid(rows[entity])))
    local = pc.index_in(rows[measure], value_set=pa.array(measures, pa.string())).to_numpy().astype(np.int64)
    declared = pa.array(units, pa.string()).take(pa.array(local))
    same_unit = pc.fill_null(pc.equal(rows[unit].combine_chunks(), declared), False)
    return rows[entity], {
        "slot": np.array(indexes, np.int64)[local],
        "event": micros(rows[event]),
        "known": micros(rows[known]),
        "value": pc.fill_null(rows[value], float("nan")).to_numpy().astype(np.float64),
        "foreign": (~same_unit.to_numpy(zero_copy_only=False)).astype(np.uint8),
    }
