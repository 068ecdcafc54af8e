"""Records: those of one partition that were read and are not committed yet, and those to be written. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from appliance.ingestion.schemas.frame import read_frames
from appliance.ingestion.schemas.registry import RegisteredSchema
from appliance.ingestion.segment import RECORDS, Segment

LOG_APPEND_TIME = 1  # timestamp_type of a record whose time the broker gave


class Record(Protocol):
    """What kafka-python gives for a record; `timestamp` in milliseconds."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A record to be written; it may be without a value."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(kw_only=True)
class Buffer:
    """Attributes:
    start: offset where the next batch begins: where the tables stand.
    end: offset after the last record that was read.
    """

    start: int
    end: int
    records: list[Record] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, records: Sequence[Record], end: int) -> None:
        """Raises ValueError: they lie before what was read."""
        if records[0].offset < self.end:
            raise ValueError(f"record {records[0].offset} comes after {self.end - 1}")
        self.records += records
        self.size_bytes += sum(len(each.value or b"") + len(each.key or b"") for each in records)
        self.end = end

    def cut(self, place: int) -> int:
        """Forget the record at `place` and all behind it; gives its offset, where reading goes on."""
        offset = self.records[place].offset
        del self.records[place:]
        self.size_bytes = sum(len(each.value or b"") + len(each.key or b"") for each in self.records)
        self.end = offset
        return offset

    def taken(self) -> None:
        """All that was read is committed."""
        self.start, self.records, self.size_bytes = self.end, [], 0


def records_table(records: Sequence[Record]) -> pa.Table:
    """`segment.RECORDS`."""
    columns: list[Any] = [
        pa.array([each.offset for each in records], pa.int64()),
        pa.array(np.array([each.timestamp for each in records], np.int64) * 1000, RECORDS.field("arrived_at").type),
        pa.array([each.key for each in records], pa.binary()),
        pa.array([each.value for each in records], pa.binary()),
        pa.array(
            [[{"key": key, "value": value} for key, value in each.headers or ()] for each in records],
            RECORDS.field("headers").type,
        ),
    ]
    return pa.Table.from_arrays(columns, schema=RECORDS)


def ids_of(records: Sequence[Record]) -> list[int]:
    """Schema id of each record, 0 where its value has no frame."""
    ids: list[int] = read_frames(pa.array([each.value for each in records], pa.binary())).ids.tolist()
    return ids


def segment_of(records: Sequence[Record], schemas: Mapping[int, RegisteredSchema]) -> Segment:
    """The records, and of `schemas` those that their values use."""
    table = records_table(records)
    used = set(np.unique(read_frames(table["value"].combine_chunks()).ids).tolist())
    return Segment(records=table, schemas={id: each for id, each in schemas.items() if id in used})
