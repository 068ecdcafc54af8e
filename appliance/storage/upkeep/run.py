"""Carries a plan out: the only code that takes data files away.

Order of a removal, so that a process can be ended between any two steps
1. Snapshots are expired by compare-and-swap. What only they needed is idle from then on; left behind, it is an orphan.
2. The files that stand in for those to be removed are read and hold their digests.
3. The removal document is written and logged.
4. Files are deleted. Left behind, they are named and deleted again by the next run; a verifier that finds them checks
   them as ever.

Order of a rewrite
1. The files to be replaced hold the digests that their commits' documents name.
2. The new file is written, read back, and has the same rows (`row_digest`).
3. The commit's document is written, then the snapshot swapped. A lost race does not write the files again: if all that
   is replaced is still live, the swap is tried on the new head. All of a table's rewrites are one commit, so that a
   writer beside us loses at most one race.

One upkeep of a site at a time, by a lock; writers take no notice of it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from appliance.base import atomic
from appliance.base.clock import Clock, parse_rfc3339, rfc3339
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.governance.lineage import FileRecord
from appliance.observability.alerts import Alert, Alerts
from appliance.storage import codes
from appliance.storage.files import StoredFile
from appliance.storage.tables import CommitLost, Lake, LineageWriter
from appliance.storage.upkeep.documents import (
    REMOVAL,
    Removed,
    Rewrite,
    compaction_facts,
    manifests_facts,
    removal_facts,
)
from appliance.storage.upkeep.history import FileHistory, LineageReader
from appliance.storage.upkeep.inventory import Inventory, LiveFile, take_inventory
from appliance.storage.upkeep.plan import Limits, Plan, plan_upkeep, small_files
from appliance.storage.upkeep.row_digest import rows_digest

T = TypeVar("T")
RACES = 10  # lost in a row before upkeep leaves a table to its writers
SORT = ("device_id", "event_time")  # what --sort means where a table has these columns


class Documents(LineageReader, LineageWriter, Protocol):
    """Lineage documents, read and written."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was done to a table: the plan that was carried out, and the documents of it (empty where none was due)."""

    plan: Plan
    compaction: str = ""
    removal: str = ""


@dataclass(frozen=True, kw_only=True)
class TableState:
    """Figures of a table as it is: data files of its head, and of them the small ones; files that were never in it."""

    live_files: int
    small_files: int
    live_bytes: int
    snapshots: int
    orphans: int


class TableUpkeep:
    """Upkeep of the tables of one site."""

    def __init__(self, *, lake: Lake, lineage: Documents, state_folder: Path, alerts: Alerts, clock: Clock) -> None:
        self._lake, self._lineage, self._clock = lake, lineage, clock
        self._alerts = alerts
        self._files = lake.site_files
        self._folder = state_folder

    def plan(self, name: str, limits: Limits) -> Plan:
        """What `run` would do now. Changes nothing.

        Raises:
            ApplianceError: APL-STORAGE-002, APL-LINEAGE-001, APL-LINEAGE-002.
        """
        return plan_upkeep(self._inventory(name), limits, self._clock.now())

    def run(
        self,
        name: str,
        limits: Limits,
        *,
        sort: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Done:
        """Plan anew and carry it out.

        Args:
            sort: columns by which the rows of a new file are ordered; those of `SORT` that the table has when empty,
                the order of the old files when None.

        Raises:
            CommitLost: APL-STORAGE-001, writers came first `RACES` times.
            ApplianceError: APL-BASE-006 another upkeep is at work; APL-STORAGE-020, 021, 022; see `plan`.
        """
        order = self._order(name, sort)
        with atomic.exclusive(self._folder / "lock", wait=False):
            there, plan = self._expired(name, limits)
            self._warn(name, len(small_files(there.live, limits.target_bytes)), limits.max_small_files)
            self._delete(plan.metadata)
            removal = self._remove(name, plan, there.history)
            self._delete(plan.orphan_metadata)
            compaction = self._compact(name, plan.rewrites, there.history, order, progress or NoProgress())
            if plan.manifests:
                self._merge_manifests(name)
            said = {"at": rfc3339(self._clock.now()), "table": name}
            atomic.write_bytes(self._folder / f"{name}.json", json.dumps(said, sort_keys=True).encode())
        return Done(plan=plan, compaction=compaction, removal=removal)

    def newest(self, name: str) -> dt.datetime | None:
        """When `run` last ended well for a table; None when it never did."""
        path = self._folder / f"{name}.json"
        return parse_rfc3339(json.loads(path.read_bytes())["at"]) if path.is_file() else None

    def state(self, name: str, limits: Limits) -> TableState:
        """Raises ApplianceError: see `plan`."""
        there = self._inventory(name)
        plan = plan_upkeep(there, limits, self._clock.now())
        return TableState(
            live_files=len(there.live),
            small_files=len(small_files(there.live, limits.target_bytes)),
            live_bytes=sum(each.size for each in there.live),
            snapshots=len(there.snapshots),
            orphans=len(plan.orphan_data) + len(plan.orphan_metadata),
        )

    def _inventory(self, name: str) -> Inventory:
        """A writer may expire a snapshot while we read it; what is missing ten times over is gone."""
        for races in range(RACES):
            try:
                return take_inventory(self._lake, self._lineage, name)
            except FileNotFoundError as error:
                if races == RACES - 1:
                    raise ApplianceError(codes.DATA_ALTERED, f"{name}: {error}", where=error.filename) from error
        raise AssertionError

    def _expired(self, name: str, limits: Limits) -> tuple[Inventory, Plan]:
        """The plan, with its snapshots out of the table."""

        def expire() -> tuple[Inventory, Plan]:
            there = self._inventory(name)
            plan = plan_upkeep(there, limits, self._clock.now())
            table = self._lake.table(name)
            if not {each.snapshot_id for each in table.snapshots()}.issuperset(plan.expire):
                raise CommitLost(codes.COMMIT_LOST, f"{name}: a writer expired snapshots")
            if plan.expire:
                self._lake.expire_snapshots(table, plan.expire)
            return there, plan

        return _raced(expire)

    def _warn(self, name: str, small: int, most: int) -> None:
        if small <= most:
            return
        now = self._clock.now()
        alert = Alert(
            code="SMALL_FILES",
            severity="warning",
            subject=f"table {name}",
            message=f"{small} small files, expected {most} or fewer: upkeep comes too seldom, or commits are too small",
            at=rfc3339(now),
            key=f"SMALL_FILES/{name}/{now.date()}",
            facts={"table": name, "small_files": small, "limit": most},
        )
        self._alerts.record([alert])

    # removal

    def _remove(self, name: str, plan: Plan, history: FileHistory) -> str:
        """Write the removal document, then delete; gives its id."""
        if not plan.replaced and not plan.orphan_data:
            return ""
        for file in {history.standing(each.file.path) for each in plan.replaced}:
            self._check(file)
        orphans = [
            Removed(file=self._record(each), replaced_by="")
            for each in plan.orphan_data
            if self._files.holds(each.path)
        ]
        removed = [*plan.replaced, *orphans]
        id = self._lineage.write(
            kind=REMOVAL,
            name=name,
            files=[],
            inputs=sorted({each.replaced_by for each in plan.replaced}),
            facts=removal_facts(removed, self._clock.now()),
        )
        for each in removed:
            self._files.remove(each.file.path)
        return id

    def _delete(self, files: Sequence[StoredFile]) -> None:
        for each in files:
            self._files.remove(each.path)

    def _record(self, file: StoredFile) -> FileRecord:
        return FileRecord(path=file.path, digest=self._files.digest(file.path), size=file.size)

    def _check(self, file: FileRecord) -> None:
        """Raises ApplianceError APL-STORAGE-020."""
        try:
            found = self._files.digest(file.path)
        except OSError as error:
            raise ApplianceError(
                codes.DATA_ALTERED, f"expected {file.digest}, it cannot be read: {error.strerror}", where=file.path
            ) from error
        if found != file.digest:
            raise ApplianceError(codes.DATA_ALTERED, f"expected {file.digest}, got {found}", where=file.path)

    # rewrite

    def _order(self, name: str, sort: Sequence[str] | None) -> tuple[str, ...]:
        schema = self._lake.schema(name)
        for each in sort or ():
            if each not in schema.names:
                raise ApplianceError(codes.UPKEEP_INVALID, f"{name} has no column {each!r} to sort by")
            if pa.types.is_nested(schema.field(each).type):
                raise ApplianceError(
                    codes.UPKEEP_INVALID, f"{each!r} of {name} has no order: {schema.field(each).type}"
                )
        return tuple(sort or (each for each in SORT if each in schema.names)) if sort is not None else ()

    def _compact(
        self,
        name: str,
        groups: Sequence[Sequence[LiveFile]],
        history: FileHistory,
        order: Sequence[str],
        progress: Progress,
    ) -> str:
        progress.begin(f"rewrite small files of {name}", sum(len(group) for group in groups))
        made: list[tuple[Rewrite, FileRecord]] = []
        for group in groups:
            made.append(self._rewritten(name, group, history, order))
            progress.advance(len(group))
        return self._put(name, made) if made else ""

    def _rewritten(
        self, name: str, group: Sequence[LiveFile], history: FileHistory, order: Sequence[str]
    ) -> tuple[Rewrite, FileRecord]:
        replaced = []
        for file in group:
            record = history.files.get(file.path)
            if record is None:
                raise ApplianceError(codes.DATA_ALTERED, f"no commit of {name} names it", where=file.path)
            self._check(record)
            replaced.append(record)
        rows = self._lake.read_files(name, {file.path for file in group})
        content = rows_digest(rows)
        new = self._lake.write_file(name, rows.sort_by([(each, "ascending") for each in order]) if order else rows)
        found = rows_digest(pq.read_table(new.path, filesystem=self._files.arrow).cast(rows.schema))
        if found != content:
            raise ApplianceError(codes.ROWS_DIFFER, f"expected {content}, got {found}", where=new.path)
        return Rewrite(file=new.path, rows=rows.num_rows, content=content, replaced=tuple(replaced)), new

    def _put(self, name: str, made: Sequence[tuple[Rewrite, FileRecord]]) -> str:
        """Swap the new files in, as far as what they replace is still live; gives the document's id."""

        def put() -> str:
            head = self._lake.head(name)
            live = {each.path for each in self._lake.files(name, head.snapshot_id)}
            fit = [each for each in made if live.issuperset(file.path for file in each[0].replaced)]
            if not fit:
                return ""
            return self._lake.rewrite(
                name,
                expected=head,
                added=[file for _, file in fit],
                removed={file.path for rewrite, _ in fit for file in rewrite.replaced},
                rows=sum(rewrite.rows for rewrite, _ in fit),
                facts=compaction_facts([rewrite for rewrite, _ in fit], self._clock.now()),
            ).lineage_id

        return _raced(put)

    def _merge_manifests(self, name: str) -> None:
        facts = manifests_facts(self._clock.now())
        _raced(lambda: self._lake.merge_manifests(name, expected=self._lake.head(name), facts=facts))


def _raced(attempt: Callable[[], T]) -> T:
    """The first attempt that no other commit came before.

    Raises:
        CommitLost: of the last of `RACES`.
    """
    for _ in range(RACES - 1):
        with contextlib.suppress(CommitLost):
            return attempt()
    return attempt()
