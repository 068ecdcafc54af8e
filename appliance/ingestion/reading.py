"""The wire form of a reading batch, and the columns that it is decoded into.

Rules
1. One Avro record is one batch of readings of one device; one reading per record is refused in design (ten times
   slower). `SCHEMA` is the only accepted schema; another canonical form (Avro 1.11, "Parsing Canonical Form") sends
   the whole file to quarantine.
2. Times on the wire are longs, microseconds since 1970 UTC. What a device sent is kept as it came: the decoded
   ``event_time`` is the bare integer, and only the rules decide whether it is an instant.
3. Strings that repeat (device, firmware, measure, quality, unit) are dictionary columns, so that rules look at
   each distinct value once.
"""

from __future__ import annotations

import json
from typing import Any

import fastavro.schema
import pyarrow as pa

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "ReadingBatch",
    "namespace": "appliance",
    "fields": [
        {"name": "device_id", "type": "string"},
        {"name": "firmware", "type": "string"},
        {"name": "sequence", "type": "long"},
        {"name": "produced_at", "type": "long"},
        {"name": "trace_id", "type": "string"},
        {
            "name": "readings",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Reading",
                    "fields": [
                        {"name": "event_time", "type": "long"},
                        {"name": "measure", "type": "string"},
                        {"name": "value", "type": "double"},
                        {"name": "quality", "type": "string"},
                        {"name": "unit", "type": "string"},
                    ],
                },
            },
        },
    ],
}
SCHEMA_JSON = json.dumps(SCHEMA)

RECEIVED_AT = "appliance.received_at"  # key in the header of a spool file: RFC 3339, the collector's stamp
SUFFIX = ".avro"
UNKNOWN_DEVICE = "unknown"  # device of what could not be decoded; refused as a real name

_WORD = pa.dictionary(pa.int32(), pa.string())

ARROW = pa.schema(
    [
        ("device_id", _WORD),
        ("measure", _WORD),
        ("event_time", pa.int64()),
        ("value", pa.float64()),
        ("unit", _WORD),
        ("quality", _WORD),
        ("firmware", _WORD),
        ("sequence", pa.int64()),
        ("record", pa.int32()),
        ("index", pa.int32()),
    ]
)
"""One row per reading, in the order of the file; ``record`` counts the file's records, ``index`` those within one."""

HEADERS = pa.schema(
    [
        ("device_id", _WORD),
        ("firmware", _WORD),
        ("sequence", pa.int64()),
        ("produced_at", pa.int64()),
        ("record", pa.int32()),
        ("first_row", pa.int64()),
        ("readings", pa.int32()),
    ]
)
"""One row per decoded record; its readings are rows ``first_row`` to ``first_row + readings``."""


def is_reading_batch(text: bytes | str) -> bool:
    """Whether a writer's schema is `SCHEMA`, by canonical form.

    Raises:
        ValueError: it is no Avro schema.
    """
    return text in (SCHEMA_JSON, SCHEMA_JSON.encode()) or _canonical_form(text) == _canonical_form(SCHEMA_JSON)


def _canonical_form(text: bytes | str) -> str:
    try:
        return str(fastavro.schema.to_parsing_canonical_form(fastavro.schema.parse_schema(json.loads(text))))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(type(error).__name__) from error
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
        raise ValueError("not Avro") from error
