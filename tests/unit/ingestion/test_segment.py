"""Segments: a topic's raw object reads without anybody's help, and gives what a spool file of its records gives."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion import reading
from appliance.ingestion.decode import Limits, decode
from appliance.ingestion.raw_object import chunks_of
from appliance.ingestion.schemas.frame import write_frame
from appliance.ingestion.schemas.registry import RegisteredSchema
from appliance.ingestion.segment import RECORDS, Segment, decode_segment, pack, unpack
from appliance.ingestion.topics.producer import values_of
from tests.small_site import avro, batches, readings, record

OURS = RegisteredSchema(id=7, kind="AVRO", text=reading.SCHEMA_JSON)
EVOLVED = RegisteredSchema(
    id=9,
    kind="AVRO",
    text=json.dumps(
        {**reading.SCHEMA, "fields": [*reading.SCHEMA["fields"], {"name": "site", "type": "string", "default": ""}]}
    ),
)


def segment(values, schemas=(OURS,), first=100):
    columns = [
        pa.array(np.arange(first, first + len(values))),
        pa.array([1_772_000_000_000_000 + number for number in range(len(values))], RECORDS.field("arrived_at").type),
        pa.array([b"k"] * len(values), pa.binary()),
        pa.array(values, pa.binary()),
        pa.array([[]] * len(values), RECORDS.field("headers").type),
    ]
    return Segment(records=pa.Table.from_arrays(columns, schema=RECORDS), schemas={each.id: each for each in schemas})


def framed(*records, id=7):
    return [value for _, value in values_of(batches(records), id)]


def words(table):
    """Without dictionaries and without what says where a row stands."""
    plain = [name for name in table.schema.names if name not in ("record", "first_row")]
    return [{name: row[name] for name in plain} for row in table.to_pylist()]


def test_a_segment_survives_its_packing():
    found = segment([*framed(record(readings=readings(3))), None, b""])
    again = unpack(pack(found))
    assert again.records.equals(found.records)
    assert dict(again.schemas) == dict(found.schemas)


def test_stock_tools_read_it(tmp_path):
    (tmp_path / "raw").write_bytes(pack(segment(framed(record(readings=readings(3))))))
    assert pq.read_table(tmp_path / "raw")["offset"].to_pylist() == [100]


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_a_segment_gives_what_a_spool_file_of_its_records_gives(counts):
    records = [
        record(f"tx-{number % 3}", number, readings(count, first=10 * number)) for number, count in enumerate(counts)
    ]
    found = decode_segment(segment(framed(*records)))
    expected = decode(avro(*records), Limits())
    assert words(found.rows) == words(expected.rows)
    assert words(found.headers) == words(expected.headers)
    assert found.rows["record"].to_pylist() == expected.rows["record"].to_pylist()
    assert found.faults == expected.faults == ()


NOT_VALUES = {
    "no value": (None, "DECODE"),
    "empty": (b"", "DECODE"),
    "no frame": (b"{}----", "DECODE"),
    "an id that nobody gave": (write_frame(5, b"x" * 40), "SCHEMA"),
    "cut short": (framed(record(readings=readings(3)))[0][:-4], "DECODE"),
    "bytes behind it": (framed(record(readings=readings(3)))[0] + b"x", "DECODE"),
    "noise": (write_frame(7, b"\xff" * 64), "DECODE"),
}


@pytest.mark.parametrize("name", NOT_VALUES)
def test_what_is_no_reading_batch_is_a_fault_of_its_own(name):
    value, code = NOT_VALUES[name]
    good = framed(record("tx-1", 1, readings(3)), record("tx-2", 1, readings(2)))
    found = decode_segment(segment([good[0], value, good[1]]))
    assert [(fault.code, fault.record) for fault in found.faults] == [(code, 1)]
    assert found.rows["record"].to_pylist() == [0, 0, 0, 2, 2]
    assert found.headers["record"].to_pylist() == [0, 2]


def test_values_of_two_schemas_come_in_the_order_of_their_offsets():
    ours = framed(record("tx-1", 1, readings(2)), record("tx-1", 3, readings(2, first=4)))
    middle = framed(record("tx-1", 2, readings(1, first=2)), id=9)[0] + b"\x00"  # the added text is empty
    found = decode_segment(segment([ours[0], middle, ours[1]], (OURS, EVOLVED)))
    assert found.faults == ()
    assert found.headers["sequence"].to_pylist() == [1, 2, 3]
    assert found.rows["record"].to_pylist() == [0, 0, 1, 2, 2]


def test_each_record_is_an_item_at_its_offset():
    values = [*framed(record("tx-1", 1, readings(3))), b"noise", *framed(record("tx-2", 1, readings(2)))]
    (chunk,) = chunks_of(pack(segment(values)), Limits(), digest="sha256:x", positions=[101])
    assert chunk.positions.tolist() == [100, 101, 102]
    assert chunk.positions[chunk.row_item].tolist() == [100, 100, 100, 102, 102]
    assert set(chunk.rows["record"].to_pylist()) == {0}
    assert [(item, fault.record) for item, fault in chunk.faults] == [(1, 0)]


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1" * 20, pytest.param(b"", id="empty")])
def test_what_is_no_segment_is_refused(data):
    with pytest.raises((ValueError, OSError)):
        unpack(data)


def test_another_parquet_file_is_no_segment():
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"offset": [1]}), buffer)
    with pytest.raises(ValueError, match="not a segment"):
        unpack(bytes(buffer.getvalue()))
