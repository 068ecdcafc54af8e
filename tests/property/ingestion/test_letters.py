"""Segments with any records: sealing changes nothing that is decoded, loses nothing, and repeats itself."""

import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.base.clock import FixedClock
from appliance.ingestion.decode import Limits, decode
from appliance.ingestion.letter_sealing import LETTER, Content, LetterSeal
from appliance.ingestion.raw_object import chunks_of, keep_file, keep_segments
from appliance.ingestion.segment import RECORDS, pack, unpack
from appliance.ingestion.sensitive.sealing import place_of
from appliance.storage.objects import FolderStore
from appliance.trust.data_keys import DataKeys
from appliance.trust.data_keys_wrap import open_wrapping
from appliance.trust.keys import FileKeys
from tests.small_site import NOW, avro, readings, record
from tests.unit.ingestion.test_letter_sealing import told
from tests.unit.ingestion.test_segment import framed, segment

WHOLE = framed(*(record(f"tx-{number}", number, readings(number)) for number in range(4)))
BYTES = st.none() | st.binary(max_size=40)
VALUES = BYTES | st.sampled_from(WHOLE) | st.sampled_from(WHOLE).map(lambda whole: whole[:-1])
HEADERS = st.lists(st.tuples(st.text(max_size=4), BYTES), max_size=3)
RECORD = st.tuples(BYTES, VALUES, HEADERS)


def of_records(records, first):
    found = segment([value for _, value, _ in records], first=first)
    keys = pa.array([key for key, _, _ in records], pa.binary())
    headers = [[{"key": key, "value": value} for key, value in headers] for _, _, headers in records]
    table = found.records.set_column(2, RECORDS.field("key"), keys)
    table = table.set_column(4, RECORDS.field("headers"), pa.array(headers, RECORDS.field("headers").type))
    return replace(found, records=table)


def parts_in(folder):
    keys = DataKeys(folder / "keys", lambda: open_wrapping(FileKeys(folder / "keys")), FixedClock(NOW))
    return FolderStore(folder / "objects", folder), keys


@given(records=st.lists(RECORD, min_size=1, max_size=8), first=st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_any_segment(records, first):
    source, found = "kafka:readings:0", of_records(records, first)
    (clear,) = chunks_of(pack(found), Limits(), digest="", positions=[])
    lost = {item for item, _ in clear.faults}
    with tempfile.TemporaryDirectory() as folder:
        objects, keys = parts_in(Path(folder))
        (chunk,) = keep_segments(objects, LetterSeal(keys), [(source, found)])
        data = objects.read(chunk.digest)
        (again,) = chunks_of(data, Limits(), digest="", positions=[])
        assert told(clear) == told(chunk) == told(again)
        stored = unpack(data)
        assert set(stored.letters) == lost
        for place, row in enumerate(stored.records.to_pylist()):
            as_it_came = (records[place][0], records[place][1], records[place][2])
            if place in lost:
                assert (row["key"], row["value"], row["headers"]) == (None, None, None)
                sealed = stored.letters[place].sealed
                (key,) = keys.get([sealed[:16]]).values()
                plain = key.open(sealed, place_of(LETTER, source, first + place))
                opened = msgspec.msgpack.decode(plain, type=Content)
                row = {"key": opened.key, "value": opened.value, "headers": opened.headers}
            else:
                row["headers"] = [(each["key"], each["value"]) for each in row["headers"]]
            assert (row["key"], row["value"], list(row["headers"])) == as_it_came
        (retried,) = keep_segments(objects, LetterSeal(parts_in(Path(folder))[1]), [(source, found)])
        assert retried.digest == chunk.digest


GOOD_FILE = avro(record("tx-1", 1, readings(3)), record("tx-2", 2, readings(3)), block_bytes=100)
FILES = st.binary(max_size=60) | st.integers(0, len(GOOD_FILE)).map(lambda end: GOOD_FILE[:end])


@given(data=FILES, position=st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_any_file(data, position):
    decoded = decode(data, Limits())
    place = ("spool:readings", position)
    with tempfile.TemporaryDirectory() as folder:
        objects, keys = parts_in(Path(folder))
        given_to = {"source": place[0], "position": position, "arrived_us": 7}
        digest, size = keep_file(objects, LetterSeal(keys), data, decoded, **given_to)
        assert keep_file(objects, LetterSeal(parts_in(Path(folder))[1]), data, decoded, **given_to) == (digest, size)
        stored = objects.read(digest)
        (chunk,) = chunks_of(stored, Limits(), digest=digest, positions=[position])
        assert [each for _, each in chunk.faults] == list(decoded.faults)
        assert chunk.rows.num_rows == decoded.rows.num_rows
        if decoded.faults and not decoded.headers.num_rows:
            assert LetterSeal(keys).open({place: unpack(stored).letters[0]}) == {place: data}
        else:
            assert stored == data
