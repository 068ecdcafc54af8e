"""What there is of a table: its snapshots, what each of them needs, and what lies in its folder.

The folder is listed before the table is loaded: a file that was there and that nothing names afterwards was not about
to be committed by a writer who stood at the head (`plan` says which writers that leaves).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from appliance.base.errors import ApplianceError
from appliance.storage import codes
from appliance.storage.files import StoredFile
from appliance.storage.tables import Head, Lake, head_of
from appliance.storage.upkeep.history import FileHistory, LineageReader, file_history

DATA, METADATA = "data", "metadata"  # folders below a table's location


@dataclass(frozen=True, kw_only=True)
class LiveFile:
    """A data file of the head; `sequence` grows from commit to commit."""

    path: str
    size: int
    rows: int
    sequence: int
    manifest: str


@dataclass(frozen=True, kw_only=True)
class SnapshotFiles:
    """Metadata files that a snapshot needs, and the data files that it holds."""

    snapshot_id: int
    metadata: frozenset[str]
    data: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Attributes:
    data, metadata: what lies in the two folders, by path.
    snapshots: those that are kept, oldest first; the last is the head.
    live: the data files of the head.
    pointers: metadata files that the catalog and the table's own log name.
    """

    table: str
    head: Head
    data: Mapping[str, StoredFile]
    metadata: Mapping[str, StoredFile]
    snapshots: tuple[SnapshotFiles, ...]
    live: tuple[LiveFile, ...]
    pointers: frozenset[str]
    history: FileHistory


def take_inventory(lake: Lake, lineage: LineageReader, name: str) -> Inventory:
    """Raises:
    ApplianceError: APL-STORAGE-002 no such table, 022 its files are not of this site; APL-LINEAGE-001, 002 a commit
        document is missing or altered.
    """
    files, location = lake.site_files, lake.table(name).location()
    try:
        folder = files.name_of(location)
    except ValueError as error:
        raise ApplianceError(
            codes.UPKEEP_INVALID, f"the files of {name} are in {location}; a moved or copied site can only be read"
        ) from error
    data = {each.path: each for each in files.stored(f"{folder}/{DATA}")}
    metadata = {each.path: each for each in files.stored(f"{folder}/{METADATA}")}
    table = lake.table(name)
    head = head_of(table.current_snapshot())
    manifests = _Manifests(table, files.name_of)
    chain = sorted(table.snapshots(), key=lambda each: each.sequence_number or 0)
    logged = [each.metadata_file for each in table.metadata.metadata_log]
    return Inventory(
        table=name,
        head=head,
        data=data,
        metadata=metadata,
        snapshots=tuple(manifests.files_of(each) for each in chain),
        live=manifests.live_of(chain[-1]) if chain else (),
        pointers=frozenset(map(files.name_of, [table.metadata_location, *logged])),
        history=file_history(lineage, name, head),
    )


class _Manifests:
    """The manifests of a table, each opened once: snapshots share most of them."""

    def __init__(self, table: Table, inside: Callable[[str], str]) -> None:
        self._io, self._inside = table.io, inside
        self._opened: dict[str, tuple[LiveFile, ...]] = {}

    def files_of(self, snapshot: Snapshot) -> SnapshotFiles:
        manifests = snapshot.manifests(self._io)
        paths = {self._inside(each.manifest_path) for each in manifests}
        return SnapshotFiles(
            snapshot_id=snapshot.snapshot_id,
            metadata=frozenset({*paths, self._inside(snapshot.manifest_list)}),
            data=frozenset(file.path for each in manifests for file in self._open(each)),
        )

    def live_of(self, snapshot: Snapshot) -> tuple[LiveFile, ...]:
        return tuple(file for each in snapshot.manifests(self._io) for file in self._open(each))

    def _open(self, manifest: ManifestFile) -> tuple[LiveFile, ...]:
        path = self._inside(manifest.manifest_path)
        if path not in self._opened:
            self._opened[path] = tuple(
                LiveFile(
                    path=self._inside(entry.data_file.file_path),
                    size=entry.data_file.file_size_in_bytes,
                    rows=entry.data_file.record_count,
                    sequence=entry.sequence_number or 0,
                    manifest=path,
                )
                for entry in manifest.fetch_manifest_entry(self._io, discard_deleted=True)
            )
        return self._opened[path]
