"""Compiles a contract to SQL (DuckDB's) over the relation ``rows``; pure text in, text out.

Rules
1. All checks that need one pass share one query (`Plan.summary`): per check the rows in its scope, and then the rows
   that break it, or the figure that it limits. Uniqueness has a query of its own with the same two columns.
2. For every check that names rows there is a query for the keys of the first rows that break it.
3. Identifiers and texts are quoted here and nowhere else. Relations are named by position (``rows``, ``other_0``), so
   no table name reaches the text.
4. That a row breaks a check is one condition (`_breaks`), whatever asks for it: a count over a snapshot, a sample, or
   the sink that must know which rows to refuse (`first_broken`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.base.duration import duration_us
from appliance.ingestion.gates.contract import (
    Check,
    Codes,
    Complete,
    Contract,
    Fresh,
    Range,
    Refers,
    RowCheck,
    Rows,
    Statistic,
    Unique,
)

SAMPLE_ROWS = 20
ARRIVED_AT = "arrived_at"  # of a row on its way through a sink: its clock
ROW_NUMBER = "row number"  # column that `first_broken` names rows by
_FIGURES = {
    "mean": "avg({})",
    "stddev": "stddev_samp({})",
    "median": "median({})",
    "p01": "quantile_cont({}, 0.01)",
    "p05": "quantile_cont({}, 0.05)",
    "p95": "quantile_cont({}, 0.95)",
    "p99": "quantile_cont({}, 0.99)",
    "distinct": "count(DISTINCT {})",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """What SQL needs to know of a column: is it a text, a number (and a floating one), a time, or else its type."""

    text: bool = False
    number: bool = False
    floating: bool = False
    time: bool = False
    type: str = ""

    def compares_with(self, other: Column) -> bool:
        """Whether values of both can be equal without a conversion that may fail."""
        return (self.text, self.number, self.time, self.type) == (other.text, other.number, other.time, other.type)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One check as queries.

    Attributes:
        measure: gives (rows in scope, rows that break it or the figure); empty when `Plan.summary` has both.
        sample: gives keys of rows that break it; empty for a check of a figure.
        breaks: condition: the row is in scope and breaks the check (null is no); empty where no single row does.
        unfit: why there are no queries: a column is missing, or of a type that the check cannot judge.
    """

    check: Check
    measure: str = ""
    sample: str = ""
    breaks: str = ""
    unfit: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The queries of a contract.

    Attributes:
        summary: two columns for each check in `in_summary`, in that order; empty when there is none.
    """

    asked: tuple[Asked, ...]
    in_summary: tuple[str, ...]
    summary: str


Columns = Mapping[str, Column]


def compile_contract(
    contract: Contract, columns: Columns, others: Mapping[str, Columns], *, now_us: int | None
) -> Plan:
    """Queries for a table with `columns`.

    Args:
        others: columns of the tables that are referred to, of those that there are and that have rows.
        now_us: the clock that ``over.last`` is counted from, microseconds since 1970; None: each row's own arrival.
    """
    over = ""
    if contract.over is not None:
        now = f"epoch_us({identifier(ARRIVED_AT)})" if now_us is None else str(now_us)
        over = f"epoch_us({identifier(contract.over.column)}) >= {now} - {duration_us(contract.over.last)}"
    numbered = tables_referred_to(contract.checks)
    asked, summary, in_summary = [], [], []
    for check in contract.checks:
        unfit = _unfit(contract, check, columns) or _unfit_other(check, columns, others)
        if unfit:
            asked.append(Asked(check=check, unfit=unfit))
            continue
        scope = " AND ".join(each for each in (over, *_conditions(check.where)) if each) or "true"
        keys = [name for name in contract.keys if name in columns] or _columns_of(check)
        one = _ask(check, scope, keys, columns, numbered)
        asked.append(one)
        if not one.measure:
            in_summary.append(check.id)
            counted = f"count(*) FILTER (WHERE {scope}{_has_value(check)})"
            broken = f"count(*) FILTER (WHERE {one.breaks})" if one.breaks else _figure(check, scope, columns)
            summary += [counted, broken]
    text = _select(", ".join(summary), "rows") if summary else ""
    return Plan(asked=tuple(asked), in_summary=tuple(in_summary), summary=text)


def tables_referred_to(checks: Sequence[Check]) -> tuple[str, ...]:
    """The n-th is the relation ``other_<n>``."""
    return tuple(sorted({each.table for each in checks if isinstance(each, Refers)}))


def columns_needed(contract: Contract) -> set[str]:
    """Columns of ``rows`` that a plan may name."""
    of_checks = {name for check in contract.checks for name in (*_columns_of(check), *check.where)}
    return of_checks | set(contract.keys) | ({contract.over.column} if contract.over else set())


def first_broken(asked: Sequence[Asked]) -> str:
    """Query for the rows that break any of the checks: `ROW_NUMBER`, and the place in `asked` of the first one."""
    cases = " ".join(f"WHEN {each.breaks} THEN {place}" for place, each in enumerate(asked))
    number = identifier(ROW_NUMBER)
    found = f"({_select(f'{number}, CASE {cases} END AS place', 'rows')})"
    return _select(f"{number}, place", f"{found} WHERE place IS NOT NULL")


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _unfit(contract: Contract, check: Check, columns: Columns) -> str:
    times = [contract.over.column] if contract.over else []
    needed = [*_columns_of(check), *check.where, *times]
    missing = [name for name in dict.fromkeys(needed) if name not in columns]
    if missing:
        return f"no column {', '.join(missing)}"
    if isinstance(check, Fresh):
        times.append(check.column)
    numbers = (
        [check.column] if isinstance(check, Range) or (isinstance(check, Statistic) and check.of != "distinct") else []
    )
    wrong = [f"{name} is no time" for name in times if not columns[name].time]
    wrong += [f"{name} is no number" for name in numbers if not columns[name].number]
    return ", ".join(wrong)


def _unfit_other(check: Check, columns: Columns, others: Mapping[str, Columns]) -> str:
    if not isinstance(check, Refers):
        return ""
    there = others.get(check.table)
    if there is None:
        return f"no table {check.table}, or no row in it"
    missing = [name for name in check.to if name not in there]
    if missing:
        return f"no column {', '.join(missing)} in {check.table}"
    pairs = zip(check.columns, check.to, strict=True)
    wrong = [f"{name} is no {to} of {check.table}" for name, to in pairs if not columns[name].compares_with(there[to])]
    return ", ".join(wrong)


def _ask(check: Check, scope: str, keys: Sequence[str], columns: Columns, others: Sequence[str]) -> Asked:
    listed = ", ".join(map(identifier, keys))
    match check:
        case Unique():
            group = ", ".join(map(identifier, check.columns))
            groups = f"({_select(f'{group}, count(*) AS n', f'rows WHERE {scope} GROUP BY {group}')})"
            return Asked(
                check=check,
                measure=_select("coalesce(sum(n), 0), coalesce(sum(n - 1), 0)", groups),
                sample=_select(f"{group}, n AS rows", f"{groups} WHERE n > 1 LIMIT {SAMPLE_ROWS}"),
            )
        case Complete() | Refers() | Range() | Codes():
            breaks = f"({scope} AND {_breaks(check, columns, others)})"
            return Asked(check=check, sample=_select(listed, f"rows WHERE {breaks} LIMIT {SAMPLE_ROWS}"), breaks=breaks)
        case _:
            return Asked(check=check)


def _select(what: str, source: str) -> str:
    return f"SELECT {what} FROM {source}"  # noqa: S608 - names and texts in it come from `identifier` and `literal`


def _figure(check: Check, scope: str, columns: Columns) -> str:
    match check:
        case Fresh():
            return f"max(epoch_us({identifier(check.column)})) FILTER (WHERE {scope})"
        case Statistic():
            name = identifier(check.column)
            finite = f" AND isfinite({name})" if columns[check.column].floating else ""
            return f"{_FIGURES[check.of].format(name)} FILTER (WHERE {scope} AND {name} IS NOT NULL{finite})"
        case _:
            return f"count(*) FILTER (WHERE {scope})"


def _breaks(check: RowCheck, columns: Columns, others: Sequence[str]) -> str:
    """True for a row that breaks the check, never null."""
    match check:
        case Refers():
            same = " AND ".join(
                f"o.{identifier(to)} = rows.{identifier(name)}"
                for name, to in zip(check.columns, check.to, strict=True)
            )
            found = _select("1", f"other_{others.index(check.table)} o WHERE {same}")
            return f"({_all_there(check)} AND NOT EXISTS ({found}))"
        case Complete():
            return "(" + " OR ".join(_is_missing(name, columns[name]) for name in check.columns) + ")"
        case Range():
            name = identifier(check.column)
            sides = [f"isnan({name})"] if columns[check.column].floating else []
            sides += [f"{name} < {check.minimum!r}"] if check.minimum is not None else []
            sides += [f"{name} > {check.maximum!r}"] if check.maximum is not None else []
            return f"({name} IS NOT NULL AND ({' OR '.join(sides)}))"
        case Codes():
            name = identifier(check.column)
            allowed = ", ".join(map(literal, check.allowed))
            return f"({name} IS NOT NULL AND CAST({name} AS VARCHAR) NOT IN ({allowed}))"


def _all_there(check: Refers) -> str:
    return " AND ".join(f"{identifier(name)} IS NOT NULL" for name in check.columns)


def _is_missing(name: str, column: Column) -> str:
    quoted = identifier(name)
    if column.text:
        return f"({quoted} IS NULL OR {quoted} = '')"
    if column.floating:
        return f"({quoted} IS NULL OR isnan({quoted}))"
    return f"{quoted} IS NULL"


def _has_value(check: Check) -> str:
    # Checks of values judge rows that have one; whether all must have one is for `complete` to say.
    match check:
        case Refers():
            return f" AND {_all_there(check)}"
        case Range() | Codes() | Statistic() | Fresh():
            return f" AND {identifier(check.column)} IS NOT NULL"
        case _:
            return ""


def _conditions(where: Mapping[str, str | list[str]]) -> list[str]:
    found = []
    for name, wanted in where.items():
        values = [wanted] if isinstance(wanted, str) else wanted
        found.append(f"CAST({identifier(name)} AS VARCHAR) IN ({', '.join(map(literal, values))})")
    return found


def _columns_of(check: Check) -> Sequence[str]:
    match check:
        case Complete() | Unique() | Refers():
            return check.columns
        case Fresh() | Range() | Codes() | Statistic():
            return [check.column]
        case Rows():
            return []
