"""Letters are sealed before anything of them is stored; segments decode without a key as they did in clear."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.decode import Limits, decode
from appliance.ingestion.letter_sealing import LETTER, LetterSeal, Unsealed, faults_of_letters, name_of
from appliance.ingestion.raw_object import chunks_of, keep_file, keep_segments
from appliance.ingestion.segment import RECORDS, decode_segment, pack, unpack
from appliance.orchestration.rederive import compare_with_raw
from appliance.storage.files import SiteFiles
from appliance.trust.data_keys import DataKeys
from appliance.trust.data_keys_wrap import open_wrapping
from appliance.trust.keystores.codes import STORE_SEALED
from tests.small_site import SmallSite, avro, readings, record
from tests.unit.ingestion.sensitive.scan import leaks
from tests.unit.ingestion.test_commit import Partition
from tests.unit.ingestion.test_segment import NOT_VALUES, framed, segment

SOURCE = "kafka:readings:0"
MARK = "4111111111111111"
NOISE = f"Jane Roe {MARK}".encode()
GOOD = framed(record("tx-1", 1, readings(3)), record("tx-2", 1, readings(2)))


class NoKeys:
    """Data keys that nobody may ask for."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for")


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path / "site")


def kept(site, *given):
    """The chunks of segments, given with their sources, and the bytes of their objects."""
    chunks = keep_segments(site.objects, LetterSeal(site.data_keys), given)
    return chunks, [site.objects.read(each.digest) for each in chunks]


def told(chunk):
    """All that a chunk says of its items but for the object that they lie in."""
    arrays = ("positions", "sizes", "arrived_us", "row_item", "header_item")
    return {
        **{name: getattr(chunk, name).tolist() for name in arrays},
        **{name: getattr(chunk, name).to_pylist() for name in ("rows", "headers")},
        "faults": list(chunk.faults),
    }


def in_clear(found):
    """The chunk of a segment as it was written before letters were sealed."""
    (chunk,) = chunks_of(pack(found), Limits(), digest="sha256:x", positions=[])
    return chunk


def test_without_letters_no_key_is_asked_for_and_the_bytes_are_what_they_were(site):
    found = segment(GOOD)
    (chunk,) = keep_segments(site.objects, LetterSeal(NoKeys()), [(SOURCE, found)])
    data = site.objects.read(chunk.digest)
    assert data == pack(found)
    assert pq.read_table(pa.BufferReader(data)).schema.names == RECORDS.names
    assert not (site.folder / "keys").exists()


@pytest.mark.parametrize("name", NOT_VALUES)
def test_a_sealed_letter_gives_what_it_gave_in_clear_and_decoding_asks_for_no_key(site, name):
    value, _ = NOT_VALUES[name]
    found = segment([GOOD[0], value, GOOD[1]])
    (chunk,), (data,) = kept(site, (SOURCE, found))
    assert told(chunk) == told(in_clear(found))
    (again,) = chunks_of(data, Limits(), digest=chunk.digest, positions=[101])
    assert told(again) == told(chunk)
    stored = unpack(data)
    assert list(stored.letters) == [1]
    assert stored.records["value"].to_pylist() == [GOOD[0], None, GOOD[1]]
    assert LetterSeal(site.data_keys).open({(SOURCE, 101): stored.letters[1]}) == {(SOURCE, 101): value or b""}


def test_keys_and_headers_of_a_letter_are_sealed_with_its_value(site):
    found = segment([GOOD[0], NOISE])
    headers = pa.array([[], [{"key": "who", "value": NOISE}]], RECORDS.field("headers").type)
    records = found.records.set_column(2, RECORDS.field("key"), pa.array([b"k", NOISE], pa.binary()))
    records = records.set_column(4, RECORDS.field("headers"), headers)
    kept(site, (SOURCE, replace(found, records=records)))
    assert leaks(site.folder, MARK) == []
    site.objects.put(pack(replace(found, records=records)))
    assert len(leaks(site.folder, MARK)) == 1, "the search finds it where it is in clear"


def test_the_same_letters_give_the_same_bytes(site):
    given = segment([*GOOD, NOISE, None, b""])
    first, again = kept(site, (SOURCE, given)), kept(SmallSite(site.folder), (SOURCE, given))
    assert first[1] == again[1]
    assert kept(site, ("kafka:readings:1", given))[1] != first[1], "another place is another key"


def test_a_commit_asks_once_for_the_keys_of_all_its_letters(site, monkeypatch):
    site.data_keys.token("kind", "text")
    wrapping, asked = site.data_keys._wrapping, []
    for name in ("wrap", "unwrap"):
        real = getattr(wrapping, name)
        monkeypatch.setattr(
            wrapping, name, lambda given, name=name, real=real: asked.append((name, len(given))) or real(given)
        )
    kept(site, (SOURCE, segment([NOISE, GOOD[0], NOISE])), ("kafka:readings:1", segment([*GOOD, b"", None])))
    assert asked == [("wrap", 4), ("unwrap", 4)]


def broken_blocks(data):
    """A container file with noise where each of its blocks begins."""
    sync = data[-16:]
    head, *blocks, _ = data.split(sync)
    return sync.join([head, *(b"\xff" * 10 + block[10:] for block in blocks), b""])


SEALED_FILES = {
    "no Avro": NOISE,
    "empty": b"",
    "a Parquet file": pack(segment([NOISE])),
    "cut short before the first batch": avro(record("tx-1", 1, readings(3)))[:-20],
    "two broken blocks": broken_blocks(avro(record("tx-1", 1, readings(40)), record("tx-2", 1), block_bytes=300)),
}


@pytest.mark.parametrize("name", SEALED_FILES)
def test_a_file_that_gave_nothing_is_kept_sealed(site, name):
    data = SEALED_FILES[name]
    decoded = decode(data, Limits())
    assert len(decoded.faults) == (2 if name == "two broken blocks" else 1)
    assert not decoded.rows.num_rows
    seal = LetterSeal(site.data_keys)
    digest, size = keep_file(site.objects, seal, data, decoded, source="spool:readings", position=4, arrived_us=5)
    stored = site.objects.read(digest)
    assert size == len(stored)
    assert not data or data not in stored
    (chunk,) = chunks_of(stored, Limits(), digest=digest, positions=[4])
    assert list(chunk.faults) == [(0, each) for each in decoded.faults]
    assert (chunk.positions.tolist(), chunk.sizes.tolist(), chunk.rows.num_rows) == ([4], [len(data)], 0)
    assert seal.open({("spool:readings", 4): unpack(stored).letters[0]}) == {("spool:readings", 4): data}
    assert keep_file(site.objects, seal, data, decoded, source="spool:readings", position=4, arrived_us=5)[0] == digest


def cut(*records):
    """A container file of a block for each record, cut short in the last one."""
    return avro(*records, block_bytes=1)[:-20]


FILES_IN_CLEAR = {
    "whole": avro(record("tx-1", 1, readings(3))),
    "with batches before the fault": cut(record("tx-1", 1, readings(30)), record("tx-1", 2, readings(30))),
    "with a batch of no readings before it": cut(record("tx-1", 1), record("tx-1", 2, readings(9))),
}


@pytest.mark.parametrize("name", FILES_IN_CLEAR)
def test_a_file_that_gave_batches_is_kept_as_it_came(site, name):
    data = FILES_IN_CLEAR[name]
    decoded = decode(data, Limits())
    assert decoded.headers.num_rows
    digest, size = keep_file(
        site.objects, LetterSeal(NoKeys()), data, decoded, source="spool:readings", position=4, arrived_us=5
    )
    assert (site.objects.read(digest), size) == (data, len(data))


def test_a_segment_from_before_letters_were_sealed_reads_as_it_did(site):
    found = segment([GOOD[0], NOISE, GOOD[1]])
    old = unpack(pack(found))
    assert old.letters == {}
    assert old.records.equals(found.records)
    assert [(each.code, each.record) for each in decode_segment(old).faults] == [("DECODE", 1)]


def test_a_letter_whose_key_was_destroyed_is_not_kept_when_it_comes_again(site):
    found = segment([GOOD[0], NOISE])
    (before,), _ = kept(site, (SOURCE, found))
    site.data_keys.erase([site.data_keys.id_of(LETTER, name_of((SOURCE, 101)))])
    (chunk,), (data,) = kept(site, (SOURCE, found))
    letter = unpack(data).letters[1]
    assert (letter.sealed, letter.size_bytes) == (None, len(NOISE))
    assert told(chunk) == told(before)
    assert LetterSeal(site.data_keys).open({(SOURCE, 101): letter}) == {(SOURCE, 101): None}


class Refusing:
    """Stands in for a key store that gives an error of its own."""

    def __init__(self, code):
        self._code = code

    def __call__(self):
        raise ApplianceError(self._code, "no")


def test_a_store_that_is_away_is_an_error_and_nothing_is_put(site):
    keys = DataKeys(site.folder / "keys" / "data", Refusing(STORE_SEALED), site.clock)
    given = [(SOURCE, segment(GOOD)), ("kafka:readings:1", segment([NOISE]))]
    with pytest.raises(ApplianceError, match="APL-KEYS-003"):
        keep_segments(site.objects, LetterSeal(keys), given)
    assert not [each for each in (site.folder / "objects").rglob("*") if each.is_file()]


def test_where_the_store_is_a_token_letters_are_kept_in_clear(site):
    keys = DataKeys(site.folder / "keys" / "data", lambda: open_wrapping(object()), site.clock)
    found = segment([GOOD[0], NOISE])
    (chunk,) = keep_segments(site.objects, LetterSeal(keys), [(SOURCE, found)])
    assert site.objects.read(chunk.digest) == pack(found)
    assert told(chunk) == told(in_clear(found))
    decoded = decode(NOISE, Limits())
    digest, _ = keep_file(
        site.objects, LetterSeal(keys), NOISE, decoded, source="spool:readings", position=4, arrived_us=5
    )
    assert site.objects.read(digest) == NOISE


def flipped(letter):
    return replace(letter, sealed=letter.sealed[:-1] + bytes([letter.sealed[-1] ^ 1]))


NOT_OPENED = {
    "altered": (flipped, (SOURCE, 100), "APL-TRUST-038"),
    "of another place": (lambda letter: letter, (SOURCE, 101), "APL-TRUST-038"),
    "without a key": (lambda letter: letter, (SOURCE, 999), "APL-TRUST-037"),
}


@pytest.mark.parametrize("name", NOT_OPENED)
def test_what_is_not_the_letter_of_its_place_is_not_opened(site, name):
    change, place, code = NOT_OPENED[name]
    _, (data,) = kept(site, (SOURCE, segment([NOISE, NOISE])))
    with pytest.raises(ApplianceError, match=code):
        LetterSeal(site.data_keys).open({place: change(unpack(data).letters[0])})


def test_a_letter_column_of_another_form_is_no_segment(site):
    _, (data,) = kept(site, (SOURCE, segment([NOISE])))
    table = pq.read_table(pa.BufferReader(data))
    buffer = pa.BufferOutputStream()
    pq.write_table(table.set_column(5, "letter", pa.array(["x"])), buffer)
    with pytest.raises(ValueError, match="not a segment"):
        unpack(bytes(buffer.getvalue()))


def test_only_what_gave_no_batch_is_a_letter():
    decoded = decode_segment(segment([GOOD[0], b"{}", GOOD[1], None]))
    assert [(place, each.code, each.record) for place, (each,) in faults_of_letters(decoded).items()] == [
        (1, "DECODE", 0), (3, "DECODE", 0),
    ]  # fmt: skip
    sealed = Unsealed(source=SOURCE, segment=segment(GOOD), faults={})
    assert LetterSeal(NoKeys()).seal([sealed]) == [sealed.segment]


def test_rows_beside_a_letter_are_compared_with_the_raw_bytes_before_and_after_its_key_is_destroyed(site):
    Partition(site).take(GOOD[0], NOISE, GOOD[1])
    raw = {(row["source"], row["position"]): site.objects.site_name(row["digest"]) for row in site.rows("raw.records")}
    (file,) = site.lake.files("silver.readings")
    files = SiteFiles(site.folder)
    assert compare_with_raw(files, file.path, raw, Limits()) == ""
    site.data_keys.erase([site.data_keys.id_of(LETTER, name_of((SOURCE, 1)))])
    for path in sorted((site.folder / "keys").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert compare_with_raw(files, file.path, raw, Limits()) == ""
    assert np.unique(site.lake.scan("silver.readings")["position"].to_numpy()).tolist() == [0, 2]
