"""A sealed file opens to the bytes that came, and without an erased subject's key to none of its lines."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.base.clock import FixedClock
from appliance.base.errors import ApplianceError
from appliance.ingestion import drop_rows
from appliance.ingestion import mapping as mappings
from appliance.ingestion.sensitive import sealing
from appliance.ingestion.sensitive.intake import SUBJECT, Intake, Place
from appliance.trust.data_keys import DataKeys
from appliance.trust.data_keys_wrap import open_wrapping
from appliance.trust.keys import FileKeys
from tests.small_site import NOW

MAPPING = """
table = "silver.x"
format = "FORMAT"
subject = "id"
[time]
column = "t"
[[column]]
from = "id"
name = "id"
type = "string"
[[column]]
from = "note"
name = "note"
type = "string"
required = false
sensitive = "pii.note"
"""
NOTES = st.text(st.sampled_from(["a", "é", "漢", '"', ",", " ", "\n", "\r", "\\", "{"]), max_size=8)
ROWS = st.lists(st.tuples(st.sampled_from(["c-1", "c-2", "c-3", "é\n4"]), NOTES), min_size=1, max_size=12)
PLACE = Place(source="spool:x", position=7)


def as_csv(rows, line_end):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerow(["t", "id", "note"])
    for number, (id, note) in enumerate(rows):
        writer.writerow(["2026-01-01", id, f"{note}secret-{number}-of-{ROW_IDS[id]}"])
    return text.getvalue().encode()


ROW_IDS = {"c-1": "first", "c-2": "second", "c-3": "third", "é\n4": "fourth"}


def as_jsonl(rows, line_end):
    lines = [
        json.dumps({"t": "2026-01-01", "id": id, "note": f"{note}secret-{number}-of-{ROW_IDS[id]}"})
        for number, (id, note) in enumerate(rows)
    ]
    return line_end.join(lines).encode()


@settings(max_examples=80, deadline=None)
@given(ROWS, st.sampled_from(["csv", "jsonl"]), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "ragged", "\n"]))
def test_what_was_sealed_opens_and_what_was_erased_is_gone(rows, form, line_end, tail):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "x.toml").write_text(MAPPING.replace("FORMAT", form))
        mapping = mappings.load(folder / "x.toml")
        data = (as_csv if form == "csv" else as_jsonl)(rows, line_end) + tail.encode()
        keys = DataKeys(folder / "data", lambda: open_wrapping(FileKeys(folder / "keys")), FixedClock(NOW))
        intake = Intake(keys)
        read = drop_rows.read(data, mapping, 2 * 10**15, max_expansion=50)
        content = intake.content_of(data)
        stored, sealed = intake.seal(data, content, mapping, read, PLACE)
        assert intake.original(stored) == (data, 0)
        assert intake.seal(data, content, mapping, read, PLACE)[0] == stored
        assert b"secret" not in stored
        assert b"secret" not in repr(sealed.table.to_pylist() if sealed.table.num_rows else []).encode()
        assert all("secret" not in f"{each.full_detail}{each.text}" for each in sealed.refusals)
        subject = rows[0][0]
        file_key = keys.id_of("file", content)
        keys.erase([keys.id_of(SUBJECT, subject), file_key])
        left = intake.original(stored)[0]
        assert f"of-{ROW_IDS[subject]}".encode() not in left
        again, _ = intake.seal(data, content, mapping, read, PLACE)  # it comes once more
        assert f"of-{ROW_IDS[subject]}".encode() not in intake.original(again)[0]


@given(st.binary(max_size=200), st.booleans())
def test_bytes_that_are_no_sealed_file_are_refused(data, begins):
    with pytest.raises(ApplianceError) as caught:
        sealing.parse_file((sealing.MAGIC if begins else b"") + data + b"x")
    assert caught.value.code.id == "APL-SENSITIVE-003"


@given(st.text(max_size=60))
def test_texts_that_are_not_sealed_are_refused(text):
    with pytest.raises(ApplianceError) as caught:
        sealing.key_id_of(text)
    assert caught.value.code.id == "APL-SENSITIVE-003"
