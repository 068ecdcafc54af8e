"""What training may read: no column that is tagged as sensitive, and none that looks so and that nobody declared.

Training reads through an object with the methods of `storage.tables.Lake`; `TrainingTables` stands in front of it. Its
second rule is for columns that no drop brought in, or that were there before anybody looked.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from appliance.base.errors import ApplianceError
from appliance.ingestion.sensitive import codes
from appliance.ingestion.sensitive.detectors import NONE
from appliance.ingestion.sensitive.examination import examine
from appliance.storage.columns import tags_of
from appliance.storage.tables import Commit, DataFile, Head, Lake


class TrainingTables:
    """The tables of a site as training sees them."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def head(self, name: str) -> Head:
        return self._lake.head(name)

    def files(self, name: str, snapshot_id: int | None = None) -> tuple[DataFile, ...]:
        return self._lake.files(name, snapshot_id)

    def commits(self, name: str) -> tuple[Commit, ...]:
        return self._lake.commits(name)

    def scan(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """As `Lake.scan`.

        Raises:
            ApplianceError: those of `Lake.scan`; APL-SENSITIVE-004.
        """
        tags = {column: tag for column, (tag, _) in tags_of(self._lake.table(name)).items()}
        for column in columns if columns is not None else self._lake.schema(name).names:
            if tags.get(column, NONE) != NONE:
                raise _refused(f"{name}: column {column} is {tags[column]}")
        rows = self._lake.scan(name, columns=columns, where=where, snapshot_id=snapshot_id)
        silent = {column: rows[column] for column in rows.column_names if column not in tags}
        texts = {column: values for column, values in silent.items() if pa.types.is_string(values.type)}
        for finding in examine(texts):
            raise _refused(f"{name}: {finding.describe()}, and no mapping says what it is")
        return rows


def _refused(message: str) -> ApplianceError:
    return ApplianceError(codes.COLUMN_REFUSED, message)
