"""The frame of a value: what is written is read, and no bytes hurt."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.schemas.frame import FRAME_BYTES, MAX_PATH, read_frames, read_path, write_frame
from appliance.ingestion.schemas.registry import MAX_ID

IDS = st.integers(1, MAX_ID)
PAYLOADS = st.binary(max_size=40)
PATHS = st.lists(st.integers(0, 1 << 20), min_size=1, max_size=MAX_PATH)
TYPES = st.sampled_from([pa.binary(), pa.large_binary()])


@given(st.lists(st.tuples(IDS, PAYLOADS), max_size=20), TYPES)
def test_frames_that_were_written_are_read(values, type):
    """Confluent: magic byte 0, then the schema id as 4 bytes in network byte order, then the data."""
    frames = read_frames(pa.array([write_frame(*each) for each in values], type))
    assert frames.faults == ()
    assert frames.ids.tolist() == [id for id, _ in values]
    assert [bytes(each) for each in frames.payloads(range(len(values)))] == [payload for _, payload in values]


@given(st.lists(st.one_of(st.none(), st.binary(max_size=9)), max_size=20), TYPES, st.data())
def test_any_bytes_give_an_id_or_a_fault_each_as_one_alone_would(values, type, data):
    start = data.draw(st.integers(0, len(values)))
    array = pa.array([b"before", None, *values], type)[2 + start :]  # a slice: its buffers begin elsewhere
    frames = read_frames(array)
    faulty = {fault.record: fault for fault in frames.faults}
    for ordinal, value in enumerate(values[start:]):
        id = int.from_bytes(value[1:FRAME_BYTES], "big") if value is not None and len(value) >= FRAME_BYTES else 0
        whole = value is not None and value[:1] == b"\0" and 0 < id <= MAX_ID
        assert (ordinal in faulty) != whole
        assert frames.ids[ordinal] == (id if whole else 0)
        (payload,) = frames.payloads([ordinal])
        assert bytes(payload) == (value[FRAME_BYTES:] if whole else b"")


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (None, "no value"),
        (b"", "0 bytes is too short"),
        (b"\0\0\0\0", "4 bytes is too short"),
        (b"\x01\0\0\0\x07", "begins with 0x01"),
        (b"Obj\x01\0\0", "begins with 0x4f"),
        (b"\0\0\0\0\0", "0 is not an id"),
        (b"\0\xff\xff\xff\xff", "4294967295 is not an id"),
    ],
)
def test_a_value_without_a_frame_says_why(value, detail):
    frames = read_frames(pa.array([write_frame(1, b"x"), value], pa.binary()))
    (fault,) = frames.faults
    assert (fault.code, fault.record) == ("DECODE", 1)
    assert detail in fault.detail
    assert frames.ids.tolist() == [1, 0]


def test_no_values_have_no_frames():
    for empty in (pa.array([], pa.binary()), pa.array([None], pa.binary()), pa.array([b""], pa.binary())):
        assert read_frames(empty).ids.tolist() == [0] * len(empty)


def test_only_binary_has_frames():
    with pytest.raises(TypeError, match="binary"):
        read_frames(pa.array(["text"]))


@given(PATHS, PAYLOADS)
def test_a_path_that_was_written_is_read(path, payload):
    """Confluent: a variable-length array of message indexes before the data; [0], the usual one, is the byte 0."""
    framed = write_frame(7, payload, path=path)[FRAME_BYTES:]
    found, start = read_path(framed)
    assert list(found) == path
    assert framed[start:] == payload


def test_the_first_message_is_a_single_byte():
    assert write_frame(7, b"x", path=[0])[FRAME_BYTES:] == b"\0x"
    # Confluent's documentation gives these: [1, 0] is 2, 1, 0 as zig-zag varints.
    assert write_frame(7, b"", path=[1, 0])[FRAME_BYTES:] == bytes([4, 2, 0])


@given(st.binary(max_size=30))
def test_any_bytes_are_a_path_or_a_value_error(data):
    try:
        path, start = read_path(data)
    except ValueError:
        return
    assert 0 < len(path) <= MAX_PATH
    assert all(step >= 0 for step in path)
    assert 0 < start <= len(data)
