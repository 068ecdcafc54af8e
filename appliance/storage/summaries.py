"""What a table's metadata says about it, without opening a manifest or a data file.

Every number here was written by the commit that it describes (Iceberg snapshot summary), so these reads cost the same
at ten rows and at ten billion. Verification does not rest on them: it recomputes from the files.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pyiceberg.table.snapshots import Snapshot

from appliance.base.clock import from_us
from appliance.storage.tables import LINEAGE, Lake


@dataclass(frozen=True, kw_only=True)
class SnapshotSummary:
    """One snapshot.

    Attributes:
        rows: in the table after it; `added` and `removed` are rows of data files, so a rewrite counts on both sides.
        lineage_id: of its lineage document, empty when it has none.
    """

    snapshot_id: int
    committed_at: dt.datetime
    operation: str
    added: int
    removed: int
    rows: int
    files: int
    lineage_id: str


@dataclass(frozen=True, kw_only=True)
class TableSummary:
    """A table at its newest snapshot; `newest` is None before the first."""

    name: str
    snapshots: int
    newest: SnapshotSummary | None

    @property
    def rows(self) -> int:
        return self.newest.rows if self.newest else 0


def summarize(lake: Lake, name: str) -> TableSummary:
    """Raises:
    ApplianceError: APL-STORAGE-002 there is no such table.
    """
    table = lake.table(name)
    current = table.current_snapshot()
    return TableSummary(name=name, snapshots=len(table.snapshots()), newest=_summary(current) if current else None)


def history(lake: Lake, name: str) -> tuple[SnapshotSummary, ...]:
    """The snapshots that are kept, newest first.

    Raises:
        ApplianceError: APL-STORAGE-002 there is no such table.
    """
    found = sorted(lake.table(name).snapshots(), key=lambda each: each.sequence_number or 0, reverse=True)
    return tuple(_summary(each) for each in found)


def _summary(snapshot: Snapshot) -> SnapshotSummary:
    said = snapshot.summary.additional_properties if snapshot.summary else {}
    return SnapshotSummary(
        snapshot_id=snapshot.snapshot_id,
        committed_at=from_us(snapshot.timestamp_ms * 1_000),
        operation=snapshot.summary.operation.value if snapshot.summary else "",
        added=int(said.get("added-records", "0")),
        removed=int(said.get("deleted-records", "0")),
        rows=int(said.get("total-records", "0")),
        files=int(said.get("total-data-files", "0")),
        lineage_id=said.get(LINEAGE, ""),
    )
