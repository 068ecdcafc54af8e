"""Drop mappings: how a CSV, JSON-lines or Parquet file becomes rows of a table.

``declarations/drops/NAME.toml``; files are dropped into ``spool/drops/NAME/incoming/``::

    table = "silver.ett"            # created with these columns if it is not there
    format = "csv"                  # or jsonl (one object per line), or parquet
    encoding = "utf-8"              # csv only; any other byte sequence is refused. JSON lines are UTF-8
    delimiter = ","                 # csv only
    arrival = "claim"               # or the name of a timestamp column below
    description = "…"

    [time]
    column = "date"                 # name in the file; it becomes event_time
    format = "%Y-%m-%d %H:%M:%S"    # strptime, or "iso"
    zone = "Asia/Shanghai"          # zone of times that carry none
    ambiguous = "earliest"          # or latest: which of the two, when the clocks go back

    [constants]
    device_id = "ett-h1"            # string columns that the file does not have

    [[column]]
    from = "OT"                     # name in the file; in jsonl a path through nested objects: "reading.value"
    name = "oil_temperature"        # name in the table
    type = "double"                 # string, long, double, boolean or timestamp (format and zone as event_time)
    unit = "Cel"
    required = true                 # optional, this is the default
    min = -50.0                     # optional, as max
    max = 150.0

    [[column]]
    from = "Card"
    name = "card"
    type = "string"
    sensitive = "pii.card"          # optional; sealed before it is stored, see docs/howto/sensitive_data.md
    join = true                     # optional; a column card_token beside it, equal for equal values

    [[column]]
    from = "Order"
    name = "order_no"
    type = "string"
    sensitive = "none"              # what the detectors take for a card number is none
    reason = "order numbers of the shop, issued by us"

``subject = "customer_id"``, above the sections, names the column by whose value rows are sealed and erased.

Every table of drops also has ``event_time``, ``arrived_at``, and ``source``, ``position``, ``line`` (from 1, the first
line of data), which identify a row.
"""

from __future__ import annotations

import re
import zoneinfo
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.config.declarations import load_toml
from appliance.ingestion import codes
from appliance.ingestion.rows import INSTANT
from appliance.ingestion.sensitive.detectors import NONE
from appliance.storage.columns import tagged

TYPES = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": INSTANT,
}
RESERVED = ("event_time", "arrived_at", "source", "position", "line")
_TABLE = re.compile(r"(silver|labels|bronze)\.[a-z][a-z0-9_]{0,62}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TAG = re.compile(r"(pii|phi)\.[a-z][a-z0-9_]{0,62}")
_MAPPING_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


_LATER = {"sensitive": "", "reason": "", "join": False}


class Time(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    column: str
    format: str = "iso"
    zone: str = "UTC"
    ambiguous: Literal["earliest", "latest"] = "earliest"


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    origin: str = msgspec.field(name="from")
    name: str
    type: Literal["string", "long", "double", "boolean", "timestamp"]
    unit: str = ""
    required: bool = True
    min: float | None = None
    max: float | None = None
    sensitive: str = ""
    reason: str = ""
    join: bool = False

    @property
    def sealed(self) -> bool:
        """Whether values are sealed before they are stored; they are text then, whatever their type."""
        return self.sensitive not in ("", NONE)

    @property
    def token(self) -> str:
        """Name of the column of tokens, where `join` asks for one."""
        return f"{self.name}_token"


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    table: str
    format: Literal["csv", "jsonl", "parquet"]
    time: Time
    column: list[Column]
    encoding: str = "utf-8"
    delimiter: str = ","
    arrival: str = "claim"
    description: str = ""
    subject: str = ""
    constants: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def sealed(self) -> bool:
        """Whether any column is."""
        return any(each.sealed for each in self.column)

    @property
    def read_schema(self) -> pa.Schema:
        """Columns as they are read. All but those that identify a row may be null."""
        declared = [pa.field(each.name, TYPES[each.type]) for each in self.column if each.name != "arrived_at"]
        return pa.schema(
            [
                *(pa.field(name, pa.string()) for name in self.constants),
                pa.field("event_time", INSTANT),
                pa.field("arrived_at", INSTANT),
                *declared,
                pa.field("source", pa.string(), nullable=False),
                pa.field("position", pa.int64(), nullable=False),
                pa.field("line", pa.int64(), nullable=False),
            ]
        )

    @property
    def schema(self) -> pa.Schema:
        """Columns of the target table: those that were read, sealed ones as text with their tag, and tokens."""
        by_name = {each.name: each for each in self.column}
        stored = []
        for field in self.read_schema:
            column = by_name.get(field.name)
            if column is None or not column.sensitive:
                stored.append(field)
                continue
            plain = field if not column.sealed else pa.field(field.name, pa.string())
            stored.append(tagged(plain, column.sensitive, column.reason))
            if column.join:
                stored.append(pa.field(column.token, pa.string()))
        return pa.schema(stored)

    @property
    def digest(self) -> str:
        """Identity of the mapping; goes into the facts of each commit."""
        plain = msgspec.to_builtins(self)
        # What came later is left out where it is not used: a mapping keeps the identity that commits know it by.
        if not self.subject:
            del plain["subject"]
        for each in plain["column"]:
            for name in [name for name, default in _LATER.items() if each[name] == default]:
                del each[name]
        plain["constants"] = dict(sorted(self.constants.items()))
        return digest_bytes(msgspec.json.encode(plain))  # in the order of the fields


def load(path: Path) -> Mapping:
    """Read and check one mapping.

    Raises:
        ApplianceError: APL-INGEST-005, naming file and key.
    """
    mapping = load_toml(path, Mapping, code=codes.MAPPING_INVALID)
    for objection in _objections(mapping):
        raise ApplianceError(codes.MAPPING_INVALID, objection, where=str(path))
    return mapping


def load_all(folder: Path) -> dict[str, Mapping]:
    """All mappings below ``declarations/drops``, by name.

    Raises:
        ApplianceError: APL-INGEST-005.
    """
    found = {}
    for path in sorted(folder.glob("*.toml")):
        if not _MAPPING_NAME.fullmatch(path.stem) or path.stem == "readings":
            raise ApplianceError(
                codes.MAPPING_INVALID,
                f"{path.stem!r} is not a name of letters, digits, '-' and '_' other than readings",
                where=str(path),
            )
        found[path.stem] = load(path)
    return found


def _objections(mapping: Mapping) -> list[str]:
    names = [*mapping.constants, *(each.name for each in mapping.column)]
    found = []
    if not _TABLE.fullmatch(mapping.table):
        found.append(f"table: {mapping.table!r} is not silver.NAME, bronze.NAME or labels.NAME")
    if mapping.table == "silver.readings":
        found.append("table: silver.readings takes reading batches only")
    found += [f"column {name!r} is not a plain lower-case name" for name in names if not _NAME.fullmatch(name)]
    found += [f"column {name!r} is declared twice" for name in sorted(set(names)) if names.count(name) > 1]
    found += [f"column {name!r} is made by us" for name in names if name in RESERVED and name != mapping.arrival]
    if len(mapping.delimiter) != 1:
        found.append(f"delimiter: expected one character, got {mapping.delimiter!r}")
    try:
        "".encode(mapping.encoding)
    except LookupError:
        found.append(f"encoding: {mapping.encoding!r} is not known")
    if mapping.format == "jsonl" and mapping.encoding != "utf-8":
        found.append(f"encoding: JSON lines are utf-8, got {mapping.encoding!r}")
    try:
        zoneinfo.ZoneInfo(mapping.time.zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        found.append(f"time.zone: {mapping.time.zone!r} is not known")
    arrivals = [each.name for each in mapping.column if each.type == "timestamp"]
    if mapping.arrival != "claim" and mapping.arrival not in arrivals:
        found.append(f"arrival: expected claim or a timestamp column, got {mapping.arrival!r}")
    for each in mapping.column:
        if (each.min is not None or each.max is not None) and each.type not in ("long", "double"):
            found.append(f"column {each.name!r} has bounds but is a {each.type}")
    return found + _sensitive_objections(mapping, names)


def _sensitive_objections(mapping: Mapping, names: list[str]) -> list[str]:
    found = []
    for each in mapping.column:
        if each.sensitive not in ("", NONE) and not _TAG.fullmatch(each.sensitive):
            found.append(f"column {each.name!r}: sensitive is {NONE} or a tag such as pii.name, got {each.sensitive!r}")
        if (each.sensitive == NONE) != bool(each.reason.strip()):
            found.append(f"column {each.name!r}: sensitive = {NONE!r} needs a reason, and nothing else has one")
        if each.join and not each.sealed:
            found.append(f"column {each.name!r}: join is for columns that are sealed")
        if each.join and each.token in names:
            found.append(f"column {each.token!r} is the one of the tokens of {each.name!r}")
        if each.sealed and each.name == mapping.arrival:
            found.append(f"column {each.name!r} is the arrival and cannot be sealed")
    if mapping.subject:
        subject = next((each for each in mapping.column if each.name == mapping.subject), None)
        if subject is None or subject.type != "string" or not subject.required:
            found.append(f"subject: expected a required string column, got {mapping.subject!r}")
        elif subject.sealed and not subject.join:
            found.append(
                f"subject: column {subject.name!r} is sealed and needs join = true, else no row is found by it"
            )
    return found
