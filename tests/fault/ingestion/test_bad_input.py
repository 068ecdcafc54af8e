"""One test per bad input. Each says with which code it is refused, and what is left on disk: nothing is lost, the good
file beside it comes in, and a second run changes nothing."""

import errno
import os

import pytest

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.ingestion import reading
from appliance.ingestion.letters import Letters
from tests.small_site import NOW, SmallSite, avro, readings, record

GOOD = record("tx-good", 1, readings(6))
SOME = record("tx-1", 1, readings(5))


def damaged(data, old, new):
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


def zigzag(value):
    value <<= 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def claims_ten_gigabytes():
    data = avro(SOME)
    at = data.index(b"\x00", data.index(b"avro.schema")) + 17  # past the closing 0 of the header and the sync marker
    return data[:at] + zigzag(1) + zigzag(10 * 2**30) + data[at + 3 :]


def claims_many_records():
    data = avro(SOME)
    at = data.index(b"\x00", data.index(b"avro.schema")) + 17
    return data[:at] + zigzag(2**40) + data[at + 1 :]


def header_claims_ten_gigabytes():
    return b"Obj\x01" + zigzag(1) + zigzag(10 * 2**30) + b"avro.schema"


def bomb():
    many = record("tx-1", 1, readings(200_000, value=1.0, measure="tap_position", event_time=0))
    return avro(many, codec="deflate", block_bytes=1 << 30)


def other_schema():
    text = reading.SCHEMA_JSON.encode()
    return damaged(avro(SOME), text, text.replace(b"double", b"string"))


FILES = [
    # name, bytes, code of the refusal, readings of the file that are kept
    ("unknown code", avro(record("tx-1", 1, [*readings(4), *readings(1, measure="oil_temp2")])), "MEASURE", 4),
    ("truncated Avro", avro(SOME, record("tx-2", 1, readings(3)), block_bytes=1)[:-25], "DECODE", 5),
    ("truncated header", avro(SOME)[:40], "DECODE", 0),
    ("header claims 10 GB", header_claims_ten_gigabytes(), "SIZE", 0),
    ("block claims 10 GB", claims_ten_gigabytes(), "SIZE", 0),
    ("block claims 2**40 records", claims_many_records(), "SIZE", 0),
    ("zip bomb", bomb(), "SIZE", 0),
    ("another schema", other_schema(), "SCHEMA", 0),
    ("not Avro at all", b"device,time,value\n", "DECODE", 0),
    ("empty", b"", "DECODE", 0),
    ("wrong encoding", damaged(avro(record("tx-\u00e4", 1, readings(2))), "\u00e4".encode(), b"\xe4\x31"), "DEVICE", 0),
    ("another unit", avro(record("tx-1", 1, [*readings(4), *readings(1, first=4, unit="F")])), "UNIT", 4),
    ("out of range", avro(record("tx-1", 1, [*readings(4), *readings(1, first=4, value=151.0)])), "RANGE", 4),
    ("not a number", avro(record("tx-1", 1, [*readings(4), *readings(1, first=4, value=float("nan"))])), "NAN", 4),
    ("bad quality", avro(record("tx-1", 1, [*readings(4), *readings(1, first=4, quality="bad")])), "QUALITY", 4),
    ("in 1970", avro(record("tx-1", 1, [*readings(4), *readings(1, event_time=0)])), "EVENT_TIME", 4),
    ("in the far future", avro(record("tx-1", 1, [*readings(4), *readings(1, event_time=2**62)])), "EVENT_TIME", 4),
    ("stuck sensor", avro(record("tx-1", 1, [*readings(3), *readings(16, first=3, value=9.0)])), "STUCK", 3),
    ("empty device", avro(record("", 1, readings(3))), "DEVICE", 0),
    ("reserved device", avro(record("unknown", 1, readings(3))), "DEVICE", 0),
    ("reading sent twice", avro(record("tx-1", 1, [*readings(4), *readings(1)])), "DUPLICATE", 4),
    ("record sent twice", avro(SOME, {**SOME, "readings": readings(5, first=90)}), "DUPLICATE", 5),
]


@pytest.mark.parametrize(("data", "code", "kept"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_bad_file_is_kept_raw_and_refused_with_its_code(tmp_path, data, code, kept):
    site = SmallSite(tmp_path)
    (site.incoming / "a-bad.avro").write_bytes(data)
    site.put("b-good.avro", GOOD)
    report = site.sink.run()
    assert set(site.codes()) == {code}
    assert report.accepted == kept + 6
    assert report.refused == site.codes()
    raw = site.rows("raw.records")
    assert [row["name"] for row in raw] == ["a-bad.avro", "b-good.avro"]
    stored = site.objects.read(raw[0]["digest"])
    if raw[0]["records"]:
        assert stored == data
    else:
        letters = Letters(landing=site.landing, spool=site.sink.spool, clock=site.clock)
        assert letters.bytes_of(letters.one("spool:readings", 0)) == data
        assert not data or data not in stored, "sealed: it gave nothing"
    assert {row["raw_digest"] for row in site.rows("quarantine.readings")} == {raw[0]["digest"]}
    site.check_nothing_lost_or_doubled()
    before = str(site.content())  # as text: NaN is not equal to itself
    assert site.sink.run().files == 0
    assert str(site.content()) == before
    assert list(site.incoming.iterdir()) == list((tmp_path / "spool/readings/log").iterdir()) == []


@pytest.mark.parametrize("run", [15, 16], ids=["fifteen the same are accepted", "sixteen the same are stuck"])
def test_stuck_begins_at_sixteen(tmp_path, run):
    site = SmallSite(tmp_path)
    site.put(
        "a.avro",
        record("tx-1", 1, readings(run, value=9.0)),
        record("tx-2", 1, readings(40, measure="tap_position", value=9.0)),
    )
    site.sink.run()
    assert site.codes() == ({} if run < 16 else {"STUCK": 16})


def link_out_of_the_spool(incoming, outside):
    secret = outside / "secret.avro"
    secret.write_bytes(avro(SOME))
    (incoming / "a.avro").symlink_to(secret)


def folder_with_a_name(incoming, outside):
    (incoming / "a.avro").mkdir()


def pipe(incoming, outside):
    os.mkfifo(incoming / "a.avro")


def large(incoming, outside):
    with (incoming / "a.avro").open("wb") as file:
        file.truncate(10_000_000)


def odd_name(incoming, outside):
    (incoming / "a b;c.avro").write_bytes(avro(SOME))


def other_suffix(incoming, outside):
    (incoming / "a.txt").write_bytes(avro(SOME))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (link_out_of_the_spool, "it is a symbolic link"),
        (folder_with_a_name, "it is not a regular file"),
        (pipe, "it is not a regular file"),
        (large, "it has 10000000 bytes, at most 1000000 are allowed"),
        (odd_name, "its name is not letters"),
        (other_suffix, "its name is not letters"),
    ],
)
def test_what_is_no_spool_file_is_set_aside_with_its_reason(tmp_path, make, reason):
    site = SmallSite(tmp_path / "site", max_file_bytes=1_000_000)
    make(site.incoming, tmp_path)
    site.put("b-good.avro", GOOD)
    report = site.sink.run()
    assert report.accepted == 6
    assert report.refused_files == 1
    (refused,) = site.sink.spool.refused()
    assert refused.reason.startswith(reason)
    assert refused.path.is_symlink() or refused.path.exists()
    assert list(site.incoming.iterdir()) == []
    (alert,) = site.alerts.all()
    assert (alert.code, alert.severity) == ("SPOOL_REFUSED", "warning")
    assert site.sink.run().refused_files == 0
    assert len(site.alerts.all()) == 1
    assert (tmp_path / "secret.avro").exists() == (make is link_out_of_the_spool)


@pytest.mark.parametrize("fails_at", range(0, 24, 3))
def test_full_disk_loses_nothing(tmp_path, monkeypatch, fails_at):
    site = SmallSite(tmp_path)
    site.put("a.avro", GOOD, SOME)
    site.put("b.avro", record("tx-2", 2, [*readings(3), *readings(1, value=999.0)]))
    real, calls = os.fsync, [0]

    def full(handle):
        calls[0] += 1
        if calls[0] > fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(ApplianceError) as caught:
        site.sink.run()
    assert caught.value.code.id in ("APL-BASE-002", "APL-STORAGE-003")
    assert "No space left" in caught.value.message
    monkeypatch.undo()
    again = SmallSite(tmp_path)
    again.sink.run()
    assert len(again.rows("silver.readings")) == 14
    assert again.codes() == {"RANGE": 1}
    again.check_nothing_lost_or_doubled()


@pytest.mark.parametrize("year", [1970, 2023])
def test_clock_in_the_past_claims_nothing(tmp_path, year):
    site = SmallSite(tmp_path, now=NOW.replace(year=year))
    site.put("a.avro", GOOD)
    with pytest.raises(ApplianceError, match=f"the clock says {year}") as caught:
        site.sink.run()
    assert caught.value.code.id == "APL-INGEST-003"
    assert [path.name for path in site.incoming.iterdir()] == ["a.avro"]
    assert not site.rows("raw.records")
    site.clock.at = NOW
    assert site.sink.run().accepted == 6


def test_clock_behind_the_newest_arrival_claims_nothing(tmp_path):
    site = SmallSite(tmp_path)
    site.put("a.avro", GOOD)
    site.sink.run()
    site.put("b.avro", SOME)
    site.clock.at = NOW.replace(hour=11)
    with pytest.raises(ApplianceError, match="expected 2026-03-01T12:00:00Z or later"):
        site.sink.run()
    assert [path.name for path in site.incoming.iterdir()] == ["b.avro"]


@pytest.mark.parametrize("damage", ["gap", "foreign"])
def test_a_log_that_somebody_touched_stops_the_run(tmp_path, damage):
    site = SmallSite(tmp_path)
    log = tmp_path / "spool/readings/log"
    names = [f"{position:012d}-{10**15:016d}-a.avro" for position in ((0, 2) if damage == "gap" else (0,))]
    for name in [*names, *(["note.txt"] if damage == "foreign" else [])]:
        (log / name).write_bytes(avro(GOOD))
    with pytest.raises(ApplianceError) as caught:
        site.sink.run()
    assert caught.value.code.id == "APL-INGEST-004"
    assert not site.rows("raw.records")


def test_two_runs_at_once_are_refused(tmp_path):
    site = SmallSite(tmp_path)
    with site.sink.spool.exclusive(), pytest.raises(ApplianceError) as caught:
        site.sink.run()
    assert caught.value.code.id == "APL-BASE-006"
