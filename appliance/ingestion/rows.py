"""The tables that readings go to: their columns."""

from __future__ import annotations

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")

_READING = [
    ("device_id", pa.string()),
    ("measure", pa.string()),
    ("event_time", INSTANT),
    ("arrived_at", INSTANT),
    ("value", pa.float64()),
    ("unit", pa.string()),
    ("quality", pa.string()),
    ("firmware", pa.string()),
    ("sequence", pa.int64()),
    ("source", pa.string()),
    ("position", pa.int64()),
    ("record", pa.int32()),
    ("index", pa.int32()),
]

SILVER = pa.schema([pa.field(name, type, nullable=False) for name, type in _READING])
"""Accepted readings; identified by source, position, record and index."""

QUARANTINE = pa.schema([*_READING, ("code", pa.string()), ("detail", pa.string()), ("raw_digest", pa.string())])
"""Refused readings. ``event_time`` is null where no calendar has such an instant; ``detail`` then has the number."""

HEADER = pa.struct(
    [
        ("device_id", pa.string()),
        ("firmware", pa.string()),
        ("sequence", pa.int64()),
        ("produced_at", pa.int64()),
        ("event_time_unit", pa.string()),
        ("readings", pa.int32()),
    ]
)
"""One decoded record of a file, without its readings. ``event_time_unit`` is what its times look like."""

RAW = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("arrived_at", INSTANT, nullable=False),
        pa.field("records", pa.int32(), nullable=False),
        ("headers", pa.list_(HEADER)),
    ]
)
"""One row per claimed file. What could not be decoded counts in ``headers`` as device ``unknown``."""
