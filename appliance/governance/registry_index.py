"""The registry's database: an index of the signed moves for people and programs that read SQL. SQLite, WAL.

Rules
1. Nothing is decided by it. It follows the log (`compare`), one transaction at a time.
2. A row remembers the log index of the newest move that it took in. A newer move in the log updates the row; a row
   that differs without a newer move was changed by hand and is reported, not repaired: APL-MODEL-013.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.governance import codes

BUSY_TIMEOUT_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    name TEXT NOT NULL, version INTEGER NOT NULL, artifact_id TEXT NOT NULL, package TEXT NOT NULL,
    stage TEXT NOT NULL, registrar TEXT NOT NULL, registered_at TEXT NOT NULL, statement TEXT NOT NULL,
    approval TEXT, move INTEGER NOT NULL,
    PRIMARY KEY (name, version), UNIQUE (name, artifact_id)
) STRICT
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One version; `move` is the log index of its newest move."""

    name: str
    version: int
    artifact_id: str
    package: str
    stage: str
    registrar: str
    registered_at: str
    statement: str
    approval: str | None
    move: int


COLUMNS = tuple(field.name for field in fields(Row))


class RegistryIndex:
    def __init__(self, path: Path) -> None:
        self._path = path

    def compare(self, expected: Sequence[Row]) -> None:
        """Take in newer moves, and compare everything else.

        Raises:
            ApplianceError: APL-MODEL-013 a row was changed by hand, APL-MODEL-014 the database cannot be used.
        """
        with self._connected() as connection:
            found = {(row.name, row.version): row for row in self._rows(connection)}
            newer = []
            for row in expected:
                kept = found.pop((row.name, row.version), None)
                if kept is None or kept.move < row.move:
                    newer.append(row)
                elif kept != row:
                    raise self._altered(kept, row)
            for kept in found.values():
                raise self._altered(kept, None)
            if newer:
                marks = ", ".join("?" * len(COLUMNS))
                connection.executemany(
                    f"INSERT OR REPLACE INTO versions ({', '.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608  constants
                    [astuple(row) for row in newer],
                )

    @staticmethod
    def _rows(connection: sqlite3.Connection) -> list[Row]:
        found = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM versions")  # noqa: S608  constants
        return [Row(**dict(zip(COLUMNS, values, strict=True))) for values in found]

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(_SCHEMA)
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    yield connection
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise ApplianceError(codes.REGISTRY_UNWRITABLE, str(error), where=str(self._path)) from error

    def _altered(self, kept: Row, expected: Row | None) -> ApplianceError:
        what = f"{kept.name}/{kept.version}"
        if expected is None:
            return ApplianceError(
                codes.REGISTRY_ALTERED, f"the log has no {what}, the database has", where=str(self._path)
            )
        name = next(name for name in COLUMNS if getattr(kept, name) != getattr(expected, name))
        return ApplianceError(
            codes.REGISTRY_ALTERED,
            f"{what}: the log says {name} {getattr(expected, name)}, the database {getattr(kept, name)}",
            where=str(self._path),
        )
