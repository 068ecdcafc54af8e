"""The database that changes come from: whether it is fit, where its slot stands, and asking for a snapshot.

What must hold, each told with the statement that mends it (`objections`)
1. The database keeps a logical log: ``wal_level = logical``.
2. The user may replicate.
3. The publication is there and has every declared table, and the table of signals.
4. Every declared table is there, and the user may read it.
5. It has a primary key: without one a change names no row.
6. Its replica identity is FULL: without it an update leaves out large values that it did not touch.
7. The user may write to the table of signals, by which snapshots are asked for.
8. No column that leaves the database looks sensitive, but those that somebody has seen (`plain`). A sample of the rows
   is examined; a sensitive column is to be excluded, as Connect writes what it reads to Kafka as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pyarrow as pa
from psycopg import sql

from appliance.base.errors import ApplianceError
from appliance.ingestion.changes import codes
from appliance.ingestion.changes.declaration import Changes
from appliance.ingestion.changes.slot import Slot
from appliance.ingestion.sensitive.examination import examine
from appliance.secrets.secret import Secret

CONNECT_S = 3
SAMPLE_ROWS = 1_000


@dataclass(frozen=True, kw_only=True)
class Objection:
    """A condition that does not hold: its number in this module's list, and a statement that mends it, if one does."""

    number: int
    message: str
    statement: str = ""


class SourceDatabase:
    def __init__(self, changes: Changes, site_folder: Path, password: Secret) -> None:
        self._changes = changes
        self._password = password
        self._authority = site_folder / changes.ca_file

    def objections(self) -> tuple[Objection, ...]:
        """What does not hold of the list above.

        Raises:
            ApplianceError: APL-CHANGE-006.
        """
        changes = self._changes
        with self._connected() as database:
            found = list(self._server(database))
            published = {
                f"{schema}.{table}"
                for schema, table in database.execute(
                    "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s", (changes.publication,)
                )
            }
            for table in (*changes.tables, changes.signals):
                if table not in published:
                    statement = f"ALTER PUBLICATION {changes.publication} ADD TABLE {table};"
                    found.append(
                        Objection(
                            number=3, message=f"publication {changes.publication} lacks {table}", statement=statement
                        )
                    )
            for table in changes.tables:
                found += self._table(database, table)
            found += self._signals(database)
        return tuple(found)

    def slot(self, name: str) -> Slot:
        """Where the slot stands.

        Raises:
            ApplianceError: APL-CHANGE-006.
        """
        with self._connected() as database:
            row = database.execute(
                "SELECT s.confirmed_flush_lsn - '0/0'::pg_lsn, s.wal_status, l.lsn - '0/0'::pg_lsn,"
                " l.lsn - s.restart_lsn FROM (SELECT pg_current_wal_lsn() AS lsn) l LEFT JOIN pg_replication_slots s"
                " ON s.slot_name = %s AND s.database = current_database()",
                (name,),
            ).fetchone()
        assert row is not None, "a query without a condition"
        confirmed, status, end, held = row
        return Slot(
            confirmed_lsn=None if confirmed is None else int(confirmed),
            wal_status=status or "",
            log_end_lsn=int(end),
            held_bytes=int(held or 0),
        )

    def ask_for_snapshot(self, tables: Sequence[str], id: str) -> None:
        """Have Debezium read the tables' rows in steps between the changes; a restart goes on with the step.

        Raises:
            ApplianceError: APL-CHANGE-006.
        """
        data = msgspec.json.encode({"type": "incremental", "data-collections": list(tables)}).decode()
        with self._connected() as database:
            database.execute(
                sql.SQL("INSERT INTO {} (id, type, data) VALUES (%s, 'execute-snapshot', %s)").format(
                    _identifier(self._changes.signals)
                ),
                (id, data),
            )

    def drop_slot(self, name: str) -> bool:
        """Let the database remove the log that it keeps for a slot; False while somebody reads it.

        Raises:
            ApplianceError: APL-CHANGE-006.
        """
        with self._connected() as database, contextlib.suppress(psycopg.errors.ObjectInUse):
            database.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
            )
            return True
        return False

    def _server(self, database: psycopg.Connection[Any]) -> Iterator[Objection]:
        level = _one(database, "SHOW wal_level")
        if level != "logical":
            yield Objection(
                number=1,
                message=f"wal_level is {level}",
                statement="ALTER SYSTEM SET wal_level = logical; -- and restart",
            )
        may = _one(database, "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user")
        if not may:
            user = self._changes.user
            yield Objection(number=2, message=f"{user} may not replicate", statement=f"ALTER ROLE {user} REPLICATION;")
        if _one(database, "SELECT 1 FROM pg_publication WHERE pubname = %s", self._changes.publication) is None:
            yield Objection(
                number=3,
                message=f"there is no publication {self._changes.publication}",
                statement=f"CREATE PUBLICATION {self._changes.publication};",
            )

    def _table(self, database: psycopg.Connection[Any], table: str) -> Iterator[Objection]:
        user = self._changes.user
        row = database.execute(
            "SELECT c.relreplident, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),"
            " has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE')"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = %s",
            (table,),
        ).fetchone()
        if row is None:
            yield Objection(number=4, message=f"there is no table {table}")
            return
        identity, has_key, may_read = row
        if not has_key:
            yield Objection(number=5, message=f"{table} has no primary key")
        if identity not in ("f", b"f"):
            statement = f"ALTER TABLE {table} REPLICA IDENTITY FULL;"
            yield Objection(number=6, message=f"the replica identity of {table} is not FULL", statement=statement)
        if not may_read:
            schema = table.partition(".")[0]
            statement = f"GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT ON {table} TO {user};"
            yield Objection(number=4, message=f"{user} may not read {table}", statement=statement)
            return
        yield from self._sensitive(database, table)

    def _sensitive(self, database: psycopg.Connection[Any], table: str) -> Iterator[Objection]:
        seen = {
            column.rpartition(".")[2]
            for column in (*self._changes.excluded, *self._changes.plain)
            if column.rpartition(".")[0] == table
        }
        with database.cursor() as cursor:
            cursor.execute(sql.SQL("SELECT * FROM {} LIMIT %s").format(_identifier(table)), (SAMPLE_ROWS,))
            names = [each.name for each in cursor.description or ()]
            rows = cursor.fetchall()
        columns = {
            name: pa.array([_text(row[place]) for row in rows], pa.string())
            for place, name in enumerate(names)
            if name not in seen
        }
        for finding in examine(columns):
            yield Objection(
                number=8,
                message=f"{table}: {finding.describe()}; name {table}.{finding.column} in excluded, or in plain",
            )

    def _signals(self, database: psycopg.Connection[Any]) -> Iterator[Objection]:
        table, user = self._changes.signals, self._changes.user
        schema = table.partition(".")[0]
        there = _one(database, "SELECT to_regclass(%s)::text", table)
        if there is None:
            yield Objection(
                number=7,
                message=f"there is no table {table}",
                statement=f"CREATE SCHEMA IF NOT EXISTS {schema}; "
                f"CREATE TABLE {table} (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(8192)); "
                f"GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT, INSERT ON {table} TO {user};",
            )
        elif not _one(database, "SELECT has_table_privilege(%s, 'INSERT')", table):
            statement = f"GRANT SELECT, INSERT ON {table} TO {user};"
            yield Objection(number=7, message=f"{user} may not write to {table}", statement=statement)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        changes = self._changes
        where = f"postgresql://{changes.user}@{changes.host}:{changes.port}/{changes.database}"
        password = self._password.read(code=codes.SOURCE_UNREACHABLE)
        try:
            with psycopg.connect(
                host=changes.host,
                port=changes.port,
                user=changes.user,
                password=password,
                dbname=changes.database,
                sslmode="verify-full",
                sslrootcert=str(self._authority),
                require_auth="scram-sha-256",
                connect_timeout=CONNECT_S,
                application_name="appliance",
                autocommit=True,
            ) as connection:
                yield connection
        except psycopg.Error as error:
            raise ApplianceError(codes.SOURCE_UNREACHABLE, " ".join(str(error).split())[:300], where=where) from error


def _one(database: psycopg.Connection[Any], query: str, *values: Any) -> Any:
    row = database.execute(query, values).fetchone()
    return None if row is None else row[0]


def _identifier(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
