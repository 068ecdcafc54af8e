"""Dead letters of spool and topic: found, looked at without being shown, taken out, and answered."""

import json
import stat
from dataclasses import replace

import pytest

from appliance.base.errors import ApplianceError
from appliance.cli.main import run
from appliance.ingestion.letters import Letters
from appliance.ingestion.sink import Sink
from appliance.trust.data_keys import DataKeys
from appliance.trust.data_keys_wrap import open_wrapping
from appliance.trust.keys import FileKeys
from appliance.trust.keystores.codes import STORE_UNREACHABLE
from tests.small_site import MEASURES, SmallSite, avro, readings, record
from tests.unit.ingestion.test_commit import Partition
from tests.unit.ingestion.test_segment import framed

GOOD = record("tx-1", 1, readings(3))
NOISE = b"\x00\x00\x00\x00\x07" + b"Jane Roe 4111111111111111" * 3


@pytest.fixture
def copy(tmp_path):
    """A file with these bytes."""

    def of(data):
        (tmp_path / "copy").write_bytes(data)
        return tmp_path / "copy"

    return of


def mended(*records):
    return "\n".join(json.dumps(each) for each in records).encode()


@pytest.fixture
def site(tmp_path):
    """A file cut short at position 0 of the spool, a noisy value at offset 1 of a partition."""
    made = SmallSite(tmp_path / "site")
    made.put("good.avro", GOOD)
    (made.incoming / "bad.avro").write_bytes(avro(record("tx-2", 1, readings(4)))[:-20])
    made.sink.run()
    Partition(made).take(*framed(record("tx-3", 1, readings(2))), NOISE)
    made.letters = Letters(landing=made.landing, spool=made.sink.spool, clock=made.clock)
    return made


def test_letters_of_every_source_are_found(site):
    assert [(each.source, each.position, each.code) for each in site.letters.find()] == [
        ("kafka:readings:0", 1, "DECODE"),
        ("spool:readings", 0, "DECODE"),
    ]
    assert [each.source for each in site.letters.find(source="spool:readings")] == ["spool:readings"]
    assert site.letters.find(code="SIZE") == ()


def test_an_empty_lake_has_none(tmp_path):
    site = SmallSite(tmp_path)
    assert Letters(landing=site.landing, spool=site.sink.spool, clock=site.clock).find() == ()


def test_a_look_tells_nothing_of_the_content(site):
    letter = site.letters.one("kafka:readings:0", 1)
    look = site.letters.look(letter)
    assert (look.size_bytes, look.schema_id) == (len(NOISE), 7)
    assert "Jane" not in f"{letter}{look}"
    assert "4111" not in f"{letter}{look}"


def test_bytes_are_taken_out_as_they_came_and_into_a_new_file_alone(site, tmp_path):
    target = tmp_path / "letter.bin"
    assert site.letters.take_out(site.letters.one("kafka:readings:0", 1), target) == len(NOISE)
    assert target.read_bytes() == NOISE
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(ApplianceError, match="APL-INGEST-010"):
        site.letters.take_out(site.letters.one("spool:readings", 0), target)
    assert target.read_bytes() == NOISE


def test_letters_of_one_object_are_read_together(site, monkeypatch):
    """A segment of a topic has thousands of records, and may have as many letters."""
    Partition(site, 1).take(*framed(record("tx-4", 1, readings(2))), b"one", b"two", b"three")
    reads = []
    read = site.objects.read
    monkeypatch.setattr(site.objects, "read", lambda digest: reads.append(digest) or read(digest))
    letters = site.letters.find(source="kafka:readings:1")
    found = [(letter.position, data) for letter, data in site.letters.with_bytes(letters)]
    assert found == [(1, b"one"), (2, b"two"), (3, b"three")]
    assert len(reads) == 1


@pytest.mark.parametrize("form", [mended, avro], ids=["JSON lines", "Avro"])
def test_an_answer_comes_in_and_the_letter_counts_as_answered(site, copy, form):
    letter = site.letters.one("kafka:readings:0", 1)
    name = site.letters.answer(letter, copy(form(record("tx-3", 2, readings(2, first=2)))))
    assert [each.name for each in site.incoming.iterdir()] == [name]
    assert [each.source for each in site.letters.find()] == ["spool:readings"]
    assert len(site.letters.find(closed=True)) == 2
    report = site.sink.run()
    assert report.accepted == 2
    site.check_nothing_lost_or_doubled()
    site.letters.answer(letter, copy(form(record("tx-3", 2, readings(2, first=2)))))
    assert site.sink.run().accepted == 0  # the same copy again brings nothing in


REFUSED = {
    "nothing": (b"", "neither"),
    "no JSON": (b"{", "line 1"),
    "a field that is none": (mended({**GOOD, "site": "north"}), "line 1: Object contains unknown field `site`"),
    "a text for a number": (mended(GOOD, {**GOOD, "sequence": "2"}), "line 2: Expected `int`"),
    "a number too large": (mended({**GOOD, "sequence": 2**70}), "does not fit"),
    "no reading": (mended({**GOOD, "readings": []}), "no reading"),
    "still cut short": (avro(GOOD)[:-20], "runs past the end"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_mended_is_not_sent(site, copy, name):
    data, said = REFUSED[name]
    with pytest.raises(ApplianceError, match="APL-INGEST-010") as caught:
        site.letters.answer(site.letters.one("spool:readings", 0), copy(data))
    assert said in caught.value.message
    assert list(site.incoming.iterdir()) == []
    assert len(site.letters.find()) == 2


def test_a_copy_that_is_not_there_has_a_code(site, tmp_path):
    with pytest.raises(ApplianceError, match="APL-INGEST-010: cannot be read"):
        site.letters.answer(site.letters.one("spool:readings", 0), tmp_path / "missing")


@pytest.mark.parametrize("where", [("spool:readings", 1), ("spool:readings", 99), ("kafka:other:0", 1)])
def test_what_is_no_letter_has_a_code(site, where):
    with pytest.raises(ApplianceError, match="APL-INGEST-009"):
        site.letters.one(*where)


def test_the_commands_tell_the_same(tmp_path, capsys):
    folder = tmp_path / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    (folder / "declarations").mkdir(exist_ok=True)
    (folder / "declarations" / "measures.toml").write_text(MEASURES)
    incoming = folder / "spool" / "readings" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "bad.avro").write_bytes(avro(GOOD)[:-20])

    def call(*words):
        capsys.readouterr()
        code = run([*map(str, words), "--site", str(folder), "--json"])
        return code, json.loads(capsys.readouterr().out)

    assert call("quarantine", "letters")[1] == {"letters": [], "found": 0}
    call("ingest", "run")
    found = call("quarantine", "letters")[1]["letters"]
    assert [(each["source"], each["position"], each["code"]) for each in found] == [("spool:readings", 0, "DECODE")]
    assert call("quarantine", "letter", "spool:readings", 0)[1]["size_bytes"] == len(avro(GOOD)) - 20
    assert call("quarantine", "take-out", "spool:readings", 0, tmp_path / "out")[1]["bytes"] == len(avro(GOOD)) - 20
    (tmp_path / "mended.jsonl").write_bytes(mended(GOOD))
    assert call("quarantine", "answer", "spool:readings", 0, tmp_path / "mended.jsonl")[0] == 0
    assert call("ingest", "run")[1]["readings"]["accepted"] == 3
    assert call("quarantine", "letters")[1]["found"] == 0
    assert call("ingest", "ledger")[1]["imbalance"] == 0
    assert call("quarantine", "letter", "spool:readings", 7)[0] == 2


class Store:
    """A key store of the site that can go away."""

    def __init__(self, folder):
        self.away, self._keys = True, FileKeys(folder)

    def __call__(self):
        if self.away:
            raise ApplianceError(STORE_UNREACHABLE, "no answer")
        return open_wrapping(self._keys)


def test_with_the_key_store_away_a_letter_waits_and_what_lies_before_it_comes_in(tmp_path):
    store = Store(tmp_path / "keys")
    site = SmallSite(tmp_path / "site", commit_rows=1)
    keys = DataKeys(tmp_path / "data", store, site.clock)
    landing = replace(site.landing, data_keys=keys)
    sink = Sink(
        spool_folder=site.folder / "spool", declarations_folder=site.declarations, landing=landing, clock=site.clock
    )
    site.put("a.avro", GOOD)
    (site.incoming / "b.avro").write_bytes(NOISE)
    site.put("c.avro", record("tx-9", 1, readings(2)))
    with pytest.raises(ApplianceError, match="APL-KEYS-002"):
        sink.run()
    assert [row["name"] for row in site.rows("raw.records")] == ["a.avro"]
    assert [each.name for each in sink.spool.log()] == ["b.avro", "c.avro"]
    assert sum(path.is_file() for path in (site.folder / "objects").rglob("*")) == 1, "nothing of the letter"
    store.away = False
    assert sink.run().refused == {"DECODE": 1}
    site.check_nothing_lost_or_doubled()
    letters = Letters(landing=landing, spool=sink.spool, clock=site.clock)
    assert letters.bytes_of(letters.one("spool:readings", 1)) == NOISE


def test_listing_asks_for_no_key_until_a_letter_was_purged(site, monkeypatch):
    class Refused:
        def __getattr__(self, name):
            raise AssertionError(f"{name} was asked for")

    keys = DataKeys(site.folder / "keys" / "data", Refused, site.clock)
    assert (
        len(Letters(landing=replace(site.landing, data_keys=keys), spool=site.sink.spool, clock=site.clock).find()) == 2
    )
