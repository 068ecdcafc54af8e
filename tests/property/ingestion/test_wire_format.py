"""The wire form, held against fastavro: our writer gives its bytes, our reader gives its values, and a file that was
damaged anywhere gives whole rows or faults, never an error and never a changed value."""

import io

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion import decode, encode, reading

LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
READING = st.fixed_dictionaries(
    {"event_time": LONG, "measure": TEXT, "value": st.floats(allow_nan=False), "quality": TEXT, "unit": TEXT}
)
BATCH = st.fixed_dictionaries(
    {
        "device_id": TEXT,
        "firmware": TEXT,
        "sequence": LONG,
        "produced_at": LONG,
        "trace_id": TEXT,
        "readings": st.lists(READING, max_size=5),
    }
)
FILE = st.lists(BATCH, max_size=8)
SYNC = bytes(range(16))
LIMITS = decode.Limits()


def by_fastavro(batches, codec="null", sync_interval=200) -> bytes:
    file = io.BytesIO()
    fastavro.writer(
        file, reading.SCHEMA, batches, codec=codec, sync_interval=sync_interval, sync_marker=SYNC, metadata={"k": "v"}
    )
    return file.getvalue()


def columns(batches) -> encode.Batches:
    readings = [each for batch in batches for each in batch["readings"]]

    def words(rows, name):
        return pa.array([row[name] for row in rows], pa.string())

    def longs(rows, name):
        return np.array([row[name] for row in rows], np.int64)

    return encode.Batches(
        device_id=words(batches, "device_id"),
        firmware=words(batches, "firmware"),
        sequence=longs(batches, "sequence"),
        produced_at=longs(batches, "produced_at"),
        trace_id=words(batches, "trace_id"),
        offsets=np.cumsum([0, *(len(batch["readings"]) for batch in batches)]),
        event_time=longs(readings, "event_time"),
        measure=words(readings, "measure"),
        value=np.array([row["value"] for row in readings], np.float64),
        quality=words(readings, "quality"),
        unit=words(readings, "unit"),
    )


def expected_rows(batches) -> list[dict]:
    return [
        {
            **{name: batch[name] for name in ("device_id", "firmware", "sequence")},
            **each,
            "record": record,
            "index": index,
        }
        for record, batch in enumerate(batches)
        for index, each in enumerate(batch["readings"])
    ]


def normal(rows) -> list[tuple]:
    return [tuple(sorted(row.items())) for row in rows]


@settings(max_examples=150, deadline=None)
@given(FILE)
def test_writer_gives_the_bytes_of_fastavro(batches):
    ours = encode.encode_batches(columns(batches), metadata={"k": "v"}, block_bytes=200, sync_marker=SYNC)
    assert ours == by_fastavro(batches)


@settings(max_examples=150, deadline=None)
@given(FILE, st.sampled_from(["null", "deflate"]))
def test_reader_gives_the_values_of_fastavro(batches, codec):
    data = by_fastavro(batches, codec)
    found = decode.decode(data, LIMITS)
    assert found.faults == ()
    assert normal(found.rows.to_pylist()) == normal(expected_rows(list(fastavro.reader(io.BytesIO(data)))))
    assert found.headers["readings"].to_pylist() == [len(batch["readings"]) for batch in batches]


@settings(max_examples=300, deadline=None)
@given(st.lists(BATCH, min_size=1, max_size=6), st.data())
def test_cut_anywhere_gives_a_prefix(batches, data):
    whole = by_fastavro(batches)
    size = data.draw(st.integers(0, len(whole) - 1))
    found = decode.decode(whole[:size], LIMITS)
    rows = normal(expected_rows(batches))
    assert normal(found.rows.to_pylist()) == rows[: found.rows.num_rows]


@settings(max_examples=300, deadline=None)
@given(st.lists(BATCH, min_size=1, max_size=6), st.data())
def test_damaged_byte_never_raises_and_other_blocks_survive(batches, data):
    whole = by_fastavro(batches, sync_interval=1)  # one record per block
    body = whole.index(SYNC) + len(SYNC)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    found = decode.decode(bytes(damaged), LIMITS)
    if at >= body:
        kept = set(normal({**row, "record": 0} for row in found.rows.to_pylist()))
        hit = [
            batch
            for batch in batches
            if any((*item,) not in kept for item in normal({**r, "record": 0} for r in expected_rows([batch])))
        ]
        assert len(hit) <= 2  # a sync marker that was hit costs the block before it and resynchronises


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_negative_counts_of_array_blocks_are_read(codec):
    batch = {
        "device_id": "d", "firmware": "1", "sequence": 1, "produced_at": 2, "trace_id": "t",
        "readings": [{"event_time": 3, "measure": "m", "value": 1.5, "quality": "good", "unit": "u"}],
    }  # fmt: skip
    file = io.BytesIO()
    fastavro.schemaless_writer(file, reading.SCHEMA, batch)
    record = file.getvalue()
    item = record[record.index(b"\x02t") + 3 : -1]  # after the trace id and the count 1, before the closing 0
    blocked = record[: record.index(b"\x02t") + 2] + b"\x01" + bytes([2 * len(item)]) + item + b"\0"
    whole = encode.encode_batches(columns([batch]), sync_marker=SYNC)
    head = whole[: whole.index(SYNC) + 16]
    framed = head + b"\x02" + bytes([(2 * len(blocked)) & 127 | 128, (2 * len(blocked)) >> 7]) + blocked + SYNC
    found = decode.decode(framed, LIMITS)
    assert found.faults == ()
    assert found.rows.to_pylist() == decode.decode(whole, LIMITS).rows.to_pylist()
