"""The rows with the greatest values of a column, reading only the data files that can hold them.

Files are taken in the order of the column's upper bound, which the manifest keeps, until no file that is left can
reach the rows found. Ties are broken by `then`, ascending, so that pages of one snapshot neither repeat nor miss rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.conversions import from_bytes
from pyiceberg.table import Table

from appliance.storage.columns import arrow_schema
from appliance.storage.tables import Lake


def newest(
    lake: Lake,
    name: str,
    *,
    by: str,
    then: str,
    count: int,
    columns: Sequence[str],
    where: Mapping[str, str] | None = None,
) -> pa.Table:
    """At most `count` rows, greatest `by` first; `where` names columns and the text that they must have.

    Raises:
        ApplianceError: APL-STORAGE-002 there is no such table.
        OSError, pa.ArrowException: a data file cannot be read.
    """
    table, files = lake.table(name), lake.site_files
    schema = pa.schema([arrow_schema(table.schema()).field(each) for each in columns])
    found = schema.empty_table()
    filters = [(column, "=", value) for column, value in (where or {}).items()] or None
    for path, bound in _by_upper_bound(table, by):
        if bound is not None and found.num_rows == count and found[by].cast(pa.int64())[-1].as_py() > bound:
            break
        rows = pq.read_table(files.name_of(path), filesystem=files.arrow, columns=list(columns), filters=filters)
        rows = rows.cast(schema)
        both = pa.concat_tables([found, rows]).sort_by([(by, "descending"), (then, "ascending")])
        found = both.slice(0, count)
    return found


def _by_upper_bound(table: Table, column: str) -> list[tuple[str, int | None]]:
    """Paths and upper bounds (microseconds), greatest first; a file without a bound comes before all others."""
    field = table.schema().find_field(column)
    found: list[tuple[str, int | None]] = []
    for task in table.scan().plan_files():
        raw: bytes | None = (task.file.upper_bounds or {}).get(field.field_id)
        bound: Any = from_bytes(field.field_type, raw) if raw is not None else None
        found.append((task.file.file_path, bound))
    return sorted(found, key=lambda each: (each[1] is not None, -(each[1] or 0), each[0]))
