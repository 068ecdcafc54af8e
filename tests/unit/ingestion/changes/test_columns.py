"""Every type of a source's column has one form in the lake, and its value is exact."""

import base64
import datetime as dt
import decimal
import re

import pyarrow as pa
import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.changes.columns import Column, column_of, widened


def described(type, name=None, *, parameters=None, **more):
    return {"field": "c", "type": type, "name": name, "parameters": parameters, **more}


def unscaled(number):
    return base64.b64encode(number.to_bytes(max(1, (number.bit_length() + 8) // 8), "big", signed=True)).decode()


def without_zone(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC).replace(tzinfo=None)


DECIMAL = "org.apache.kafka.connect.data.Decimal"
INT, TEXT = {"type": "int32"}, {"type": "string"}
TYPES = {
    "boolean": (described("boolean"), True, pa.bool_(), True),
    "smallint": (described("int16"), -5, pa.int32(), -5),
    "int": (described("int32"), 5, pa.int32(), 5),
    "bigint": (described("int64"), 2**62, pa.int64(), 2**62),
    "real": (described("float"), 0.5, pa.float32(), 0.5),
    "double": (described("double"), 1, pa.float64(), 1.0),
    "double that is no number": (described("double"), "Infinity", pa.float64(), float("inf")),
    "text": (described("string"), "ä", pa.string(), "ä"),
    "uuid": (described("string", "io.debezium.data.Uuid"), "11d6", pa.string(), "11d6"),
    "json": (described("string", "io.debezium.data.Json"), '{"a": 1}', pa.string(), '{"a": 1}'),
    "bytes": (described("bytes"), "YWJj", pa.binary(), b"abc"),
    "date": (described("int32", "io.debezium.time.Date"), -1, pa.date32(), dt.date(1969, 12, 31)),
    "timestamp of milliseconds": (
        described("int64", "io.debezium.time.Timestamp"), 1_500, pa.timestamp("us"),
        without_zone(1970, 1, 1, 0, 0, 1, 500_000),
    ),
    "timestamp": (
        described("int64", "io.debezium.time.MicroTimestamp"), -1, pa.timestamp("us"),
        without_zone(1969, 12, 31, 23, 59, 59, 999_999),
    ),
    "timestamp with zone": (
        described("string", "io.debezium.time.ZonedTimestamp"), "2026-03-01T12:00:00.25+02:00",
        pa.timestamp("us", "UTC"),
        dt.datetime(2026, 3, 1, 10, 0, 0, 250_000, dt.UTC),
    ),
    "time": (described("int64", "io.debezium.time.MicroTime"), 45_000_000_001, pa.time64("us"), dt.time(12, 30, 0, 1)),
    "time of milliseconds": (described("int32", "io.debezium.time.Time"), 1, pa.time64("us"), dt.time(0, 0, 0, 1000)),
    "decimal": (
        described("bytes", DECIMAL, parameters={"scale": "3", "connect.decimal.precision": "9"}), unscaled(-1500),
        pa.decimal128(9, 3), decimal.Decimal("-1.500"),
    ),
    "decimal of 38 digits": (
        described("bytes", DECIMAL, parameters={"scale": "0", "connect.decimal.precision": "38"}), unscaled(10**38 - 1),
        pa.decimal128(38, 0), decimal.Decimal(10**38 - 1),
    ),
    "decimal that is too wide": (
        described("bytes", DECIMAL, parameters={"scale": "1", "connect.decimal.precision": "39"}), unscaled(10**39 + 5),
        pa.string(), "1" + "0" * 37 + "0.5",
    ),
    "decimal of any scale": (
        described("struct", "io.debezium.data.VariableScaleDecimal"), {"scale": 9, "value": unscaled(1)},
        pa.string(), "0.000000001",
    ),
    "list": (described("array", items=INT), [1, None], pa.list_(pa.int32()), [1, None]),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_type_and_value(name):
    given, value, type, expected = TYPES[name]
    column = column_of(given)
    assert (column.name, column.type) == ("c", type)
    assert column.read(value) == expected
    assert pa.array([column.read(value), None], type).to_pylist() == [expected, None] or type == pa.float32()


@pytest.mark.parametrize(
    "given",
    [
        described("struct", "io.debezium.data.geometry.Point"),
        described("map"),
        described("array", items={"type": "array", "items": INT}),
        described("array", items={"type": "struct", "name": "x"}),
    ],
)
def test_what_no_column_holds_is_refused(given):
    with pytest.raises(ApplianceError) as caught:
        column_of(given)
    assert caught.value.code.id == "APL-CHANGE-009"


def columns(*types):
    return [Column(name=f"c{number}", type=type, read=str) for number, type in enumerate(types)]


WIDENINGS = {
    "nothing changes": (pa.int32(), pa.int32(), False),
    "int to bigint": (pa.int32(), pa.int64(), True),
    "real to double": (pa.float32(), pa.float64(), True),
    "more digits": (pa.decimal128(9, 3), pa.decimal128(12, 3), True),
    "an older record": (pa.int64(), pa.int32(), False),
    "an older record of fewer digits": (pa.decimal128(12, 3), pa.decimal128(9, 3), False),
}


@pytest.mark.parametrize("name", WIDENINGS)
def test_a_table_follows_what_is_wider(name):
    was, is_now, changes = WIDENINGS[name]
    new, wider = widened(pa.schema([pa.field("c0", was, nullable=False)]), columns(is_now))
    assert (new, wider) == ((), (pa.field("c0", is_now, nullable=False),) if changes else ())


def test_a_new_column_may_be_null():
    new, wider = widened(pa.schema([pa.field("c0", pa.int32())]), columns(pa.int32(), pa.string()))
    assert (new, wider) == ((pa.field("c1", pa.string(), nullable=True),), ())


OTHERS = {
    "int and text": (pa.int32(), pa.string()),
    "text and int": (pa.string(), pa.int32()),
    "decimals of other scales": (pa.decimal128(9, 3), pa.decimal128(9, 2)),
    "times with and without a zone": (pa.timestamp("us"), pa.timestamp("us", "UTC")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_type_is_refused_naming_both(name):
    was, is_now = OTHERS[name]
    with pytest.raises(ApplianceError, match=re.escape(f"was {was} and is {is_now}")) as caught:
        widened(pa.schema([pa.field("c0", was)]), columns(is_now))
    assert caught.value.code.id == "APL-CHANGE-010"
