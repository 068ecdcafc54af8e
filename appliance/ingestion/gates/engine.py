"""DuckDB over relations that a caller registers: the queries of a plan, and nothing else.

The engine sees what is registered: no files, no network, no extensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from appliance.ingestion.gates.plan import Asked, Column, Plan
from appliance.ingestion.gates.verdict import Result, judge, skipped
from appliance.storage.tables import Lake

EngineError = duckdb.Error
MEMORY_LIMIT = "1GB"  # of one run; larger groups spill nowhere, they fail


def connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY_LIMIT,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")  # a time that is compared as text is the same on every host
    connection.execute("SET lock_configuration = true")
    return connection


def columns_of(schema: pa.Schema) -> dict[str, Column]:
    return {field.name: _column(field.type) for field in schema}


def columns_of_others(lake: Lake, tables: Sequence[str]) -> dict[str, dict[str, Column]]:
    """Of the tables that are referred to, those that there are and that have rows: nothing stands in an empty one."""
    there = lake.tables()
    filled = (name for name in tables if name in there and any(file.rows for file in lake.files(name)))
    return {name: columns_of(lake.schema(name)) for name in filled}


def answers(connection: duckdb.DuckDBPyConnection, plan: Plan, now_us: int) -> tuple[Result, ...]:
    """What came of each check of a plan over the registered relations ``rows`` and ``other_<n>``."""
    row = connection.execute(plan.summary).fetchall()[0] if plan.summary else ()
    numbers = dict(zip(plan.in_summary, zip(row[::2], row[1::2], strict=True), strict=True))
    return tuple(_answer(connection, each, numbers, now_us) for each in plan.asked)


def _answer(
    connection: duckdb.DuckDBPyConnection, asked: Asked, numbers: Mapping[str, tuple[Any, Any]], now_us: int
) -> Result:
    check = asked.check
    if asked.unfit:
        return skipped(check, asked.unfit)
    rows, figure = connection.execute(asked.measure).fetchall()[0] if asked.measure else numbers[check.id]
    result = judge(check, int(rows), figure, now_us)
    if not result.broken or not asked.sample:
        return result
    found = connection.sql(asked.sample).to_arrow_table().to_pylist()
    return replace(result, sample=tuple(found))


def _column(type: pa.DataType) -> Column:
    text = pa.types.is_string(type) or pa.types.is_large_string(type)
    number = pa.types.is_floating(type) or pa.types.is_integer(type)
    time = pa.types.is_timestamp(type)
    return Column(
        text=text,
        number=number,
        floating=pa.types.is_floating(type),
        time=time,
        type="" if text or number or time else str(type),
    )
