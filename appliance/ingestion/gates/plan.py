"""Compiles a contract to SQL (DuckDB's) over the relation ``rows``; pure text in, text out.

Rules
1. All checks that need one pass share one query (`Plan.summary`): per check the rows in its scope, and then the rows
   that break it, or the figure that it limits. Uniqueness and references have a query each with the same two columns.
2. For every check that names rows there is a query for the keys of the first rows that break it.
3. Identifiers and texts are quoted here and nowhere else. Relations are named by position (``rows``, ``other_0``), so
   no table name reaches the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.ingestion.gates.contract import (
    Check,
    Codes,
    Complete,
    Contract,
    Fresh,
    Range,
    Refers,
    Rows,
    Statistic,
    Unique,
)

SAMPLE_ROWS = 20
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
    """What SQL needs to know of a column: is it a text, a number (and a floating one), a time."""

    text: bool = False
    number: bool = False
    floating: bool = False
    time: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One check as queries.

    Attributes:
        measure: gives (rows in scope, rows that break it or the figure); empty when `Plan.summary` has both.
        sample: gives keys of rows that break it; empty for a check of a figure.
        unfit: why there are no queries: a column is missing, or of a type that the check cannot judge.
    """

    check: Check
    measure: str = ""
    sample: str = ""
    unfit: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The queries of a contract.

    Attributes:
        summary: two columns for each check in `in_summary`, in that order; empty when there is none.
        others: tables that are referred to; ``other_<n>`` is the n-th.
    """

    asked: tuple[Asked, ...]
    in_summary: tuple[str, ...]
    summary: str
    others: tuple[str, ...]


def compile_contract(contract: Contract, columns: Mapping[str, Column], *, oldest_us: int | None) -> Plan:
    """Queries for a table with `columns`; `oldest_us` is the least time in ``over.column``, microseconds since 1970."""
    over = ""
    if contract.over is not None and oldest_us is not None:
        over = f"epoch_us({identifier(contract.over.column)}) >= {oldest_us}"
    others = tuple(sorted({each.table for each in contract.checks if isinstance(each, Refers)}))
    asked, summary, in_summary = [], [], []
    for check in contract.checks:
        unfit = _unfit(contract, check, columns)
        if unfit:
            asked.append(Asked(check=check, unfit=unfit))
            continue
        scope = " AND ".join(each for each in (over, *_conditions(check.where)) if each) or "true"
        keys = [name for name in contract.keys if name in columns] or _columns_of(check)
        one = _ask(check, scope, keys, columns, others)
        asked.append(one)
        if not one.measure:
            in_summary.append(check.id)
            counted = f"count(*) FILTER (WHERE {scope}{_has_value(check)})"
            summary += [counted, _figure(check, scope, columns)]
    text = _select(", ".join(summary), "rows") if summary else ""
    return Plan(asked=tuple(asked), in_summary=tuple(in_summary), summary=text, others=others)


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _unfit(contract: Contract, check: Check, columns: Mapping[str, Column]) -> str:
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


def _ask(check: Check, scope: str, keys: Sequence[str], columns: Mapping[str, Column], others: Sequence[str]) -> Asked:
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
        case Refers():
            present = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in check.columns)
            same = " AND ".join(
                f"o.{identifier(to)} = rows.{identifier(name)}"
                for name, to in zip(check.columns, check.to, strict=True)
            )
            within = f"rows WHERE {scope} AND {present}"
            found = _select("1", f"other_{others.index(check.table)} o WHERE {same}")
            alone = f"{within} AND NOT EXISTS ({found})"
            return Asked(
                check=check,
                measure=f"SELECT ({_select('count(*)', within)}), ({_select('count(*)', alone)})",
                sample=_select(listed, f"{alone} LIMIT {SAMPLE_ROWS}"),
            )
        case Complete() | Range() | Codes():
            bad = _breaks(check, columns)
            return Asked(check=check, sample=_select(listed, f"rows WHERE {scope} AND {bad} LIMIT {SAMPLE_ROWS}"))
        case _:
            return Asked(check=check)


def _select(what: str, source: str) -> str:
    return f"SELECT {what} FROM {source}"  # noqa: S608 - names and texts in it come from `identifier` and `literal`


def _figure(check: Check, scope: str, columns: Mapping[str, Column]) -> str:
    match check:
        case Complete() | Range() | Codes():
            return f"count(*) FILTER (WHERE {scope} AND {_breaks(check, columns)})"
        case Fresh():
            return f"max(epoch_us({identifier(check.column)})) FILTER (WHERE {scope})"
        case Statistic():
            name = identifier(check.column)
            finite = f" AND isfinite({name})" if columns[check.column].floating else ""
            return f"{_FIGURES[check.of].format(name)} FILTER (WHERE {scope} AND {name} IS NOT NULL{finite})"
        case _:
            return f"count(*) FILTER (WHERE {scope})"


def _breaks(check: Complete | Range | Codes, columns: Mapping[str, Column]) -> str:
    """True for a row that breaks the check, never null."""
    match check:
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


def _is_missing(name: str, column: Column) -> str:
    quoted = identifier(name)
    if column.text:
        return f"({quoted} IS NULL OR {quoted} = '')"
    if column.floating:
        return f"({quoted} IS NULL OR isnan({quoted}))"
    return f"{quoted} IS NULL"


def _has_value(check: Check) -> str:
    # Checks of values judge rows that have one; whether all must have one is for `complete` to say.
    return (
        f" AND {identifier(check.column)} IS NOT NULL" if isinstance(check, Range | Codes | Statistic | Fresh) else ""
    )


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
