"""Data files that were written before a column was renamed.

Our files hold no field ids, so a table's name mapping says which name of a file is which column. It keeps every name
that a column had. Engines that read files by name must be told, or they would find nothing under the new name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from appliance.storage.columns import arrow_schema
from appliance.storage.files import SiteFiles


def known_names(table: Table) -> Mapping[str, int]:
    """Each name that a column of the table has or had -> the column's id."""
    names = {field.name: field.field_id for field in table.schema().fields}
    mapping = table.metadata.name_mapping()
    for field in mapping.root if mapping is not None else ():
        if field.field_id is not None:
            names |= dict.fromkeys(field.names, field.field_id)
    return names


def read_tasks(table: Table, tasks: Sequence[Any], schema: Schema) -> pa.Table:
    """The rows of planned files, with the columns of `schema`, whatever their names and types were."""
    arrow = arrow_schema(schema)
    return ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table(tasks).cast(arrow)


def open_tasks(table: Table, tasks: Sequence[Any], schema: Schema, files: SiteFiles) -> pa.dataset.Dataset:
    """The rows of planned files with the columns of `schema`, to be streamed.

    Only files that still have a former name of a column are read into memory: Arrow streams files by name.
    """
    arrow = arrow_schema(schema)
    former = {name for name, id in known_names(table).items() if schema.find_column_name(id) not in (name, None)}
    names = {task.file.file_path: files.name_of(task.file.file_path) for task in tasks}
    old = [task for task in tasks if former & set(_columns_in(names[task.file.file_path], files))] if former else []
    new = [names[task.file.file_path] for task in tasks if task not in old]
    streamed = pa.dataset.dataset(new, schema=arrow, format="parquet", filesystem=files.arrow)
    if not old:
        return streamed
    return pa.dataset.dataset([streamed, pa.dataset.InMemoryDataset(read_tasks(table, old, schema))])


def _columns_in(name: str, files: SiteFiles) -> list[str]:
    return list(pq.read_schema(name, filesystem=files.arrow).names)
