"""Changes in their order, as the two tables of the lake take them. Pure.

Rules
1. The table of all changes gets every one of them, with its place in the topic.
2. The table of rows as they are now gets, for every key that a batch names, the row of the last change, or nothing
   where that was a delete; what it held under these keys before goes. A truncate takes all rows that came before it.
3. A row that a snapshot read counts like a change: Debezium puts it in order with the changes around it (its windows
   drop a read row for which a change was seen meanwhile).
4. Columns of ours begin with an underscore: `_lsn`, `_transaction`, `_changed_at`, `_arrived_at`, `_source`,
   `_position`, and of all changes `_operation`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from appliance.ingestion.changes.columns import Column
from appliance.ingestion.changes.event import Change

UTC_US = pa.timestamp("us", "UTC")
OF_ROWS = (
    pa.field("_lsn", pa.int64(), nullable=False),
    pa.field("_transaction", pa.int64(), nullable=False),
    pa.field("_changed_at", UTC_US, nullable=False),
    pa.field("_arrived_at", UTC_US, nullable=False),
    pa.field("_source", pa.string(), nullable=False),
    pa.field("_position", pa.int64(), nullable=False),
)
OF_CHANGES = (pa.field("_operation", pa.string(), nullable=False), *OF_ROWS)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A change with its place: `position` is the record's offset in `source`."""

    change: Change
    source: str
    position: int
    arrived_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What a batch does to the rows as they are now.

    Attributes:
        gone: keys whose rows go, each a tuple in the order of the key's columns; none: all rows go.
        rows: the rows that come, at most one for a key.
    """

    gone: tuple[tuple[Any, ...], ...] | None
    rows: tuple[Taken, ...]


def fold(taken: Sequence[Taken]) -> Folded:
    """By rule 2."""
    last: dict[tuple[Any, ...], Taken] = {}
    everything = False
    for each in taken:
        if each.change.operation == "truncate":
            everything, last = True, {}
        else:
            last[each.change.key] = each
    return Folded(
        gone=None if everything else tuple(last),
        rows=tuple(each for each in last.values() if each.change.operation != "delete"),
    )


def schema_of(columns: Sequence[Column], key: Sequence[str], ours: Sequence[pa.Field]) -> pa.Schema:
    """The columns of a new table; only those of the key are required, and only where rows always have one."""
    return pa.schema([*(pa.field(each.name, each.type, nullable=each.name not in key) for each in columns), *ours])


def table_of(taken: Sequence[Taken], schema: pa.Schema) -> pa.Table:
    """The rows with the columns of `schema`, null where a change does not have one."""
    rows = [{**each.change.row, **_ours(each)} for each in taken]
    return pa.Table.from_arrays(
        [pa.array([row.get(field.name) for row in rows], field.type) for field in schema], schema=schema
    )


def keys_table(gone: Sequence[tuple[Any, ...]], key: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Keys as a table of the key's columns."""
    fields = [schema.field(name) for name in key]
    return pa.Table.from_arrays(
        [pa.array([each[place] for each in gone], field.type) for place, field in enumerate(fields)],
        schema=pa.schema(fields),
    )


def _ours(taken: Taken) -> Mapping[str, Any]:
    change = taken.change
    return {
        "_operation": change.operation,
        "_lsn": change.lsn,
        "_transaction": change.transaction,
        "_changed_at": change.committed_at,
        "_arrived_at": taken.arrived_at,
        "_source": taken.source,
        "_position": taken.position,
    }
