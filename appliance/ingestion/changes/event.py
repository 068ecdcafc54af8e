"""One record of a topic of changes: what Debezium says happened to one row. Pure.

The value is JSON of the form ``{"schema": …, "payload": …}`` with the schema in every record, so that it can be read
by itself (Debezium documentation, "PostgreSQL connector", data change events). What is read of the payload: ``op``,
``before``, ``after``, and of ``source`` the place in the database's log (``lsn``), the transaction and its time.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from appliance.base.clock import from_us
from appliance.base.errors import ApplianceError
from appliance.ingestion.changes import codes
from appliance.ingestion.changes.columns import Column, column_of

OPERATIONS = {"r": "snapshot", "c": "create", "u": "update", "d": "delete", "t": "truncate"}
# Of a large value that an update did not touch, by Debezium's default; of bytes and of lists, too.
_LEFT_OUT = "__debezium_unavailable_value"
_LEFT_OUT_FORMS = (_LEFT_OUT, base64.b64encode(_LEFT_OUT.encode()).decode(), [_LEFT_OUT])
_MALFORMED = (
    msgspec.DecodeError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    StopIteration,
    TypeError,
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happened to one row.

    Attributes:
        operation: a value of `OPERATIONS`.
        key: the values of the row's primary key, in the order of `Table.key`; empty for a truncate.
        row: column -> value of the row after it, or before a delete; empty for a truncate.
        lsn: place in the database's log; 0 in a snapshot that began before the first change.
        committed_at: when the source committed it; of a snapshot, when the row was read.
    """

    operation: str
    key: tuple[Any, ...]
    row: Mapping[str, Any]
    lsn: int
    transaction: int
    committed_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Table:
    """The source's table as a record describes it; `key` are the names of the columns of its primary key."""

    key: tuple[str, ...]
    columns: tuple[Column, ...]


class Reader:
    """Reads records of one table. What schemas say is worked out once for each that comes.

    Columns in `excluded` are passed over: they may stand in records that were written before they were excluded.
    """

    def __init__(self, excluded: Collection[str] = ()) -> None:
        self._excluded = frozenset(excluded)
        self._tables: dict[bytes, Table] = {}

    def read(self, key: bytes | None, value: bytes | None) -> tuple[Table, Change] | None:
        """The change, and the table as it was then; none for a record that tells no change of a row.

        Raises:
            ApplianceError: APL-CHANGE-008 it is no such record, APL-CHANGE-009 a column's type is not known,
                APL-CHANGE-012 a value of the row was left out.
        """
        if value is None:
            return None  # a tombstone, by which Kafka compacts a topic
        try:
            event = msgspec.json.decode(value)
            operation = OPERATIONS.get(event["payload"]["op"])
            if operation is None:
                return None  # a message of the log that is no row's
            keyed = None if key is None else msgspec.json.decode(key)
            table = self._table_of(event["schema"], None if keyed is None else keyed["schema"])
            return table, _change(operation, event["payload"], keyed, table)
        except (*_MALFORMED, ValueError) as error:
            raise ApplianceError(codes.NOT_AN_EVENT, f"{type(error).__name__}: {error}"[:300]) from error

    def _table_of(self, schema: Mapping[str, Any], key_schema: Mapping[str, Any] | None) -> Table:
        row = next(each for each in schema["fields"] if each["field"] == "after")
        mark = msgspec.json.encode([row["fields"], key_schema and key_schema["fields"]])
        if mark not in self._tables:
            self._tables[mark] = Table(
                key=() if key_schema is None else tuple(str(each["field"]) for each in key_schema["fields"]),
                columns=tuple(column_of(each) for each in row["fields"] if each["field"] not in self._excluded),
            )
        return self._tables[mark]


def _change(operation: str, payload: Mapping[str, Any], keyed: Mapping[str, Any] | None, table: Table) -> Change:
    source = payload["source"]
    row: dict[str, Any] = {}
    if operation != "truncate":
        if keyed is None:
            raise ValueError("a row without a key")
        given = payload["before" if operation == "delete" else "after"]
        if given is None and operation != "delete":
            raise ValueError("no row")
        row = _read(given or {}, table.columns)
        if operation == "delete":  # with a weaker replica identity only the key is sure to be there
            row |= _read(keyed["payload"], [each for each in table.columns if each.name in table.key])
    return Change(
        operation=operation,
        key=tuple(row[each] for each in table.key) if row else (),
        row=row,
        lsn=int(source.get("lsn") or 0),
        transaction=int(source.get("txId") or 0),
        committed_at=from_us(int(source["ts_us"])),
    )


def _read(given: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    row = {}
    for column in columns:
        value = given.get(column.name)
        if value in _LEFT_OUT_FORMS:
            raise ApplianceError(codes.OUT_OF_ORDER, f"column {column.name}")
        row[column.name] = None if value is None else column.read(value)
    return row
