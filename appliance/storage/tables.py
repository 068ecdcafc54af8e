"""The lake: Iceberg tables in a folder, changed only by compare-and-swap.

Rules
1. A commit names the head that it was made on (`Head`); when the table has another one, nothing is written to it and
   the caller gets `CommitLost`. pyiceberg's own retry is off on every table (``commit.retry.num-retries`` = 0): it
   appends the loser's rows on the new base with the loser's old properties.
2. Properties whose key begins with ``appliance.`` live in the snapshot summary, are carried from snapshot to
   snapshot, and are changed only by the caller that sets them.
3. Order of a commit: Parquet file, lineage document, snapshot. A crash leaves files and documents that nothing points
   to. The document names the table's previous commit among its inputs, so that history outlives expired snapshots.
4. Data files are never rewritten and never removed; `replace` writes new ones, and verifiers still find the old.
5. Every data file is written by this module, from the caller's rows, with its digest in the lineage document.

Not here: expiry (`storage.upkeep`), and what rows mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy.exc
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.expressions import BooleanExpression
from pyiceberg.expressions.parser import parse as parse_filter
from pyiceberg.expressions.visitors import bind
from pyiceberg.io.pyarrow import expression_to_pyarrow, parquet_files_to_data_files
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyparsing import ParseException

from appliance.base import atomic
from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import FileRecord
from appliance.storage import codes
from appliance.storage.columns import arrow_schema, fitted
from appliance.storage.durable_io import local_path

PREFIX = "appliance."  # of the snapshot properties that are ours
LINEAGE = "appliance.lineage"
ROW_GROUP_ROWS = 1 << 20
TABLE_PROPERTIES = {
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
}


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
    """All tables of a site."""

    def __init__(self, folder: Path, site_folder: Path, lineage: LineageWriter) -> None:
        self._folder = folder
        self._site_folder = site_folder
        self._lineage = lineage
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._catalog = SqlCatalog(
                "site",
                uri=f"sqlite:///{folder / 'catalog.db'}",
                warehouse=f"file://{folder}",
                **{"py-io-impl": "appliance.storage.durable_io.DurableIO"},
            )
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _catalog_failed(error, folder) from error

    def ensure(self, name: str, schema: pa.Schema) -> None:
        """Create the namespace and the table where missing; add columns that the table does not have."""
        namespace = name.partition(".")[0]
        try:
            if not self._catalog.table_exists(name):
                self._catalog.create_namespace_if_not_exists(namespace)
                location = f"file://{self._folder / namespace / name.partition('.')[2]}"
                self._catalog.create_table(name, schema, location=location, properties=TABLE_PROPERTIES)
                return
        except TableAlreadyExistsError:
            pass  # made by another process in between
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _catalog_failed(error, self._folder) from error
        table = self.table(name)
        if any(field.name not in table.schema().column_names for field in schema):
            with table.update_schema() as update:
                update.union_by_name(schema)

    def head(self, name: str) -> Head:
        return _head(self.table(name).current_snapshot())

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
        touched = [task.file for task in table.scan(row_filter=condition).plan_files()]
        matches = expression_to_pyarrow(bind(table.schema(), condition, case_sensitive=True))
        schema = arrow_schema(table.schema())
        kept = [fitted(rows, schema).cast(schema) if rows.num_rows else schema.empty_table()]
        removed = 0
        for file in touched:
            old = pq.read_table(local_path(file.file_path)).cast(schema)
            going = old.filter(matches).num_rows
            removed += going
            kept.append(old.filter(~matches.is_valid() | ~matches) if going else old)
        return self._commit(
            table, name, pa.concat_tables(kept), touched, expected, properties, inputs, {**facts, "removed": removed}
        )

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
            found = table.scan(selected_fields=selected, snapshot_id=snapshot_id, limit=limit, **condition).to_arrow()
        except ValueError as error:
            raise ApplianceError(codes.FILTER_INVALID, f"{name}: {error}", where=where) from error
        schema = arrow_schema(table.schema())
        return found.cast(pa.schema([pa.field(each, schema.field(each).type) for each in found.column_names]))

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
        try:
            found = [
                ".".join(identifier)
                for namespace in self._catalog.list_namespaces()
                for identifier in self._catalog.list_tables(namespace)
            ]
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _catalog_failed(error, self._folder) from error
        return tuple(sorted(found))

    def schema(self, name: str) -> pa.Schema:
        return arrow_schema(self.table(name).schema())

    def table(self, name: str) -> Table:
        """The Iceberg table, for `storage.upkeep` and engines that read Iceberg themselves."""
        try:
            return self._catalog.load_table(name)
        except NoSuchTableError as error:
            raise ApplianceError(codes.TABLE_MISSING, f"no table {name!r}", where=str(self._folder)) from error
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _catalog_failed(error, self._folder) from error

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
        before = [expected.properties[LINEAGE]] if LINEAGE in expected.properties else []
        lineage_id = self._lineage.write(
            kind="commit",
            name=name,
            files=files,
            inputs=[*before, *inputs],
            facts={**facts, "rows": rows.num_rows, "parent": str(expected.snapshot_id or "")},
        )
        summary = {**expected.properties, **properties, LINEAGE: lineage_id}
        try:
            snapshot_id = _swap(table, [f"file://{self._site_folder / file.path}" for file in files], touched, summary)
        except CommitFailedException as error:
            raise CommitLost(codes.COMMIT_LOST, f"{name}: {error}") from error
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _catalog_failed(error, self._folder) from error
        return Commit(
            table=name,
            snapshot_id=snapshot_id,
            lineage_id=lineage_id,
            files=tuple(file.path for file in files),
            rows=rows.num_rows,
        )

    def _write_file(self, table: Table, name: str, rows: pa.Table, expected: Head) -> FileRecord:
        # The name holds the parent snapshot: a retry after a crash writes the same file again, and two commits
        # of equal rows still have two files.
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
        folder = local_path(table.location()) / "data"
        path = folder / f"{expected.snapshot_id or 0:020d}-{hex_of(digest)[:16]}.parquet"
        with atomic.open_atomic(path, mode=0o444) as file:
            file.write(view)
        return FileRecord(path=path.relative_to(self._site_folder).as_posix(), digest=digest, size=len(view))

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
            lineage_id=_head(snapshot).properties.get(LINEAGE, ""),
            files=tuple(self._relative(file.file_path) for file in added),
            rows=sum(file.record_count for file in added),
        )

    def _relative(self, uri: str) -> str:
        return local_path(uri).relative_to(self._site_folder).as_posix()


def read_filter(text: str) -> BooleanExpression:
    """Raises ApplianceError APL-STORAGE-006."""
    try:
        return parse_filter(text)
    except (ParseException, ValueError) as error:
        raise ApplianceError(codes.FILTER_INVALID, str(error), where=text) from error


def _swap(table: Table, added: Sequence[str], touched: Sequence[Any], summary: Mapping[str, str]) -> int:
    """Put the snapshot on top of the one that `table` was loaded with; gives its id."""
    with table.transaction() as transaction:
        if transaction.table_metadata.name_mapping() is None:
            mapping = transaction.table_metadata.schema().name_mapping.model_dump_json()
            transaction.set_properties(**{"schema.name-mapping.default": mapping})
        update = transaction.update_snapshot(snapshot_properties=dict(summary))
        with update.overwrite() if touched else update.fast_append() as snapshot:
            for file in parquet_files_to_data_files(table.io, transaction.table_metadata, iter(added)):
                snapshot.append_data_file(file)
            for file in touched:
                snapshot.delete_data_file(file)
            snapshot_id = int(snapshot.snapshot_id)
    return snapshot_id


def _head(snapshot: Snapshot | None) -> Head:
    if snapshot is None:
        return Head(snapshot_id=None, properties={})
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    properties = {key: value for key, value in summary.items() if key.startswith(PREFIX)}
    return Head(snapshot_id=snapshot.snapshot_id, properties=properties)


def _catalog_failed(error: Exception, folder: Path) -> ApplianceError:
    return ApplianceError(codes.CATALOG_FAILED, str(error).splitlines()[0], where=str(folder / "catalog.db"))
