"""The lake side of the prediction log: closed segments into ``predictions.served``, exactly once, with lineage.

A commit carries the position of the source in its snapshot (commit protocol of the design), names the segment files
as its bytes, and rests on the lineage documents of the models and of the data that the answers were made from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from appliance.base.digest import digest_file
from appliance.governance.lineage import FileRecord, Lineage
from appliance.ingestion.positions import PROPERTY, Batch, Positions
from appliance.serving import prediction_log
from appliance.serving.contract import Prediction
from appliance.storage import names
from appliance.storage.tables import Lake

INSTANT = pa.timestamp("us", "UTC")
FEATURE = pa.struct(
    [
        pa.field("name", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("age_s", pa.float64()),
        pa.field("state", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("prediction_id", pa.string()),
        pa.field("request_id", pa.string()),
        pa.field("trace_id", pa.string()),
        pa.field("entity", pa.string()),
        pa.field("at", INSTANT),
        pa.field("served_at", INSTANT),
        pa.field("model", pa.string()),
        pa.field("version", pa.int64()),
        pa.field("artifact_id", pa.string()),
        pa.field("arm", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("outcome", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("data", pa.string()),
        pa.field("features", pa.list_(FEATURE)),
        pa.field("latency_ms", pa.float64()),
    ]
)


class PredictionTable:
    """Moves closed segments of one site into the lake."""

    def __init__(
        self,
        *,
        lake: Lake,
        lineage: Lineage,
        folder: Path,
        site_folder: Path,
        model_lineage: Callable[[str], str | None],
        rotate: Callable[[], None],
    ) -> None:
        """`folder` is the prediction log; `model_lineage` gives the lineage id of an artifact id; `rotate` closes
        the open segment of a running gateway, and does nothing when none runs."""
        self._lake, self._lineage = lake, lineage
        self._folder, self._site_folder = folder, site_folder
        self._model_lineage, self._rotate = model_lineage, rotate

    def flush(self) -> int:
        """Bring everything that was recorded so far into the lake; gives the number of records."""
        self._rotate()
        self._lake.ensure(names.PREDICTIONS, SCHEMA)
        head = self._lake.head(names.PREDICTIONS)
        positions = Positions.parse(head.properties.get(PROPERTY))
        here = positions.of(prediction_log.SOURCE)

        def append(records: Sequence[Prediction], position: int, files: Sequence[Path]) -> None:
            batch = Batch(source=prediction_log.SOURCE, start=here, end=position)
            raw = self._lineage.write(
                kind="raw",
                name=prediction_log.SOURCE,
                files=[
                    FileRecord(
                        path=path.relative_to(self._site_folder).as_posix(),
                        digest=digest_file(path),
                        size=path.stat().st_size,
                    )
                    for path in files
                ],
                inputs=[],
                facts={"source": prediction_log.SOURCE, "position": position},
            )
            models = {record.artifact_id for record in records if record.artifact_id}
            inputs = {lineage for model in models if (lineage := self._model_lineage(model))}
            inputs |= {record.data for record in records if record.data}
            self._lake.append(
                names.PREDICTIONS,
                to_arrow(records),
                expected=head,
                properties={PROPERTY: positions.advance(batch).format()},
                inputs=[raw, *sorted(inputs)],
                facts={"source": prediction_log.SOURCE, "position": position},
            )

        return prediction_log.flush(self._folder, here, append)


def to_arrow(records: Sequence[Prediction]) -> pa.Table:
    """The records as rows of `SCHEMA`."""
    columns = {
        field.name: [getattr(record, field.name) for record in records] for field in SCHEMA if field.name != "features"
    }
    columns["features"] = [
        [{"name": each.name, "value": each.value, "age_s": each.age_s, "state": each.state} for each in record.features]
        for record in records
    ]
    return pa.table(columns, schema=SCHEMA)
