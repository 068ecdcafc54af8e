"""Drops with sensitive columns: sealed before anything is stored, by subject; what is undeclared waits, sealed."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion import mapping as mappings
from appliance.ingestion.sensitive import sealing
from appliance.storage.columns import tags_of
from tests.small_site import SmallSite
from tests.unit.ingestion.sensitive.customers import CARD, DECLARED_NONE, MAPPING, NAME, OTHER_CARD, ROWS, UNDECLARED
from tests.unit.ingestion.sensitive.customers import csv as as_csv
from tests.unit.ingestion.sensitive.customers import jsonl as as_jsonl
from tests.unit.ingestion.sensitive.scan import leaks


def as_parquet(rows=ROWS):
    file = io.BytesIO()
    ids, names, cards, loads = zip(*rows, strict=True)
    times = pa.array([f"2026-01-{number:02d}" for number in range(1, len(rows) + 1)]).cast(pa.timestamp("us"))
    pq.write_table(
        pa.table({"t": times, "id": ids, "name": names, "card": [*map(int, cards)], "load": [*map(float, loads)]}), file
    )
    return file.getvalue()


def drop(site, data, text=MAPPING, form="csv", name="a"):
    spool = site.declare_drop("customers", text.replace("FORMAT", form))
    (spool.incoming / f"{name}.{form}").write_bytes(data)
    return site.drops.run()


def opened(site, row, column):
    key_id = sealing.key_id_of(row[column])
    place = sealing.place_of("silver.customers", column, row["source"], row["position"], row["line"])
    return sealing.open_text(row[column], site.data_keys.get([key_id])[key_id], place)


@pytest.mark.parametrize(("form", "data"), [("csv", as_csv()), ("jsonl", as_jsonl()), ("parquet", as_parquet())])
def test_a_card_number_and_a_name_are_nowhere_in_clear(tmp_path, form, data):
    site = SmallSite(tmp_path)
    report = drop(site, data, form=form)
    assert (report.accepted, report.refused) == (3, {"RANGE": 1})
    assert leaks(tmp_path, *(each[1] for each in ROWS), *(each[2] for each in ROWS)) == []
    rows = site.lake.scan("silver.customers").sort_by("line").to_pylist()
    assert [opened(site, row, "name") for row in rows] == [NAME, "Tobias Okonkwo", NAME]
    assert [opened(site, row, "card") for row in rows] == [CARD, OTHER_CARD, CARD]
    assert rows[0]["card_token"] == rows[2]["card_token"] != rows[1]["card_token"]
    assert rows[0]["card"] != rows[2]["card"]  # nothing but the token tells that they are equal
    assert [row["customer_id"] for row in rows] == ["c-1", "c-2", "c-1"]
    (raw,) = site.rows("raw.drops")
    assert site.drops.original(raw["digest"]) == data
    (refused,) = site.rows("quarantine.drops")
    assert (refused["code"], refused["detail"]) == ("RANGE", "load is above 1000.0")
    assert refused["text"].startswith("sealed:")


def test_the_scan_finds_what_is_declared_to_be_none(tmp_path):
    site = SmallSite(tmp_path)
    assert drop(site, as_csv(), DECLARED_NONE).accepted == 3
    found = leaks(tmp_path, CARD, NAME)
    assert any(path.startswith("lake/silver/customers/data/") for path in found)
    assert any(path.startswith("objects/") for path in found)


def test_tags_stand_in_the_table(tmp_path):
    site = SmallSite(tmp_path)
    drop(site, as_csv())
    assert tags_of(site.lake.table("silver.customers")) == {"name": ("pii.name", ""), "card": ("pii.card", "")}
    other = SmallSite(tmp_path / "other")
    drop(other, as_csv(), DECLARED_NONE)
    assert tags_of(other.lake.table("silver.customers"))["name"] == ("none", "actors")


def test_what_is_found_and_not_declared_stops_the_file_and_is_kept_sealed(tmp_path):
    site = SmallSite(tmp_path)
    report = drop(site, as_csv(), UNDECLARED)
    assert (report.accepted, report.refused) == (0, {"SENSITIVE": 1})
    assert leaks(tmp_path, CARD, NAME) == []
    (refused,) = site.rows("quarantine.drops")
    assert (refused["line"], refused["code"]) == (None, "SENSITIVE")
    assert refused["detail"] == (
        "name: 4 of 4 values are pii.name, and its name says so; card: 4 of 4 values are pii.card, and its name says so"
    )
    assert site.drops.original(refused["raw_digest"]) == as_csv()
    (alert,) = site.alerts.all()
    assert (alert.code, report.alarms) == ("SENSITIVE", (alert,))


@pytest.mark.parametrize("text", [MAPPING, DECLARED_NONE], ids=["sealed", "none"])
def test_a_stopped_file_is_taken_when_the_mapping_says_what_its_columns_are(tmp_path, text):
    site = SmallSite(tmp_path)
    drop(site, as_csv(), UNDECLARED.replace('type = "long"', 'type = "string"'))
    site.declare_drop("customers", text.replace("FORMAT", "csv").replace('type = "long"', 'type = "string"'))
    report = site.drops.run()
    assert (report.files, report.accepted, report.refused) == (1, 3, {"RANGE": 1})
    assert site.drops.run().files == 0
    assert (leaks(tmp_path, CARD) == []) == (text is MAPPING)


IGNORED = [
    ("csv", b"t,v,n,c\n2026-01-01,5,7,4539578763621486\n"),
    ("jsonl", b'{"t":"2026-01-01","v":5,"n":7,"payment":[{"pan":"4539578763621486"}]}\n'),
    ("csv", b"t,v,n\n2026-01-01,5,7\n2026-01-01,5,7,paid by 4539 5787 6362 1486 today\n"),
    ("csv", b"nothing that fits 4539578763621486\n"),
    ("parquet", b"4539578763621486"),
]


@pytest.mark.parametrize(("form", "data"), IGNORED)
def test_what_the_mapping_ignores_is_looked_at_too(tmp_path, form, data):
    plain = 'table = "silver.plain"\nformat = "FORMAT"\n[time]\ncolumn = "t"\n' + "".join(
        f'[[column]]\nfrom = "{name}"\nname = "{name}"\ntype = "double"\n' for name in "vn"
    )
    site = SmallSite(tmp_path)
    drop(site, data, plain, form)
    assert leaks(tmp_path, CARD, "4539 5787 6362 1486") == []
    (raw,) = site.rows("raw.drops")
    assert site.drops.original(raw["digest"]) == data


def test_a_file_without_anything_sensitive_is_kept_as_it_came(tmp_path):
    site = SmallSite(tmp_path)
    data = b"t,v\n2026-01-01,5\n"
    text = 'table = "silver.plain"\nformat = "csv"\n[time]\ncolumn = "t"\n'
    text += '[[column]]\nfrom = "v"\nname = "v"\ntype = "double"\n'
    drop(site, data, text)
    (raw,) = site.rows("raw.drops")
    assert site.objects.read(raw["digest"]) == data
    assert raw["content"] is None
    assert not (tmp_path / "keys").exists()  # no key is made where none is needed


def test_a_sealed_file_that_comes_twice_comes_in_once(tmp_path):
    site = SmallSite(tmp_path)
    assert drop(site, as_csv()).accepted == 3
    assert drop(site, as_csv(), name="b").refused == {"DUPLICATE": 1}
    first, second = site.rows("raw.drops")
    assert first["digest"] == second["digest"]


def test_lines_of_one_subject_are_sealed_with_its_key_alone(tmp_path):
    site = SmallSite(tmp_path)
    drop(site, as_csv(extra="2026-01-09,c-2,too few\n"))
    (raw,) = site.rows("raw.drops")
    file = sealing.parse_file(site.objects.read(raw["digest"]))
    subjects = [site.data_keys.id_of("subject", name) for name in ("c-1", "c-2", "c-1", "c-3")]
    assert [id for id, _ in file.segments] == [
        sealing.CLEAR, *subjects, site.data_keys.id_of("file", raw["content"]),
    ]  # fmt: skip
    assert file.segments[0][1] == b"t,id,name,card,load\n"


def test_lines_of_an_erased_subject_are_not_kept(tmp_path):
    site = SmallSite(tmp_path)
    site.data_keys.erase([site.data_keys.id_of("subject", "c-1")])
    report = drop(site, as_csv())
    assert (report.accepted, report.refused) == (1, {"ERASED": 2, "RANGE": 1})
    (raw,) = site.rows("raw.drops")
    kept = site.drops.original(raw["digest"])
    assert NAME.encode() not in kept
    assert CARD.encode() not in kept
    assert kept.count(b"\n") == 3
    erased = [row for row in site.rows("quarantine.drops") if row["code"] == "ERASED"]
    assert [(row["line"], row["text"]) for row in erased] == [(1, ""), (3, "")]


def test_what_a_reason_quotes_is_sealed_with_the_text(tmp_path):
    site = SmallSite(tmp_path)
    drop(site, as_csv(rows=[]).replace(b"t,id,name", b"2026-01-01,c-1,Magdalena Wrzesniewska,4539578763621486"))
    (row,) = site.rows("quarantine.drops")
    assert (row["code"], row["detail"]) == ("COLUMNS", "the file lacks t, id, name")
    key_id = sealing.key_id_of(row["text"])
    place = sealing.place_of("quarantine.drops", "text", row["source"], row["position"], 0)
    said = json.loads(sealing.open_text(row["text"], site.data_keys.get([key_id])[key_id], place))
    assert said["quoted"].startswith("it has 2026-01-01, c-1, Magdalena")


def test_a_column_that_is_no_text_in_the_table_is_refused_before_anything_is_claimed(tmp_path):
    site = SmallSite(tmp_path)
    drop(site, as_csv(), DECLARED_NONE)
    with pytest.raises(ApplianceError, match="card as int64") as caught:
        drop(site, as_csv(), MAPPING, name="b")
    assert caught.value.code.id == "APL-SENSITIVE-005"


def test_a_file_that_the_spool_refuses_is_sealed_too(tmp_path):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("customers", MAPPING.replace("FORMAT", "csv"))
    (spool.incoming / "a.txt").write_bytes(as_csv())
    (spool.incoming / "folder").mkdir()
    (spool.incoming / "link.csv").symlink_to("/etc/hostname")
    assert site.drops.run().refused_files == 3
    assert leaks(tmp_path / "spool", CARD, NAME) == []
    (refused,) = (each for each in spool.refused() if each.name == "a.txt")
    assert site.drops.unsealed(refused.path.read_bytes()) == as_csv()
    assert site.drops.run().refused_files == 0
    refused.path.rename(spool.incoming / "a.csv")  # as the runbook says
    assert site.drops.run().accepted == 3


def test_a_file_that_only_begins_like_a_sealed_one_is_refused_like_any_other(tmp_path):
    site = SmallSite(tmp_path)
    report = drop(site, sealing.MAGIC + b"\0" * 100)
    assert (report.files, report.accepted, report.refused) == (1, 0, {"COLUMNS": 1})


OBJECTIONS = [
    ("no tag", MAPPING.replace("pii.name", "private"), "sensitive is none or a tag"),
    ("none without a reason", MAPPING.replace("pii.name", "none"), "needs a reason"),
    ("a reason for a tag", MAPPING.replace('"pii.name"', '"pii.name"\nreason = "x"'), "nothing else has one"),
    ("join without a seal", UNDECLARED.replace('name = "load"', 'name = "load"\njoin = true'), "join is for columns"),
    ("subject that is no column", MAPPING.replace('"customer_id"\n\n[t', '"nobody"\n\n[t'), "subject: expected"),
    ("subject that is a number", MAPPING.replace('subject = "customer_id"', 'subject = "load"'), "subject: expected"),
    ("sealed subject", MAPPING.replace('subject = "customer_id"', 'subject = "name"'), "needs join = true"),
    ("token twice", MAPPING.replace('name = "load"', 'name = "card_token"'), "is the one of the tokens"),
]


@pytest.mark.parametrize(("text", "message"), [case[1:] for case in OBJECTIONS], ids=[case[0] for case in OBJECTIONS])
def test_a_declaration_that_does_not_hold_together(tmp_path, text, message):
    with pytest.raises(ApplianceError, match=message) as caught:
        SmallSite(tmp_path).declare_drop("customers", text.replace("FORMAT", "csv"))
    assert caught.value.code.id == "APL-INGEST-005"


def test_a_mapping_that_uses_nothing_new_keeps_its_identity(tmp_path):
    path = tmp_path / "plain.toml"
    text = 'table = "silver.x"\nformat = "csv"\n[time]\ncolumn = "t"\n'
    path.write_text(text + '[[column]]\nfrom = "a"\nname = "a"\ntype = "string"\n')
    assert mappings.load(path).digest == "sha256:2229306c071a7287f857d7f0481035855e2898bb6a1983f2bc25b3f3ad795dcb"
