"""Drops: a declared mapping makes rows of CSV and Parquet files; what does not fit is kept with code and text."""

import datetime as dt
import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError
from tests.small_site import NOW, SmallSite

ETT = Path(__file__).parents[2] / "data" / "ett" / "ETTh1.csv"
ETT_DIGEST = "sha256:f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066"
ETT_MAPPING = """
table = "silver.ett"
format = "csv"
description = "Electricity transformer temperature, hourly"

[time]
column = "date"
format = "%Y-%m-%d %H:%M:%S"
zone = "Asia/Shanghai"

[constants]
device_id = "ett-h1"
""" + "".join(
    f'\n[[column]]\nfrom = "{name}"\nname = "{name.lower()}"\ntype = "double"\nunit = "{unit}"\n'
    for name, unit in [*((name, "MW") for name in ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")), ("OT", "Cel")]
)
INCIDENTS = """
table = "labels.incidents"
format = "csv"
arrival = "arrived_at"

[time]
column = "when"
zone = "Europe/Berlin"

[[column]]
from = "unit"
name = "device_id"
type = "string"

[[column]]
from = "known"
name = "arrived_at"
type = "timestamp"

[[column]]
from = "what"
name = "kind"
type = "string"
"""
PLAIN = """
table = "silver.plain"
format = "FORMAT"

[time]
column = "t"

[[column]]
from = "v"
name = "v"
type = "double"
min = 0.0
max = 10.0

[[column]]
from = "n"
name = "n"
type = "long"
required = false
"""


def test_the_real_file_is_the_published_one():
    assert digest_file(ETT) == ETT_DIGEST


def test_the_real_file_comes_in_whole(tmp_path):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("ett", ETT_MAPPING)
    shutil.copy(ETT, spool.incoming)
    report = site.drops.run()
    assert (report.files, report.lines, report.accepted, report.refused) == (1, 17_420, 17_420, {})
    rows = site.lake.scan("silver.ett").sort_by("line")
    first = rows.slice(0, 1).to_pylist()[0]
    assert first["event_time"] == dt.datetime(2016, 6, 30, 16, tzinfo=dt.UTC)  # midnight in Shanghai
    assert (first["device_id"], first["ot"], first["line"]) == ("ett-h1", 30.5310001373291, 1)
    assert rows["line"].to_pylist() == list(range(1, 17_421))
    assert site.objects.holds(ETT_DIGEST)


def test_labels_have_their_own_time_of_arrival(tmp_path):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("incidents", INCIDENTS)
    (spool.incoming / "a.csv").write_text(
        "unit,when,known,what\ntx-1,2026-01-10T10:00:00,2026-01-12T08:00:00Z,overheating\n"
    )
    site.drops.run()
    (row,) = site.rows("labels.incidents")
    assert row["event_time"] == dt.datetime(2026, 1, 10, 9, tzinfo=dt.UTC)  # Berlin in winter
    assert row["arrived_at"] == dt.datetime(2026, 1, 12, 8, tzinfo=dt.UTC)
    assert (row["device_id"], row["kind"]) == ("tx-1", "overheating")


LINES = [
    ("2026-01-01T00:00:00Z,5,7", None),
    ("2026-01-01,5,", None),
    ("2026-13-01T00:00:00Z,5,7", "TYPE"),
    ("2026-02-31T00:00:00Z,5,7", "TYPE"),
    ("2026-01-01T00:00:00Z,five,7", "TYPE"),
    ("2026-01-01T00:00:00Z,5,7.5", "TYPE"),
    ("2026-01-01T00:00:00Z,,7", "MISSING"),
    (",5,7", "MISSING"),
    ("2026-01-01T00:00:00Z,nan,7", "NAN"),
    ("2026-01-01T00:00:00Z,10.5,7", "RANGE"),
    ("2026-01-01T00:00:00Z,-1,7", "RANGE"),
    ("2027-01-01T00:00:00Z,5,7", "EVENT_TIME"),
    ("2026-01-01T00:00:00Z,5", "COLUMNS"),
    ("2026-01-01T00:00:00Z,5,7,9", "COLUMNS"),
]


@pytest.mark.parametrize(("line", "code"), LINES)
def test_a_bad_line_is_kept_with_its_code_and_costs_no_other(tmp_path, line, code):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("plain", PLAIN.replace("FORMAT", "csv"))
    good = "2026-01-02T00:00:00Z,1,2"
    (spool.incoming / "a.csv").write_text(f"t,v,n\n{good}\n{line}\n{good.replace('-02T', '-03T')}\n")
    report = site.drops.run()
    assert report.refused == ({} if code is None else {code: 1})
    assert [row["line"] for row in site.lake.scan("silver.plain").sort_by("line").to_pylist()] == (
        [1, 2, 3] if code is None else [1, 3]
    )
    if code is not None:
        (row,) = site.rows("quarantine.drops")
        assert (row["line"], row["code"], row["text"]) == (2, code, line)
        assert site.objects.holds(row["raw_digest"])


def test_a_bound_holds_for_numbers_beyond_2_53(tmp_path):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("plain", PLAIN.replace("FORMAT", "csv") + "max = 100.0\n")
    (spool.incoming / "a.csv").write_text("t,v,n\n2026-01-01,5,9007199254740993\n2026-01-01,5,7\n")
    assert site.drops.run().refused == {"RANGE": 1}


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


GOOD_TIME = pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], pa.timestamp("ms", tz="UTC"))
FILES = [
    ("wrong encoding", "csv", "t,v,n\n2026-01-01,5,7\n# Süd\n".encode("latin-1"), "ENCODING"),
    ("lacks a column", "csv", b"t,n\n2026-01-01,7\n", "COLUMNS"),
    ("column twice", "csv", b"t,v,v,n\n2026-01-01,5,5,7\n", "COLUMNS"),
    ("empty", "csv", b"", "COLUMNS"),
    ("not Parquet", "parquet", b"t,v,n\n", "DECODE"),
    ("truncated Parquet", "parquet", parquet(t=GOOD_TIME, v=[5.0], n=[7])[:-20], "DECODE"),
    ("Parquet lacks a column", "parquet", parquet(t=GOOD_TIME, v=[5.0]), "COLUMNS"),
    ("Parquet bomb", "parquet", parquet(t=pa.array([0] * 2_000_000), v=[5.0] * 2_000_000, n=[7] * 2_000_000), "SIZE"),
]


@pytest.mark.parametrize(("form", "data", "code"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_a_bad_file_is_refused_whole_and_kept(tmp_path, form, data, code):
    site = SmallSite(tmp_path, max_expansion=2)
    spool = site.declare_drop("plain", PLAIN.replace("FORMAT", form))
    (spool.incoming / f"a.{form}").write_bytes(data)
    assert site.drops.run().refused == {code: 1}
    (row,) = site.rows("quarantine.drops")
    assert (row["line"], row["code"]) == (None, code)
    assert site.drops.original(row["raw_digest"]) == data
    assert site.rows("silver.plain") == []
    assert site.drops.run().files == 0


def test_parquet_columns_are_judged_like_text(tmp_path):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("plain", PLAIN.replace("FORMAT", "parquet"))
    times = pa.array([NOW - dt.timedelta(days=1), NOW, NOW + dt.timedelta(days=1), None], pa.timestamp("us", tz="UTC"))
    (spool.incoming / "a.parquet").write_bytes(parquet(t=times, v=[1.0, 50.0, 1.0, 1.0], n=[1, 2, None, 4]))
    report = site.drops.run()
    assert (report.accepted, report.refused) == (1, {"RANGE": 1, "EVENT_TIME": 1, "MISSING": 1})


def test_a_file_dropped_twice_comes_in_once(tmp_path):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("plain", PLAIN.replace("FORMAT", "csv"))
    for name in ("a.csv", "b.csv"):
        (spool.incoming / name).write_bytes(b"t,v,n\n2026-01-01,5,7\n")
    report = site.drops.run()
    assert (report.accepted, report.refused) == (1, {"DUPLICATE": 1})


@pytest.mark.parametrize("dies_at", ["raw.drops", "quarantine.drops", "silver.plain"])
def test_killed_between_two_tables_goes_on_where_it_was(tmp_path, monkeypatch, dies_at):
    site = SmallSite(tmp_path)
    text = PLAIN.replace("FORMAT", "csv")
    spool = site.declare_drop("plain", text)
    (spool.incoming / "a.csv").write_text("t,v,n\n2026-01-01,5,7\n2026-01-02,50,7\n2026-01-03,6,7\n")
    real = site.lake.append

    def dies(name, *arguments, **options):
        if name == dies_at:
            raise KeyboardInterrupt
        return real(name, *arguments, **options)

    monkeypatch.setattr(site.lake, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        site.drops.run()
    again = SmallSite(tmp_path)
    again.drops.run()
    assert [row["line"] for row in again.rows("silver.plain", ("line",))] == [1, 3]
    assert [row["line"] for row in again.rows("quarantine.drops", ("line",))] == [2]
    assert len(again.rows("raw.drops")) == 1


def test_a_link_out_of_the_spool_is_not_followed(tmp_path):
    site = SmallSite(tmp_path / "site")
    spool = site.declare_drop("plain", PLAIN.replace("FORMAT", "csv"))
    (tmp_path / "secret.csv").write_text("t,v,n\n2026-01-01,5,7\n")
    (spool.incoming / "a.csv").symlink_to(tmp_path / "secret.csv")
    report = site.drops.run()
    assert (report.files, report.refused_files) == (0, 1)
    assert site.alerts.all()[0].message.endswith("it is a symbolic link")


MAPPINGS = [
    ("unknown key", PLAIN.replace("required", "needed"), "needed"),
    ("readings as target", PLAIN.replace("silver.plain", "silver.readings"), "takes reading batches only"),
    ("foreign namespace", PLAIN.replace("silver.plain", "quarantine.drops"), "is not silver.NAME"),
    ("column twice", PLAIN.replace('name = "n"', 'name = "v"'), "'v' is declared twice"),
    ("reserved column", PLAIN.replace('name = "n"', 'name = "line"'), "'line' is made by us"),
    ("unknown zone", PLAIN.replace('column = "t"', 'column = "t"\nzone = "Mars/Olympus"'), "Mars/Olympus"),
    ("unknown encoding", 'encoding = "morse"\n' + PLAIN, "'morse' is not known"),
    ("arrival is no time", 'arrival = "v"\n' + PLAIN, "expected claim or a timestamp column"),
    ("long delimiter", 'delimiter = ";;"\n' + PLAIN, "expected one character"),
]


@pytest.mark.parametrize(("text", "message"), [case[1:] for case in MAPPINGS], ids=[case[0] for case in MAPPINGS])
def test_a_mapping_that_does_not_hold_together_claims_nothing(tmp_path, text, message):
    site = SmallSite(tmp_path)
    with pytest.raises(ApplianceError, match=message) as caught:
        site.declare_drop("plain", text.replace("FORMAT", "csv"))
    assert caught.value.code.id == "APL-INGEST-005"
    with pytest.raises(ApplianceError):
        site.drops.run()
    assert not (tmp_path / "spool/drops/plain").exists()
