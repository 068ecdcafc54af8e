"""The lake: Iceberg tables, their catalog in a database, changed only by compare-and-swap.

Rules
1. A commit names the head that it was made on (`Head`); when the table has another one, nothing is written to it and
   the caller gets `CommitLost`. pyiceberg's own retry is off on every table (``commit.retry.num-retries`` = 0): it
   appends the loser's rows on the new base with the loser's old properties.
2. Properties whose key begins with ``appliance.`` live in the snapshot summary, are carried from snapshot to
   snapshot, and are changed only by the caller that sets them.
3. Order of a commit: Parquet file, lineage document, snapshot. A crash leaves files and documents that nothing points
   to. The document names the table's previous commit among its inputs, so that history outlives expired snapshots.
4. Data files are never changed. `replace` and `rewrite` write new ones; the old are removed by `storage.upkeep` alone,
   by the rules of docs/adr/0012-data-files-may-be-removed.md.
5. Every data file is written by this module, from the caller's rows, with its digest in the lineage document.

Not here: what to rewrite, expire and remove (`storage.upkeep`), and what rows mean.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import sqlalchemy.exc
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.expressions import BooleanExpression
from pyiceberg.expressions.parser import parse as parse_filter
from pyiceberg.expressions.visitors import bind
from pyiceberg.io.pyarrow import expression_to_pyarrow, parquet_files_to_data_files
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.schema import UpdateSchema
from pyparsing import ParseException

from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import FileRecord
from appliance.storage import codes
from appliance.storage.catalog import Database, failed, open_catalog
from appliance.storage.columns import arrow_schema, fitted
from appliance.storage.files import LAKE, SiteFiles
from appliance.storage.former_names import known_names, open_tasks, read_tasks

PREFIX = "appliance."  # of the snapshot properties that are ours
LINEAGE = "appliance.lineage"
ROW_GROUP_ROWS = 1 << 20
TABLE_PROPERTIES = {
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
}
MERGED = (
    "upkeep.manifests"  # in the summary of a snapshot that merged manifests; not ours to carry, as it has no `PREFIX`
)
_MERGE_PROPERTIES = {"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "2"}


class CommitLost(ApplianceError):  # noqa: N818 - named for what happened; callers reload and try again
    """Another commit came first; the table does not hold ours."""


class LineageWriter(Protocol):
    def write(
        self, *, kind: str, name: str, files: Sequence[FileRecord], inputs: Sequence[str], facts: Mapping[str, Any]
    ) -> str:
        """Keep a lineage document; gives its id."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where a table stands: its snapshot (None before the first) and our properties of it."""

    snapshot_id: int | None
    properties: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One snapshot: `files` are the data files that it added, from the site folder; `rows` the rows in them."""

    table: str
    snapshot_id: int
    lineage_id: str
    files: tuple[str, ...]
    rows: int


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A live data file: path from the site folder, and its rows."""

    path: str
    rows: int


class Lake:
    """All tables of a site.

    Attributes:
        site_files: where the tables' files are, for those who read them one by one.
    """

    def __init__(
        self, folder: Path, files: SiteFiles, lineage: LineageWriter, database: Database | None = None
    ) -> None:
        """The tables' files are those of the site below `LAKE`. Their catalog is in the database, or in `folder`.

        Raises:
            ApplianceError: APL-STORAGE-003, 014.
        """
        self._folder = folder
        self.site_files = files
        self._lineage = lineage
        self._database = database
        folder.mkdir(parents=True, exist_ok=True)
        self._catalog = open_catalog(folder, database, files.properties)

    def ensure(self, name: str, schema: pa.Schema) -> None:
        """Create the namespace and the table where missing; add columns that the table does not have.

        Raises:
            CommitLost: APL-STORAGE-001, another commit came first.
            ApplianceError: APL-STORAGE-003; 033 a column that is new has a name that another one had.
        """
        namespace = name.partition(".")[0]
        with self._errors_named():
            try:
                if not self._catalog.table_exists(name):
                    self._create_namespace(namespace)
                    location = self.site_files.uri(f"{LAKE}/{namespace}/{name.partition('.')[2]}")
                    self._catalog.create_table(name, schema, location=location, properties=TABLE_PROPERTIES)
                    return
            except TableAlreadyExistsError:
                pass  # made by another process in between
            table = self.table(name)
            if new := [field.name for field in schema if field.name not in table.schema().column_names]:
                if former := sorted(set(new) & set(known_names(table))):
                    raise ApplianceError(codes.NAME_TAKEN, f"{name}: {', '.join(former)}")
                try:
                    with table.update_schema() as update:
                        update.union_by_name(schema)
                except CommitFailedException as error:
                    raise CommitLost(codes.COMMIT_LOST, f"{name}: {error}") from error

    def head(self, name: str) -> Head:
        return head_of(self.table(name).current_snapshot())

    def append(
        self,
        name: str,
        rows: pa.Table,
        *,
        expected: Head,
        properties: Mapping[str, str],
        inputs: Sequence[str],
        facts: Mapping[str, Any],
    ) -> Commit:
        """Add rows in one commit on top of `expected`. No rows still make a commit: its properties count.

        Raises:
            CommitLost: APL-STORAGE-001.
            ApplianceError: APL-STORAGE-005 the rows do not fit; APL-BASE-002 the disk is full.
        """
        table = self._table_at(name, expected)
        return self._commit(table, name, rows, [], expected, properties, inputs, facts)

    def replace(
        self,
        name: str,
        rows: pa.Table,
        *,
        expected: Head,
        properties: Mapping[str, str],
        inputs: Sequence[str],
        facts: Mapping[str, Any],
        remove: str,
    ) -> Commit:
        """One commit that removes the rows matching the filter `remove` and adds `rows`.

        Rows of the same files that do not match are written again; one for which the filter is unknown (null) stays.

        Raises:
            CommitLost, ApplianceError: see `append`; APL-STORAGE-006 for a filter that cannot be read.
        """
        table = self._table_at(name, expected)
        condition = read_filter(remove)
        tasks = list(table.scan(row_filter=condition).plan_files())
        matches = expression_to_pyarrow(bind(table.schema(), condition, case_sensitive=True))
        schema = arrow_schema(table.schema())
        kept = [fitted(rows, schema).cast(schema) if rows.num_rows else schema.empty_table()]
        removed = 0
        for task in tasks:
            old = read_tasks(table, [task], table.schema())
            going = old.filter(matches).num_rows
            removed += going
            kept.append(old.filter(~matches.is_valid() | ~matches) if going else old)
        touched = [task.file for task in tasks]
        return self._commit(
            table, name, pa.concat_tables(kept), touched, expected, properties, inputs, {**facts, "removed": removed}
        )

    def merge(
        self,
        name: str,
        rows: pa.Table,
        *,
        expected: Head,
        properties: Mapping[str, str],
        inputs: Sequence[str],
        facts: Mapping[str, Any],
        gone: pa.Table | None,
    ) -> Commit:
        """One commit that removes the rows whose values in the columns of `gone` are a row of it, and adds `rows`.

        With `gone` None all rows go. Files that hold none of them stay as they are; of the others the rest is written
        again, so that this is for tables that are small or have few files that are touched.

        Raises:
            CommitLost, ApplianceError: see `append`.
        """
        table = self._table_at(name, expected)
        schema = arrow_schema(table.schema())
        kept, touched, removed = [fitted(rows, schema).cast(schema)], [], 0
        for task in table.scan().plan_files():
            if gone is None:
                touched.append(task.file)
                removed += task.file.record_count
                continue
            old = read_tasks(table, [task], table.schema())
            rest = _without(old, gone)
            if rest.num_rows < old.num_rows:
                touched.append(task.file)
                removed += old.num_rows - rest.num_rows
                kept.append(rest)
        return self._commit(
            table, name, pa.concat_tables(kept), touched, expected, properties, inputs, {**facts, "removed": removed}
        )

    def evolve(
        self, name: str, change: Callable[[UpdateSchema, Table], None], *, expected: Head, facts: Mapping[str, Any]
    ) -> Commit:
        """Change the columns, for `storage.evolution`, in one commit with a snapshot without rows on top of `expected`.

        Raises:
            CommitLost: APL-STORAGE-001.
        """
        table = self._table_at(name, expected)
        return self._swap(table, name, [], 0, [], expected, {}, [], facts, change=change)

    def read_files(self, name: str, paths: Collection[str]) -> pa.Table:
        """The rows of live data files, as the table's columns are today.

        Raises:
            CommitLost: APL-STORAGE-001, a commit took one of them out of the table.
        """
        table = self.table(name)
        tasks = [task for task in table.scan().plan_files() if self._relative(task.file.file_path) in paths]
        if len(tasks) != len(paths):
            raise CommitLost(codes.COMMIT_LOST, f"{name}: expected {len(paths)} live files, found {len(tasks)} of them")
        return read_tasks(table, tasks, table.schema())

    def write_file(self, name: str, rows: pa.Table) -> FileRecord:
        """Write a data file that no snapshot holds yet, for `rewrite`.

        Raises:
            ApplianceError: see `append`.
        """
        table = self.table(name)
        return self._write_file(table, name, rows, head_of(table.current_snapshot()), mark="-compacted")

    def rewrite(
        self,
        name: str,
        *,
        expected: Head,
        added: Sequence[FileRecord],
        removed: Collection[str],
        rows: int,
        facts: Mapping[str, Any],
    ) -> Commit:
        """One commit by which `added` stand in for the live files `removed`. That the rows are the same is the
        caller's word; `rows` are those in `added`.

        Raises:
            CommitLost: APL-STORAGE-001, also when one of `removed` is no longer live.
        """
        table = self._table_at(name, expected)
        touched = [task.file for task in table.scan().plan_files() if self._relative(task.file.file_path) in removed]
        if len(touched) != len(removed):
            raise CommitLost(codes.COMMIT_LOST, f"{name}: {len(removed)} live files expected, found {len(touched)}")
        return self._swap(table, name, added, rows, touched, expected, {}, [], facts)

    def merge_manifests(self, name: str, *, expected: Head, facts: Mapping[str, Any]) -> Commit:
        """One commit without rows and files, by which few manifests list the live files.

        Raises:
            CommitLost: APL-STORAGE-001.
        """
        table = self._table_at(name, expected)
        return self._swap(table, name, [], 0, [], expected, {}, [], facts, merging=True)

    def scan(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        snapshot_id: int | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """Rows, in no promised order, at most `limit` of them. `where` is pyiceberg's filter text.

        Raises:
            ApplianceError: APL-STORAGE-002 no such table, APL-STORAGE-006 the filter cannot be read.
        """
        table = self.table(name)
        condition = {} if where is None else {"row_filter": read_filter(where)}
        selected = tuple(columns) if columns is not None else ("*",)
        try:
            at = _at(table, snapshot_id)
            scan = table.scan(selected_fields=selected, snapshot_id=at, limit=limit, **condition)
            schema, found = arrow_schema(scan.projection()), scan.to_arrow()
        except ValueError as error:
            raise ApplianceError(codes.FILTER_INVALID, f"{name}: {error}", where=where) from error
        return found.cast(pa.schema([pa.field(each, schema.field(each).type) for each in found.column_names]))

    def dataset(self, name: str, snapshot_id: int | None = None) -> pa.dataset.Dataset:
        """The rows of a snapshot as files to be streamed, for engines that need not have them all in memory.

        Files written before a column was renamed are held in memory.
        """
        table = self.table(name)
        scan = table.scan(snapshot_id=_at(table, snapshot_id))
        return open_tasks(table, list(scan.plan_files()), scan.projection(), self.site_files)

    def files(self, name: str, snapshot_id: int | None = None) -> tuple[DataFile, ...]:
        tasks = self.table(name).scan(snapshot_id=snapshot_id).plan_files()
        return tuple(DataFile(path=self._relative(task.file.file_path), rows=task.file.record_count) for task in tasks)

    def commits(self, name: str) -> tuple[Commit, ...]:
        """The snapshots that are kept, oldest first."""
        table = self.table(name)
        kept = {snapshot.snapshot_id: snapshot for snapshot in table.snapshots()}
        chain: list[Snapshot] = []
        at = table.current_snapshot()
        while at is not None:
            chain.append(at)
            at = kept.get(at.parent_snapshot_id) if at.parent_snapshot_id is not None else None
        return tuple(self._as_commit(table, name, snapshot) for snapshot in reversed(chain))

    def tables(self) -> tuple[str, ...]:
        with self._errors_named():
            found = [
                ".".join(identifier)
                for namespace in self._catalog.list_namespaces()
                for identifier in self._catalog.list_tables(namespace)
            ]
        return tuple(sorted(found))

    def schema(self, name: str) -> pa.Schema:
        return arrow_schema(self.table(name).schema())

    def table(self, name: str) -> Table:
        """The Iceberg table, for `storage.upkeep` and engines that read Iceberg themselves."""
        with self._errors_named():
            try:
                return self._catalog.load_table(name)
            except NoSuchTableError as error:
                raise ApplianceError(codes.TABLE_MISSING, f"no table {name!r}", where=str(self._folder)) from error

    def expire_snapshots(self, table: Table, ids: Sequence[int]) -> None:
        """Take snapshots out of the table's metadata, for `storage.upkeep`; their files stay.

        Raises:
            CommitLost: APL-STORAGE-001.
        """
        with self._errors_named():
            try:
                table.maintenance.expire_snapshots().by_ids(list(ids)).commit()
            except CommitFailedException as error:
                raise CommitLost(codes.COMMIT_LOST, f"{'.'.join(table.name())}: {error}") from error

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        """Raises ApplianceError: APL-STORAGE-003."""
        try:
            yield
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise failed(error, self._folder, self._database) from error

    def _create_namespace(self, namespace: str) -> None:
        # Made by another process in between: pyiceberg tells that only when it looked before the other was done.
        with contextlib.suppress(sqlalchemy.exc.IntegrityError):
            self._catalog.create_namespace_if_not_exists(namespace)

    def _table_at(self, name: str, expected: Head) -> Table:
        table = self.table(name)
        found = table.current_snapshot()
        found_id = found.snapshot_id if found else None
        if found_id != expected.snapshot_id:
            raise CommitLost(codes.COMMIT_LOST, f"{name}: expected snapshot {expected.snapshot_id}, found {found_id}")
        return table

    def _commit(
        self,
        table: Table,
        name: str,
        rows: pa.Table,
        touched: Sequence[Any],
        expected: Head,
        properties: Mapping[str, str],
        inputs: Sequence[str],
        facts: Mapping[str, Any],
    ) -> Commit:
        files = [self._write_file(table, name, rows, expected)] if rows.num_rows else []
        return self._swap(table, name, files, rows.num_rows, touched, expected, properties, inputs, facts)

    def _swap(
        self,
        table: Table,
        name: str,
        files: Sequence[FileRecord],
        rows: int,
        touched: Sequence[Any],
        expected: Head,
        properties: Mapping[str, str],
        inputs: Sequence[str],
        facts: Mapping[str, Any],
        *,
        merging: bool = False,
        change: Callable[[UpdateSchema, Table], None] | None = None,
    ) -> Commit:
        before = [expected.properties[LINEAGE]] if LINEAGE in expected.properties else []
        lineage_id = self._lineage.write(
            kind="commit",
            name=name,
            files=files,
            inputs=[*before, *inputs],
            facts={**facts, "rows": rows, "parent": str(expected.snapshot_id or "")},
        )
        summary = {**expected.properties, **properties, LINEAGE: lineage_id}
        added = [self.site_files.uri(file.path) for file in files]
        with self._errors_named():
            try:
                snapshot_id = _merge(table, summary) if merging else _put(table, added, touched, summary, change)
            except CommitFailedException as error:
                raise CommitLost(codes.COMMIT_LOST, f"{name}: {error}") from error
        return Commit(
            table=name,
            snapshot_id=snapshot_id,
            lineage_id=lineage_id,
            files=tuple(file.path for file in files),
            rows=rows,
        )

    def _write_file(self, table: Table, name: str, rows: pa.Table, expected: Head, mark: str = "") -> FileRecord:
        # The name holds the parent snapshot: a retry after a crash writes the same file again, and two commits
        # of equal rows still have two files. The mark parts a rewrite from an append of the very same rows.
        buffer = pa.BufferOutputStream()
        try:
            pq.write_table(
                fitted(rows, arrow_schema(table.schema())),
                buffer,
                compression="zstd",
                compression_level=1,
                row_group_size=ROW_GROUP_ROWS,
                store_schema=False,
            )
        except (KeyError, pa.ArrowInvalid, TypeError) as error:
            raise ApplianceError(codes.ROWS_REFUSED, f"{name}: {error}") from error
        data = buffer.getvalue()
        view = memoryview(data)
        digest = digest_bytes(view)
        folder = self.site_files.name_of(table.location())
        path = f"{folder}/data/{expected.snapshot_id or 0:020d}-{hex_of(digest)[:16]}{mark}.parquet"
        with self.site_files.writing(path) as file:
            file.write(view)
        return FileRecord(path=path, digest=digest, size=len(view))

    def _as_commit(self, table: Table, name: str, snapshot: Snapshot) -> Commit:
        added = [
            entry.data_file
            for manifest in snapshot.manifests(table.io)
            if manifest.added_snapshot_id == snapshot.snapshot_id
            for entry in manifest.fetch_manifest_entry(table.io)
            if entry.snapshot_id == snapshot.snapshot_id
        ]
        return Commit(
            table=name,
            snapshot_id=snapshot.snapshot_id,
            lineage_id=head_of(snapshot).properties.get(LINEAGE, ""),
            files=tuple(self._relative(file.file_path) for file in added),
            rows=sum(file.record_count for file in added),
        )

    def _relative(self, uri: str) -> str:
        return self.site_files.name_of(uri)


def _without(rows: pa.Table, gone: pa.Table) -> pa.Table:
    """The rows whose values in the columns of `gone` are no row of it. Arrow joins no lists: only the key is joined."""
    keys = pa.Table.from_arrays(
        [rows[name].cast(gone.schema.field(name).type) for name in gone.column_names], names=gone.column_names
    )
    numbered = keys.append_column("", pa.array(range(rows.num_rows), pa.int64()))
    left = numbered.join(gone, keys=gone.column_names, join_type="left anti")
    return rows.take(left[""].combine_chunks().sort())


def read_filter(text: str) -> BooleanExpression:
    """Raises ApplianceError APL-STORAGE-006."""
    try:
        return parse_filter(text)
    except (ParseException, ValueError) as error:
        raise ApplianceError(codes.FILTER_INVALID, str(error), where=text) from error


def _put(
    table: Table,
    added: Sequence[str],
    touched: Sequence[Any],
    summary: Mapping[str, str],
    change: Callable[[UpdateSchema, Table], None] | None,
) -> int:
    """Put the snapshot on top of the one that `table` was loaded with; gives its id."""
    with table.transaction() as transaction:
        if transaction.table_metadata.name_mapping() is None:
            mapping = transaction.table_metadata.schema().name_mapping.model_dump_json()
            transaction.set_properties(**{"schema.name-mapping.default": mapping})
        if change is not None:
            with transaction.update_schema() as columns:
                change(columns, table)
        update = transaction.update_snapshot(snapshot_properties=dict(summary))
        with update.overwrite() if touched else update.fast_append() as snapshot:
            for file in parquet_files_to_data_files(table.io, transaction.table_metadata, iter(added)):
                snapshot.append_data_file(file)
            for file in touched:
                snapshot.delete_data_file(file)
            snapshot_id = int(snapshot.snapshot_id)
    return snapshot_id


def _at(table: Table, snapshot_id: int | None) -> int | None:
    """What to scan: the head has the columns of today, also those that came without a snapshot, others their own."""
    head = table.current_snapshot()
    return None if head is not None and head.snapshot_id == snapshot_id else snapshot_id


def _merge(table: Table, summary: Mapping[str, str]) -> int:
    """Put a snapshot of the same files, listed by fewer manifests, on top; gives its id."""
    with table.transaction() as transaction:
        if not _MERGE_PROPERTIES.items() <= transaction.table_metadata.properties.items():
            transaction.set_properties(**_MERGE_PROPERTIES)
        update = transaction.update_snapshot(snapshot_properties={**summary, MERGED: "merged"})
        with update.merge_append() as snapshot:
            snapshot_id = int(snapshot.snapshot_id)
    return snapshot_id


def head_of(snapshot: Snapshot | None) -> Head:
    """Where a table stands at its newest snapshot."""
    if snapshot is None:
        return Head(snapshot_id=None, properties={})
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    properties = {key: value for key, value in summary.items() if key.startswith(PREFIX)}
    return Head(snapshot_id=snapshot.snapshot_id, properties=properties)
