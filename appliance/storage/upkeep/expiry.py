"""Expiry: old snapshots, and the metadata that only they used.

Rules
1. Expiry is part of writing, not an afterthought: every commit rewrites the table's metadata file, so a history that
   only grows makes each commit slower than the one before.
2. It makes no snapshot; the head and its properties (positions, lineage) stay as they are.
3. It removes manifests and manifest lists that no kept snapshot uses. Data files stay: lineage documents name them,
   and taking them away is `storage.upkeep.run`'s, which says so first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot

from appliance.base.errors import ApplianceError
from appliance.storage import codes
from appliance.storage.tables import MERGED, Lake

KEEP = 20  # snapshots that stay after an expiry
EXPIRE_AT = 60  # snapshots from which a writer expires; a commit then costs about twice that of a fresh table


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """What an expiry did: snapshots before and after, and metadata files removed."""

    table: str
    before: int
    after: int
    files_removed: int


def expire(lake: Lake, name: str, *, keep: int = KEEP) -> Upkeep:
    """Keep the newest `keep` snapshots (at least one, the head).

    Raises:
        CommitLost: APL-STORAGE-001, another commit came first; nothing was removed.
    """
    if keep < 1:
        raise ApplianceError(codes.KEEP_INVALID, f"expected to keep at least 1 snapshot, got {keep}", where=name)
    table = lake.table(name)
    chain = sorted(table.snapshots(), key=lambda each: each.sequence_number or 0)
    going, kept = chain[:-keep], chain[-keep:]
    if not going:
        return Upkeep(table=name, before=len(chain), after=len(chain), files_removed=0)
    lake.expire_snapshots(table, [each.snapshot_id for each in going])
    dropped = _manifests(
        table, [before for before, after in itertools.pairwise(chain[: len(going) + 1]) if _drops(before, after)]
    )
    if dropped:
        last = [before for before, after in itertools.pairwise(kept) if _drops(before, after)]
        dropped -= _manifests(table, [*last, kept[-1]])
    idle = dropped | {each.manifest_list for each in going}
    for uri in sorted(idle):
        lake.site_files.remove(lake.site_files.name_of(uri))
    return Upkeep(table=name, before=len(chain), after=len(kept), files_removed=len(idle))


def expire_when_due(lake: Lake, name: str) -> Upkeep | None:
    """For writers, after a commit: expire when the history has grown to `EXPIRE_AT` snapshots."""
    return expire(lake, name) if len(lake.table(name).snapshots()) >= EXPIRE_AT else None


def _drops(before: Snapshot, after: Snapshot) -> bool:
    """Whether `after` may use fewer manifests than `before`.

    An append keeps all of them, but for those that a snapshot of another kind left with deleted entries only.
    Merging manifests is an append to Iceberg, of no files.
    """
    return any(
        each.summary is None
        or each.summary.operation != Operation.APPEND
        or MERGED in each.summary.additional_properties
        for each in (before, after)
    )


def _manifests(table: Table, snapshots: Sequence[Snapshot]) -> set[str]:
    return {manifest.manifest_path for each in snapshots for manifest in each.manifests(table.io)}
