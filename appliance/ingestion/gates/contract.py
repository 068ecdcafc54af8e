"""Table contracts: what must hold of a table before a stage takes it.

``declarations/contracts/NAME.yaml``::

    table: silver.readings
    version: 3
    owner: data-engineering
    description: What features are computed from.
    keys: [source, position, record, index]        # how a row is named in a finding
    over: {column: arrived_at, last: 30d}          # optional: only rows that are not older, by the clock of the run
    checks:
      - {id: devices, kind: complete, columns: [device_id, measure]}
      - {id: arrives, kind: fresh, column: arrived_at, within: 2h}
      - {id: once, kind: unique, columns: [device_id, measure, event_time]}
      - {id: known, kind: refers, columns: [device_id], table: reference.devices, to: [device_id]}
      - {id: oil, kind: range, where: {measure: top_oil}, column: value, minimum: -40, maximum: 180, in_sink: true}
      - {id: oil-mean, kind: statistic, where: {measure: top_oil}, column: value, of: mean, minimum: 20, maximum: 90}
      - {id: quality, kind: codes, column: quality, allowed: [good, estimated], minimum_percent: 99.5}
      - {id: enough, kind: rows, minimum: 1000}

Rules
1. One contract for a table, one id for a check. A contract is declaration: reading it touches no table.
2. A check of severity ``stop`` (the default) that fails stops the stage; ``warn`` is told and kept.
3. A check that could not be judged - no rows, no such column or table, no row in a table that it refers to - is
   *skipped*, and that stops the stage whatever its severity: a gate that looks at nothing must not look open.
   ``may_be_empty`` says that no rows are fine.
4. Missing means null, an empty text, or NaN.
5. ``in_sink: true`` judges each reading before it is accepted, too: one that breaks the check goes to quarantine. It is
   for checks of single rows (``complete``, ``refers``, ``range``, ``codes``) of ``silver.readings`` that every row must
   hold: a share of rows or a warning would refuse nothing. `Contract.in_sink` is what a sink judges by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from appliance.base.digest import digest_json
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.config.codes import DECLARATION_INVALID
from appliance.config.declarations import load_yaml
from appliance.storage import names

Id = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z")]
Names = Annotated[list[str], Meta(min_length=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Severity = Literal["stop", "warn"]
Stage = Literal["snapshot", "sink"]
"""Where a check is judged: over a table between stages, or as readings come in."""


class _Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    id: Id
    description: str = ""
    severity: Severity = "stop"
    where: dict[str, str | list[str]] = msgspec.field(default_factory=dict)
    may_be_empty: bool = False
    in_sink: bool = False


class Complete(_Check, frozen=True, tag="complete"):
    """At least so many percent of rows have all `columns`."""

    columns: Names
    minimum_percent: Percent = 100.0


class Fresh(_Check, frozen=True, tag="fresh"):
    """The newest time in `column` is at most `within` old."""

    column: str
    within: str


class Unique(_Check, frozen=True, tag="unique"):
    """No two rows agree in all `columns`."""

    columns: Names


class Refers(_Check, frozen=True, tag="refers"):
    """Each row's `columns` stand in the columns `to` of another table; rows where one of them is null do not count."""

    columns: Names
    table: str
    to: Names


class Range(_Check, frozen=True, tag="range"):
    """At least so many percent of rows that have a value have one in [minimum, maximum]; NaN is outside."""

    column: str
    minimum: float | None = None
    maximum: float | None = None
    minimum_percent: Percent = 100.0


class Codes(_Check, frozen=True, tag="codes"):
    """At least so many percent of rows that have a value have an allowed one."""

    column: str
    allowed: Names
    minimum_percent: Percent = 100.0


class Statistic(_Check, frozen=True, tag="statistic"):
    """A figure over the finite values of `column` lies in [minimum, maximum]."""

    column: str
    of: Literal["mean", "stddev", "median", "p01", "p05", "p95", "p99", "distinct"]
    minimum: float | None = None
    maximum: float | None = None


class Rows(_Check, frozen=True, tag="rows"):
    """So many rows there are."""

    minimum: int | None = None
    maximum: int | None = None


Check = Complete | Fresh | Unique | Refers | Range | Codes | Statistic | Rows
RowCheck = Complete | Refers | Range | Codes
"""Checks that a single row holds or breaks."""


class Over(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows whose time in `column` is at most `last` before the clock."""

    column: str
    last: str


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    table: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\Z")]
    version: Annotated[int, Meta(ge=1)]
    owner: str
    checks: Annotated[list[Check], Meta(min_length=1)]
    description: str = ""
    keys: list[str] = msgspec.field(default_factory=list)
    over: Over | None = None

    @property
    def digest(self) -> str:
        """Identity of what is asked; stands with each result, and in the document of each commit that a sink makes."""
        asked = msgspec.to_builtins(self)
        for each in asked["checks"]:
            if not each["in_sink"]:
                del each["in_sink"]  # a contract from before there was such a thing keeps its identity
        return digest_json(_plain(asked))

    @property
    def in_sink(self) -> tuple[RowCheck, ...]:
        """The checks that a sink judges, in the order of the file."""
        return tuple(each for each in self.checks if isinstance(each, RowCheck) and each.in_sink)

    def judged(self) -> Iterator[tuple[Check, Stage]]:
        """Each check with each place where it is judged."""
        for each in self.checks:
            if each in self.in_sink:
                yield each, "sink"
            yield each, "snapshot"


def load_contracts(folder: Path) -> tuple[Contract, ...]:
    """All contracts under ``declarations/contracts``, by table; none when the folder is missing.

    Raises:
        ApplianceError: APL-CONFIG-004, naming file and key.
    """
    found: dict[str, Contract] = {}
    for path in sorted(folder.glob("*.yaml")):
        contract = load_yaml(path, Contract)
        _check(contract, str(path))
        if contract.table in found:
            raise ApplianceError(DECLARATION_INVALID, f"{contract.table} has two contracts", where=str(path))
        found[contract.table] = contract
    return tuple(found[name] for name in sorted(found))


def _check(contract: Contract, where: str) -> None:
    ids = [each.id for each in contract.checks]
    if len(set(ids)) != len(ids):
        raise ApplianceError(DECLARATION_INVALID, "two checks have the same id", where=where)
    try:
        if contract.over:
            duration_us(contract.over.last)
        for each in contract.checks:
            _check_one(each)
            if each.in_sink:
                _check_in_sink(contract, each)
    except (ApplianceError, ValueError) as error:
        raise ApplianceError(DECLARATION_INVALID, str(error), where=where) from error


def _check_one(check: Check) -> None:
    match check:
        case Fresh():
            duration_us(check.within)
        case Refers() if len(check.columns) != len(check.to):
            raise ValueError(f"{check.id}: {len(check.columns)} columns refer to {len(check.to)}")
        case Range() | Statistic() | Rows():
            low, high = check.minimum, check.maximum
            if low is None and high is None:
                raise ValueError(f"{check.id}: neither a minimum nor a maximum")
            if low is not None and high is not None and low > high:
                raise ValueError(f"{check.id}: the minimum {low} is above the maximum {high}")
        case _:
            pass


def _check_in_sink(contract: Contract, check: Check) -> None:
    reason = _unfit_for_sink(contract, check)
    if reason:
        raise ValueError(f"{check.id}: in_sink {reason}")


def _unfit_for_sink(contract: Contract, check: Check) -> str:
    if contract.table != names.READINGS:
        return f"is for {names.READINGS}, whose rows come through the sink"
    if not isinstance(check, RowCheck):
        return "is for checks of single rows; this kind needs the whole table"
    if check.severity != "stop":
        return f"refuses rows, severity {check.severity} refuses none"
    if isinstance(check, Refers):
        return "cannot refer to the table that the rows go to" if check.table == contract.table else ""
    return "judges each row alone, minimum_percent must be 100" if check.minimum_percent < 100 else ""


def _plain(value: Any) -> Any:
    # Canonical JSON has no floats: numbers are written as their shortest text.
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value
