"""Changing the columns of a table without rewriting its data: by a declaration with stable ids.

``declarations/tables/TABLE.toml`` holds every column the table shall have::

    [[column]]
    id = 3                      # a column is its id; `appliance schema columns TABLE` shows those that there are
    name = "oil_temperature"
    type = "double"
    required = false            # the default

Rules
1. Accepted: a column added (optional, of a plain type, with the next free id), a type widened (`WIDER`, a decimal's
   precision), a name changed, a required column made optional. All else is refused before anything changes, with all
   reasons at once.
2. A name that another column has or had is not given again: files written before hold no ids and are read by their
   names, so that the old values would appear under the new column.
3. All changes are one commit, by compare-and-swap. A schema change alone makes no snapshot in Iceberg, so one without
   rows comes with it: it carries the table's properties (and with them its position map) and names the change in a
   lineage document.
4. A column that others read by name from old files (a feature view) keeps name and type.
5. Tables that the product's own code reads and writes by name are not changed here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from pyiceberg.table import Table
from pyiceberg.types import IcebergType, NestedField, PrimitiveType

from appliance.base.errors import ApplianceError
from appliance.config.declarations import load_toml
from appliance.storage import codes, names
from appliance.storage.former_names import known_names
from appliance.storage.tables import Commit, Lake

WIDER = {("int", "long"), ("float", "double")}
PLAIN = ("boolean", "int", "long", "float", "double", "string", "binary", "date", "timestamptz")
_DECIMAL = re.compile(r"decimal\((\d{1,2}), (\d{1,2})\)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column as it is declared; `type` is Iceberg's name of it."""

    id: int
    name: str
    type: str
    required: bool = False


class _Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    column: list[Column]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one column; `was` and `is_now` are what changes: a type, a name, or empty for a new column."""

    kind: Literal["add", "widen", "rename", "make optional"]
    id: int
    column: str
    was: str
    is_now: str


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """What was changed; `commit` is None where nothing was to change."""

    table: str
    changes: tuple[Change, ...]
    commit: Commit | None


def load_columns(path: Path) -> tuple[Column, ...]:
    """Raises ApplianceError APL-STORAGE-031, naming file and key."""
    return tuple(load_toml(path, _Declaration, code=codes.COLUMNS_INVALID).column)


def columns_of(lake: Lake, name: str) -> tuple[Column, ...]:
    """The columns that the table has, in its order.

    Raises:
        ApplianceError: APL-STORAGE-002.
    """
    return tuple(_column(field) for field in lake.table(name).schema().fields)


def plan(
    current: Sequence[Column],
    declared: Sequence[Column],
    *,
    known: Mapping[str, int],
    last_id: int,
    fixed: Collection[str] = (),
) -> tuple[Change, ...]:
    """The changes that make `declared` of `current`. Pure.

    Args:
        known: each name that a column has or had -> its id.
        last_id: the highest id that the table ever gave, nested ones included.
        fixed: columns that keep name and type.

    Raises:
        ApplianceError: APL-STORAGE-030, with all reasons.
    """
    before = {each.id: each for each in current}
    reasons = _malformed(declared)
    ids = {each.id for each in declared}
    reasons += [
        f"column {each.name} (id {each.id}) is left out; columns are not removed"
        for each in current
        if each.id not in ids
    ]
    changes: list[Change] = []
    for column in declared:
        if known.get(column.name, column.id) != column.id:
            reasons.append(
                f"the name {column.name} belongs or belonged to column {known[column.name]}, not to {column.id}"
            )
        old = before.get(column.id)
        if old is None:
            added = sum(each.kind == "add" for each in changes)
            reasons += _not_addable(column, last_id=last_id, expected=last_id + 1 + added)
            changes.append(Change(kind="add", id=column.id, column=column.name, was="", is_now=column.type))
            continue
        if old.name in fixed and (column.name, column.type) != (old.name, old.type):
            reasons.append(f"column {old.name} keeps name and type: a feature view reads it from old files")
        if column.type != old.type:
            if not _widens(old.type, column.type):
                reasons.append(f"column {column.name}: {old.type} cannot become {column.type}")
            changes.append(Change(kind="widen", id=column.id, column=old.name, was=old.type, is_now=column.type))
        if column.required and not old.required:
            reasons.append(f"column {column.name} cannot be required: rows without it may be there")
        if old.required and not column.required:
            changes.append(
                Change(kind="make optional", id=column.id, column=old.name, was="required", is_now="optional")
            )
        if column.name != old.name:
            changes.append(Change(kind="rename", id=column.id, column=old.name, was=old.name, is_now=column.name))
    if reasons:
        raise ApplianceError(codes.COLUMNS_REFUSED, "; ".join(reasons))
    return tuple(changes)


def plan_for(lake: Lake, name: str, declared: Sequence[Column], *, fixed: Collection[str] = ()) -> tuple[Change, ...]:
    """See `plan`. Raises also APL-STORAGE-002 and 032 (the product's own table)."""
    return _plan_on(lake.table(name), name, declared, fixed)


def evolve(lake: Lake, name: str, declared: Sequence[Column], *, fixed: Collection[str] = ()) -> Evolution:
    """Make the table's columns those that are declared.

    Raises:
        CommitLost: APL-STORAGE-001, another commit came first; nothing was changed.
        ApplianceError: see `plan_for`.
    """
    expected = lake.head(name)
    changes = plan_for(lake, name, declared, fixed=fixed)
    if not changes:
        return Evolution(table=name, changes=(), commit=None)

    def apply(update: Any, table: Table) -> None:
        # Again, on the table that the change is committed on: it may have got a column since.
        for change in _plan_on(table, name, declared, fixed):
            column = next(each for each in declared if each.id == change.id)
            if change.kind == "add":
                update.add_column(column.name, _type(column.type))
            elif change.kind == "widen":
                update.update_column(change.column, field_type=_type(column.type))
            elif change.kind == "make optional":
                update.make_column_optional(change.column)
            else:  # the last of a column's changes: those before name it as it was
                update.rename_column(change.column, column.name)

    facts = {"columns": [f"{each.id} {each.column}: {each.kind} {each.was} -> {each.is_now}" for each in changes]}
    return Evolution(table=name, changes=changes, commit=lake.evolve(name, apply, expected=expected, facts=facts))


def _plan_on(table: Table, name: str, declared: Sequence[Column], fixed: Collection[str]) -> tuple[Change, ...]:
    if name in names.OWN:
        raise ApplianceError(codes.COLUMNS_FIXED, f"{name} is written and read by the product, by name")
    current = [_column(field) for field in table.schema().fields]
    try:
        return plan(current, declared, known=known_names(table), last_id=table.metadata.last_column_id, fixed=fixed)
    except ApplianceError as error:
        raise ApplianceError(error.code, error.message, where=name) from error


def _malformed(declared: Sequence[Column]) -> list[str]:
    reasons = [f"{each.name!r} is not a name of a column" for each in declared if not _NAME.fullmatch(each.name)]
    ids, columns = Counter(each.id for each in declared), Counter(each.name.lower() for each in declared)
    reasons += [f"the id {each} is declared twice" for each, count in ids.items() if count > 1]
    reasons += [f"the name {each} is declared twice" for each, count in columns.items() if count > 1]
    return reasons


def _not_addable(column: Column, *, last_id: int, expected: int) -> list[str]:
    reasons = []
    if column.id <= last_id:
        reasons.append(f"column {column.name}: the id {column.id} was given before; the next free one is {expected}")
    elif column.id != expected:
        reasons.append(f"column {column.name}: expected the id {expected}, got {column.id}")
    if column.required:
        reasons.append(f"column {column.name} is new and cannot be required: older rows lack it")
    if column.type not in PLAIN and not _is_decimal(column.type):
        reasons.append(
            f"column {column.name}: expected one of {', '.join(PLAIN)} or decimal(P, S), got {column.type!r}"
        )
    return reasons


def _is_decimal(type: str) -> bool:
    found = _DECIMAL.fullmatch(type)
    return found is not None and 0 < int(found[1]) <= 38 and int(found[2]) <= int(found[1])


def _widens(old: str, new: str) -> bool:
    before, after = _DECIMAL.fullmatch(old), _DECIMAL.fullmatch(new)
    if before and after and _is_decimal(new):
        return before[2] == after[2] and int(before[1]) < int(after[1])
    return (old, new) in WIDER


def _column(field: NestedField) -> Column:
    return Column(id=field.field_id, name=field.name, type=str(field.field_type), required=field.required)


def _type(type: str) -> IcebergType:
    found: IcebergType = PrimitiveType.model_validate(type.replace(", ", ","))
    return found
