"""Point-in-time join on two times: the newest row that had happened *and* was known.

Rules
1. A row is visible at t when ``event <= t`` and ``known <= t``, that is from ``max(event, known)`` on.
2. Among visible rows of an entity the one with the greatest event time wins; among equals the one known last, then
   the one later in the table (a correction).
3. A row older than `ttl_us` at t gives no value: nulls, never a stale one.
4. One pass over rows in order of visibility; the state is one row number per entity. No row is copied that is not
   an answer, so memory grows with entities and spine, not with history.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from appliance.base.errors import ApplianceError
from appliance.features import codes
from appliance.features.view import Axes

DENSE_FACTOR = 4  # integer keys are used as they are while their range is below so many times the rows


def asof_join(
    spine: pa.Table, table: pa.Table, *, by: str, at: str = "at", ttl_us: int | None = None, axes: Axes
) -> pa.Table:
    """`spine` plus the columns of `table` (without `by`) as they were known at ``spine[at]``.

    Raises:
        ApplianceError: APL-FEATURES-006, a column is missing or holds nulls.
    """
    _check(spine, "spine", (by, at))
    _check(table, "table", (by, axes.event, axes.known))
    found = asof_rows(spine, table, by=by, at=at, ttl_us=ttl_us, axes=axes)
    rows = pa.array(found, mask=found < 0)
    result = spine
    for name in table.column_names:
        if name != by:
            result = result.append_column(name, table[name].take(rows))
    return result


def asof_rows(
    spine: pa.Table, table: pa.Table, *, by: str, at: str, ttl_us: int | None, axes: Axes
) -> NDArray[np.int64]:
    """For each row of `spine` the row number of its answer in `table`, -1 for none."""
    keys, wanted, size = _shared_keys(table[by], spine[by])
    event, known, instants = (_int64(column) for column in (table[axes.event], table[axes.known], spine[at]))
    result: NDArray[np.int64] = _scan(
        keys,
        event,
        known,
        _order(np.maximum(event, known)),
        wanted,
        instants,
        _order(instants),
        size,
        np.iinfo(np.int64).max if ttl_us is None else ttl_us,
    )
    return result


def _check(table: pa.Table, what: str, columns: tuple[str, ...]) -> None:
    for name in columns:
        if name not in table.column_names:
            raise ApplianceError(codes.SPINE_INVALID, f"{what}: column {name} is missing, got {table.column_names}")
        if table[name].null_count:
            raise ApplianceError(codes.SPINE_INVALID, f"{what}: column {name} holds {table[name].null_count} nulls")


def _int64(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if pa.types.is_timestamp(column.type) and column.type.unit != "us":
        column = column.cast(pa.timestamp("us", column.type.tz))
    view = column.cast(pa.int64())
    result: NDArray[np.int64] = view.to_numpy()
    return result


def _shared_keys(table: pa.ChunkedArray, spine: pa.ChunkedArray) -> tuple[NDArray[Any], NDArray[Any], int]:
    if pa.types.is_integer(table.type) and pa.types.is_integer(spine.type) and len(table) and len(spine):
        bounds = [pc.min_max(column) for column in (table, spine)]
        low = min(bound["min"].as_py() for bound in bounds)
        span = max(bound["max"].as_py() for bound in bounds) - low + 1
        if span <= DENSE_FACTOR * (len(table) + len(spine)):
            first, second = table.to_numpy(), spine.to_numpy()
            return (first - low if low else first), (second - low if low else second), int(span)
    values = pc.unique(table)
    index = pc.index_in(table, value_set=values).to_numpy()
    wanted = pc.fill_null(pc.index_in(spine, value_set=values), -1).to_numpy()
    return index, wanted, len(values)


def _order(instants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row numbers in order of `instants`, stable; empty when they are in order already."""
    if bool(np.all(instants[1:] >= instants[:-1])):
        return np.zeros(0, np.int64)
    return np.argsort(instants, kind="stable")


@numba.njit(cache=True)
def _scan(keys, event, known, order, wanted, instants, spine_order, size, ttl):  # type: ignore[no-untyped-def]
    held = np.full(size, -1, np.int64)
    result = np.full(wanted.size, -1, np.int64)
    next_row = 0
    for position in range(wanted.size):
        s = spine_order[position] if spine_order.size else position
        t = instants[s]
        while next_row < keys.size:
            row = order[next_row] if order.size else next_row
            if max(event[row], known[row]) > t:
                break
            old = held[keys[row]]
            if old < 0 or event[row] > event[old]:
                held[keys[row]] = row
            elif event[row] == event[old]:
                later = known[row] > known[old] or (known[row] == known[old] and row > old)
                held[keys[row]] = row if later else old
            next_row += 1
        key = wanted[s]
        if key >= 0:
            row = held[key]
            if row >= 0 and t - event[row] <= ttl:
                result[s] = row
    return result
