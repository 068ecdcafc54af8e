"""Columns of a source's table as Debezium describes them, in Arrow's types, and the values in Python's.

The types are those of Kafka Connect with the names that Debezium gives to their meaning (Debezium documentation,
"PostgreSQL connector", data type mappings), with times and decimals in their precise forms.

Rules
1. A time of a column without time zone stays without one; one with a zone is UTC. Both count microseconds.
2. A decimal of declared precision up to 38 digits is a decimal; any other is its exact text, as no column could hold
   all of its values.
3. JSON, UUIDs, enumerations, intervals and other things that PostgreSQL writes as text are text.
4. A list holds values of one plain type. A structure that is not listed here is refused.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from appliance.base.clock import from_us
from appliance.base.errors import ApplianceError
from appliance.ingestion.changes import codes

Read = Callable[[Any], Any]
_EPOCH = dt.date(1970, 1, 1)
_WIDEST = 38  # digits of a decimal in Iceberg and in Arrow's decimal128
_PLAIN: Mapping[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int8": pa.int32(),
    "int16": pa.int32(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
}
WIDER = {(pa.int32(), pa.int64()), (pa.float32(), pa.float64())}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column, and how its value is read from the JSON of an event."""

    name: str
    type: pa.DataType
    read: Read = field(compare=False)


def column_of(described: Mapping[str, Any]) -> Column:
    """The column that an event's schema describes.

    Raises:
        ApplianceError: APL-CHANGE-009 no column of a table can hold it.
    """
    name = str(described["field"])
    found = _typed(described)
    if found is None:
        kind = " ".join(str(described[key]) for key in ("type", "name") if described.get(key))
        raise ApplianceError(codes.TYPE_UNKNOWN, f"column {name} is of type {kind}")
    return Column(name=name, type=found[0], read=found[1])


def _typed(described: Mapping[str, Any]) -> tuple[pa.DataType, Read] | None:
    kind, meaning = str(described["type"]), str(described.get("name"))
    if meaning in _MEANINGS:
        return _MEANINGS[meaning]
    if meaning == "org.apache.kafka.connect.data.Decimal":
        return _decimal(described["parameters"])
    if kind == "bytes":
        return pa.binary(), _bytes
    if kind == "array":
        item = _typed(described["items"])
        if item is None or pa.types.is_nested(item[0]):
            return None
        read = item[1]
        return pa.list_(item[0]), lambda values: [None if each is None else read(each) for each in values]
    return (_PLAIN[kind], _double if kind in ("float", "double") else _same) if kind in _PLAIN else None


def _decimal(parameters: Mapping[str, str]) -> tuple[pa.DataType, Read]:
    scale = int(parameters["scale"])
    precision = int(parameters.get("connect.decimal.precision", _WIDEST + 1))
    if 0 <= scale <= precision <= _WIDEST:
        return pa.decimal128(precision, scale), lambda text: _exact(text, scale)
    return pa.string(), lambda text: format(_exact(text, scale), "f")


def _exact(text: str, scale: int) -> decimal.Decimal:
    unscaled = int.from_bytes(_bytes(text), "big", signed=True)
    digits = tuple(int(each) for each in str(abs(unscaled)))
    return decimal.Decimal((int(unscaled < 0), digits, -scale))


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _variable(value: Mapping[str, Any]) -> str:
    return format(_exact(value["value"], int(value["scale"])), "f")


def _same(value: Any) -> Any:
    return value


def _double(value: Any) -> float:
    return float(value)  # JSON has no NaN and no infinity; Kafka writes them as text


def _zoned(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(dt.UTC)


def _naive(us: int) -> dt.datetime:
    return from_us(us).replace(tzinfo=None)


def _date(days: int) -> dt.date:
    return _EPOCH + dt.timedelta(days=days)


def _time(us: int) -> dt.time:
    return _naive(us).time()


_MEANINGS: Mapping[str, tuple[pa.DataType, Read]] = {
    "io.debezium.time.Date": (pa.date32(), _date),
    "io.debezium.time.Timestamp": (pa.timestamp("us"), lambda ms: _naive(ms * 1000)),
    "io.debezium.time.MicroTimestamp": (pa.timestamp("us"), _naive),
    "io.debezium.time.ZonedTimestamp": (pa.timestamp("us", "UTC"), _zoned),
    "io.debezium.time.Time": (pa.time64("us"), lambda ms: _time(ms * 1000)),
    "io.debezium.time.MicroTime": (pa.time64("us"), _time),
    "io.debezium.data.VariableScaleDecimal": (pa.string(), _variable),
}


def widened(have: pa.Schema, columns: Sequence[Column]) -> tuple[tuple[pa.Field, ...], tuple[pa.Field, ...]]:
    """What a table with the columns `have` must change to hold `columns`: those to add, and those to make wider.

    Raises:
        ApplianceError: APL-CHANGE-010 a column is of a type that neither holds the other's values.
    """
    new, wider = [], []
    for column in columns:
        if column.name not in have.names:
            new.append(pa.field(column.name, column.type))
            continue
        was = have.field(column.name)
        if _widens(was.type, column.type):
            wider.append(pa.field(column.name, column.type, was.nullable))
        elif was.type != column.type and not _widens(column.type, was.type):
            raise ApplianceError(codes.TYPE_CHANGED, f"column {column.name} was {was.type} and is {column.type}")
    return tuple(new), tuple(wider)


def _widens(old: pa.DataType, new: pa.DataType) -> bool:
    if pa.types.is_decimal128(old) and pa.types.is_decimal128(new):
        return bool(old.scale == new.scale and old.precision < new.precision)
    return (old, new) in WIDER
