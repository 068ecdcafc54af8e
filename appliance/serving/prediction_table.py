"""The lake side of the prediction log: closed segments into ``predictions.served``, exactly once, with lineage.

A commit carries the position of the source in its snapshot (commit protocol of the design), names the segment files
as its bytes, and rests on the lineage documents of the models and of the data that the answers were made from.

Where the site has a topic for predictions, segments go through it. A commit then steps two sources at once: the
partition by offsets, and the log by segments, whose numbers tell what came before. Its bytes are the raw object of the
records. So the way can be changed at any time: the table stands where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import FileRecord, Lineage
from appliance.ingestion.positions import PROPERTY, Batch, Positions
from appliance.ingestion.segment import pack
from appliance.ingestion.topics.buffer import segment_of
from appliance.serving import codes, prediction_log
from appliance.serving.contract import Prediction
from appliance.serving.prediction_records import Intake, TakenSegment
from appliance.storage import names
from appliance.storage.objects import ObjectStore
from appliance.storage.tables import Head, Lake

if TYPE_CHECKING:
    from appliance.serving.prediction_topic import PredictionTopic

MAX_BYTES = 8 << 20  # of values in one commit; a segment more may be in memory
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
        objects: ObjectStore,
        lineage: Lineage,
        folder: Path,
        site_folder: Path,
        model_lineage: Callable[[str], str | None],
        rotate: Callable[[], None],
        topic: PredictionTopic | None = None,
    ) -> None:
        """`folder` is the prediction log; `model_lineage` gives the lineage id of an artifact id; `rotate` closes
        the open segment of a running gateway, and does nothing when none runs; segments go through `topic`, if any."""
        self._lake, self._objects, self._lineage = lake, objects, lineage
        self._folder, self._site_folder = folder, site_folder
        self._model_lineage, self._rotate = model_lineage, rotate
        self._topic = topic

    def flush(self) -> int:
        """Bring everything that was recorded so far into the lake; gives the number of records.

        Raises:
            StaleBatch, CommitLost: another process flushed at the same time. Flush again.
            ApplianceError: APL-SERVE-003, 007; with a topic also APL-SERVE-009, 010 and APL-TOPIC-001 to 011. What was
                committed stays, and the rest waits in the log.
        """
        self._rotate()
        self._lake.ensure(names.PREDICTIONS, SCHEMA)
        return self._flush_files() if self._topic is None else self._flush_through(self._topic)

    def _flush_files(self) -> int:
        head, positions = self._stands()

        def append(records: Sequence[Prediction], position: int, files: Sequence[Path]) -> None:
            batch = Batch(source=prediction_log.SOURCE, start=positions.of(prediction_log.SOURCE), end=position)
            found = [
                FileRecord(
                    path=path.relative_to(self._site_folder).as_posix(),
                    digest=digest_file(path),
                    size=path.stat().st_size,
                )
                for path in files
            ]
            facts = {"source": prediction_log.SOURCE, "position": position}
            raw = self._lineage.write(kind="raw", name=prediction_log.SOURCE, files=found, inputs=[], facts=facts)
            self._append(head, records, positions.advance(batch), [raw], facts)

        return prediction_log.flush(self._folder, positions.of(prediction_log.SOURCE), append)

    def _flush_through(self, topic: PredictionTopic) -> int:
        """What is closed now must be in the table at the end. If it is not, the topic has not got what was sent:
        it was emptied or made anew, or the hint is wrong. Then all that the table lacks is sent again."""
        count = 0
        with topic.alone():
            for sent in (topic.sent(), 0):
                closed = topic.send(max(sent, self._taken()))
                count += self._take(topic)
                if self._taken() >= closed:
                    return count
        raise ApplianceError(
            codes.SEGMENTS_MISSING,
            f"{closed} segments were sent, {self._taken()} came out",
            where=topic.source,
        )

    def _take(self, topic: PredictionTopic) -> int:
        """Commit whole segments, `MAX_BYTES` of them or a little more at a time; gives the number of records."""
        _, positions = self._stands()
        intake = Intake(topic.source, positions.of(prediction_log.SOURCE))
        waiting: list[TakenSegment] = []
        start = end = positions.of(topic.source)
        count = size_bytes = 0
        with topic.read(start) as polled:
            for record in chain.from_iterable(polled):
                segment = intake.add(record)
                if segment is not None:
                    topic.check_own(segment)
                    waiting.append(segment)
                    size_bytes += segment.size_bytes
                if intake.whole:
                    end = record.offset + 1
                if size_bytes >= MAX_BYTES:
                    count += self._commit(Batch(source=topic.source, start=start, end=end), waiting)
                    waiting, start, size_bytes = [], end, 0
        if end > start:
            count += self._commit(Batch(source=topic.source, start=start, end=end), waiting)
        return count

    def _commit(self, read: Batch, segments: Sequence[TakenSegment]) -> int:
        """Append the segments of what was read, and step both sources; gives the number of records.

        Raises:
            StaleBatch: another process has taken some of it meanwhile, from the files.
        """
        head, positions = self._stands()
        advanced = positions.advance(read)
        if segments:
            first, last = segments[0].number, segments[-1].number
            advanced = advanced.advance(Batch(source=prediction_log.SOURCE, start=first - 1, end=last))
        facts = {"source": read.source, "position": read.end, "segments": advanced.of(prediction_log.SOURCE)}
        records = [each for segment in segments for each in segment.predictions]
        raw = []
        if records:
            data = pack(segment_of([each for segment in segments for each in segment.records], {}))
            digest = self._objects.put(data)
            file = FileRecord(path=self._objects.site_name(digest), digest=digest, size=len(data))
            name = f"predictions:{read.source}"
            raw = [self._lineage.write(kind="raw", name=name, files=[file], inputs=[], facts=facts)]
        self._append(head, records, advanced, raw, facts)
        return len(records)

    def _append(
        self,
        head: Head,
        records: Sequence[Prediction],
        positions: Positions,
        raw: Sequence[str],
        facts: Mapping[str, Any],
    ) -> None:
        models = {record.artifact_id for record in records if record.artifact_id}
        inputs = {lineage for model in models if (lineage := self._model_lineage(model))}
        inputs |= {record.data for record in records if record.data}
        self._lake.append(
            names.PREDICTIONS,
            to_arrow(records),
            expected=head,
            properties={PROPERTY: positions.format()},
            inputs=[*raw, *sorted(inputs)],
            facts=facts,
        )

    def _stands(self) -> tuple[Head, Positions]:
        head = self._lake.head(names.PREDICTIONS)
        return head, Positions.parse(head.properties.get(PROPERTY))

    def _taken(self) -> int:
        """Segments of the log that the table has."""
        return self._stands()[1].of(prediction_log.SOURCE)


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
