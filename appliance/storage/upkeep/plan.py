"""What to do with a table, decided from its inventory alone. Pure: what is printed as the plan is what is carried out.

Rules
1. Order: expire snapshots, remove replaced files, remove orphans, rewrite small files, merge manifests. The plan is
   made for the table as it is: what a rewrite replaces now is removed by a later run.
2. The newest `keep` snapshots stay.
3. A data file is removed only when no snapshot that stays holds it, a compaction of the table's own chain replaced it,
   and that was `retain` or longer ago. What a reparse took out of a table has no other copy of its rows: it stays.
4. An orphan was never in the table: no commit document of the chain names it, no snapshot holds it, nothing changed it
   for `orphans_after`. One that is named for the head stays: a writer that was ended at this head writes it again.
5. Small files are rewritten in the order of their commits, at least `FEWEST` into one, up to `target_bytes` and
   `MOST_ROWS`; larger ones are left alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from appliance.base.duration import parse_duration
from appliance.base.errors import ApplianceError
from appliance.config.model import StorageSection
from appliance.storage import codes
from appliance.storage.files import StoredFile
from appliance.storage.upkeep.documents import Removed
from appliance.storage.upkeep.inventory import Inventory, LiveFile

FEWEST = 4  # small files that are worth a rewrite
MOST_ROWS = 1 << 20  # of a new file: its rows are in memory as tables and as Parquet, some 0.4 GiB for readings
SMALL = 0.75  # share of the target below which a file is small: two of them rarely fit into one
MANIFESTS_AT = 10  # manifests of a head from which they are merged; a scan opens each of them
LEAST_ORPHAN_AGE = dt.timedelta(hours=1)  # a commit under way writes manifests that nothing names yet
_WRITTEN = {".parquet", ".avro", ".json"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Attributes:
    target_bytes: size of a rewritten file.
    keep: snapshots that stay.
    retain: how long a replaced file stays after its compaction.
    orphans_after: how long nothing must have changed a file that nothing names.
    max_small_files: with more of them, a table raises an alert.

    Raises:
        ApplianceError: APL-STORAGE-022.
    """

    target_bytes: int
    keep: int
    retain: dt.timedelta
    orphans_after: dt.timedelta
    max_small_files: int

    def __post_init__(self) -> None:
        if self.keep < 1 or self.target_bytes < 1:
            raise ApplianceError(codes.UPKEEP_INVALID, f"expected 1 or more, got {self.keep} and {self.target_bytes}")
        if self.orphans_after < LEAST_ORPHAN_AGE:
            raise ApplianceError(
                codes.UPKEEP_INVALID, f"orphans: expected an age of 1h or more, got {self.orphans_after}"
            )


def limits_of(settings: StorageSection, *, keep: int) -> Limits:
    """Raises:
    ApplianceError: APL-BASE-004, APL-STORAGE-022.
    """
    return Limits(
        target_bytes=settings.target_file_bytes,
        keep=keep,
        retain=parse_duration(settings.retain_files),
        orphans_after=parse_duration(settings.orphans_after),
        max_small_files=settings.max_small_files,
    )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Attributes:
    expire: ids of snapshots, oldest first.
    metadata: files that only those need.
    replaced: data files to remove, with the compaction that replaced each.
    waiting: replaced data files that stay for now, by age or for a snapshot.
    orphan_data, orphan_metadata: files that were never in the table.
    rewrites: groups of live files; each group becomes one file.
    manifests: how many are merged; 0 when they are few.
    """

    table: str
    expire: tuple[int, ...]
    metadata: tuple[StoredFile, ...]
    replaced: tuple[Removed, ...]
    waiting: int
    orphan_data: tuple[StoredFile, ...]
    orphan_metadata: tuple[StoredFile, ...]
    rewrites: tuple[tuple[LiveFile, ...], ...]
    manifests: int

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not any(each for name, each in vars(self).items() if name not in ("table", "waiting"))

    def as_json(self) -> dict[str, Any]:
        def stored(files: Iterable[StoredFile]) -> list[dict[str, Any]]:
            return [{"path": each.path, "bytes": each.size} for each in files]

        return {
            "table": self.table,
            "expire_snapshots": [str(each) for each in self.expire],
            "remove_metadata": stored(self.metadata),
            "remove_replaced": [
                {"path": each.file.path, "bytes": each.file.size, "replaced_by": each.replaced_by}
                for each in self.replaced
            ],
            "replaced_waiting": self.waiting,
            "remove_orphans": stored((*self.orphan_data, *self.orphan_metadata)),
            "rewrite": [
                [{"path": each.path, "bytes": each.size, "rows": each.rows} for each in group]
                for group in self.rewrites
            ],
            "merge_manifests": self.manifests,
        }


def plan_upkeep(there: Inventory, limits: Limits, now: dt.datetime) -> Plan:
    """What upkeep would do to the table now."""
    going, staying = there.snapshots[: -limits.keep], there.snapshots[-limits.keep :]
    needed = frozenset(path for each in staying for path in each.metadata)
    idle = {path for each in going for path in each.metadata} - needed
    held = frozenset(path for each in staying for path in each.data)
    removable = sorted(there.data.keys() & there.history.replaced.keys())
    replaced = [
        path for path in removable if path not in held and there.history.replaced[path].at + limits.retain <= now
    ]
    rewrites = tuple(_groups(small_files(there.live, limits.target_bytes), limits.target_bytes))
    return Plan(
        table=there.table,
        expire=tuple(each.snapshot_id for each in going),
        metadata=tuple(there.metadata[path] for path in sorted(idle & there.metadata.keys())),
        replaced=tuple(
            Removed(file=there.history.files[path], replaced_by=there.history.replaced[path].by) for path in replaced
        ),
        waiting=len(removable) - len(replaced),
        orphan_data=tuple(_orphan_data(there, now - limits.orphans_after)),
        orphan_metadata=tuple(_orphan_metadata(there, now - limits.orphans_after)),
        rewrites=rewrites,
        manifests=_manifests_to_merge(there.live, rewrites),
    )


def small_files(live: Iterable[LiveFile], target_bytes: int) -> tuple[LiveFile, ...]:
    """The live files that a rewrite would take in, in the order of their commits."""
    found = (each for each in live if each.size < SMALL * target_bytes and each.rows < SMALL * MOST_ROWS)
    return tuple(sorted(found, key=lambda each: (each.sequence, each.path)))


def _groups(files: Sequence[LiveFile], target_bytes: int) -> Iterator[tuple[LiveFile, ...]]:
    """Neighbours, as many as fit; groups of fewer than `FEWEST` are not worth it."""
    group: list[LiveFile] = []
    for file in files:
        full = sum(each.size for each in group) + file.size > target_bytes
        if full or sum(each.rows for each in group) + file.rows > MOST_ROWS:
            if len(group) >= FEWEST:
                yield tuple(group)
            group = []
        group.append(file)
    if len(group) >= FEWEST:
        yield tuple(group)


def _manifests_to_merge(live: Sequence[LiveFile], rewrites: Sequence[Sequence[LiveFile]]) -> int:
    """Manifests that are left when the rewritten files are out of them, where these are many."""
    rewritten = {file.path for group in rewrites for file in group}
    left = {each.manifest for each in live if each.path not in rewritten}
    count = len(left) + bool(rewrites)
    return count if count >= MANIFESTS_AT else 0


def _orphan_data(there: Inventory, before: dt.datetime) -> Iterator[StoredFile]:
    known = there.history.files.keys() | {path for each in there.snapshots for path in each.data}
    at_head = f"{there.head.snapshot_id or 0:020d}-"
    for path, file in there.data.items():
        named_for_head = PurePosixPath(path).name.removeprefix(".tmp-").startswith(at_head)
        if path not in known and file.modified <= before and _ours(path) and not named_for_head:
            yield file


def _orphan_metadata(there: Inventory, before: dt.datetime) -> Iterator[StoredFile]:
    known = there.pointers | {path for each in there.snapshots for path in each.metadata}
    for path, file in there.metadata.items():
        if path not in known and file.modified <= before and _ours(path):
            yield file


def _ours(path: str) -> bool:
    """Whether the lake or pyiceberg names files so; anything else is somebody's who may want it back."""
    return PurePosixPath(path).suffix in _WRITTEN
