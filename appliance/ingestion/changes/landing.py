"""Batches of changes into the two tables of a captured table, by the commit protocol.

Rules
1. The table of all changes first, then the table of rows as they are now. Each skips what its own position map covers;
   reading goes on from the lesser of the two, so that a crash between them is caught up with.
2. A batch is a run of records under one form of the source's table. Columns that the source has added or made wider
   are added and made wider before its rows come.
3. A batch that another process took first is refused (`StaleBatch`, `CommitLost`), and nothing of it is written twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from appliance.base.errors import ApplianceError
from appliance.ingestion.changes import codes
from appliance.ingestion.changes.columns import widened
from appliance.ingestion.changes.declaration import bronze, silver
from appliance.ingestion.changes.event import Table
from appliance.ingestion.changes.fold import OF_CHANGES, OF_ROWS, Taken, fold, keys_table, schema_of, table_of
from appliance.ingestion.positions import PROPERTY, Batch, Positions, restart_point
from appliance.storage import evolution
from appliance.storage.tables import Lake
from appliance.storage.upkeep.expiry import expire_when_due

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Changes of one source that follow each other: `taken` are those in `batch`, which may have records without any.

    Attributes:
        table: the source's table as all of them describe it.
    """

    batch: Batch
    table: Table
    taken: tuple[Taken, ...]


def runs_of(source: str, start: int, end: int, read: Sequence[tuple[Table, Taken]]) -> tuple[Run, ...]:
    """The changes between two offsets, parted where the form of the source's table changes.

    A truncate names no key, so it goes with its neighbours.
    """
    groups: list[tuple[Table, list[Taken]]] = []
    for table, taken in read:
        if groups and _agree(groups[-1][0], table):
            known, together = groups[-1]
            together.append(taken)
            groups[-1] = (known if known.key else table, together)
        else:
            groups.append((table, [taken]))
    starts = [start, *(taken[0].position for _, taken in groups[1:]), end]
    return tuple(
        Run(batch=Batch(source=source, start=starts[place], end=starts[place + 1]), table=table, taken=tuple(taken))
        for place, (table, taken) in enumerate(groups)
    )


def _agree(one: Table, other: Table) -> bool:
    return one.columns == other.columns and (one.key == other.key or not one.key or not other.key)


class ChangeLanding:
    """The tables of one captured table, `name` in the lake."""

    def __init__(self, lake: Lake, name: str) -> None:
        self._lake = lake
        self._name = name

    def restart_point(self, source: str) -> int:
        """Where reading of the source goes on."""
        tables = self._lake.tables()
        names = (bronze(self._name), silver(self._name))
        return restart_point((self._positions(name) if name in tables else Positions() for name in names), source)

    def commit(self, run: Run) -> None:
        """Take a run.

        Raises:
            StaleBatch, CommitLost: another process was here; read on from `restart_point`.
            ApplianceError: APL-CHANGE-010 the tables cannot follow the source; APL-BASE-002 the disk is full.
        """
        self._fit(bronze(self._name), run.table, OF_CHANGES, key=())
        self._fit(silver(self._name), run.table, OF_ROWS, key=run.table.key)
        self._append(run)
        self._merge(run)
        for name in (bronze(self._name), silver(self._name)):
            expire_when_due(self._lake, name)

    def _positions(self, name: str) -> Positions:
        return Positions.parse(self._lake.head(name).properties.get(PROPERTY))

    def _fit(self, name: str, table: Table, ours: Sequence[pa.Field], *, key: Sequence[str]) -> None:
        """Make the lake's table where it is missing, and let it follow the source's columns."""
        if taken := sorted({each.name for each in ours} & {each.name for each in table.columns}):
            raise ApplianceError(codes.TYPE_CHANGED, f"{name}: the names {', '.join(taken)} are ours; exclude them")
        if name not in self._lake.tables():
            self._lake.ensure(name, schema_of(table.columns, key, ours))
            return
        try:
            new, wider = widened(self._lake.schema(name), table.columns)
        except ApplianceError as error:
            raise ApplianceError(error.code, error.message, where=name) from error
        if new:
            _log.info("columns added", extra={"table": name, "columns": [each.name for each in new]})
            self._lake.ensure(name, pa.schema(new))
        if wider:
            evolution.evolve(self._lake, name, _declared(self._lake, name, wider))

    def _append(self, run: Run) -> None:
        name = bronze(self._name)
        head = self._lake.head(name)
        positions, part = _untaken(head.properties, run)
        if part is not None:
            rows = table_of(part.taken, self._lake.schema(name))
            self._lake.append(
                name, rows, expected=head, properties={PROPERTY: positions.format()}, inputs=[], facts=_facts(run)
            )

    def _merge(self, run: Run) -> None:
        name = silver(self._name)
        head = self._lake.head(name)
        positions, part = _untaken(head.properties, run)
        if part is None:
            return
        schema = self._lake.schema(name)
        folded = fold(part.taken)
        self._lake.merge(
            name,
            table_of(folded.rows, schema),
            expected=head,
            properties={PROPERTY: positions.format()},
            inputs=[],
            facts=_facts(run),
            gone=None if folded.gone is None else keys_table(folded.gone, run.table.key, schema),
        )


def _untaken(properties: Mapping[str, str], run: Run) -> tuple[Positions, Run | None]:
    """The part of a run that a table has not taken, and the table's map when it has."""
    positions = Positions.parse(properties.get(PROPERTY))
    batch = positions.untaken(run.batch)
    if batch is None:
        return positions, None
    taken = tuple(each for each in run.taken if each.position >= batch.start)
    return positions.advance(batch), replace(run, batch=batch, taken=taken)


def _declared(lake: Lake, name: str, wider: Sequence[pa.Field]) -> tuple[evolution.Column, ...]:
    """The table's columns with those in `wider` of their new type."""
    types = {
        each.name: _ICEBERG.get(each.type) or f"decimal({each.type.precision}, {each.type.scale})" for each in wider
    }
    return tuple(
        evolution.Column(id=each.id, name=each.name, type=types.get(each.name, each.type), required=each.required)
        for each in evolution.columns_of(lake, name)
    )


_ICEBERG: Mapping[pa.DataType, str] = {pa.int64(): "long", pa.float64(): "double"}


def _facts(run: Run) -> dict[str, Any]:
    return {"source": run.batch.source, "from": run.batch.start, "to": run.batch.end, "changes": len(run.taken)}
