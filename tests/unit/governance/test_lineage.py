"""Lineage documents: one byte form, logged once, and any change is noticed."""

import json

import pytest

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import FileRecord, Lineage
from tests.small_site import ListLog

FILE = FileRecord(path="lake/a.parquet", digest="sha256:" + "0" * 64, size=3)


@pytest.fixture
def log():
    return ListLog()


@pytest.fixture
def lineage(tmp_path, log):
    return Lineage(tmp_path / "lineage", log)


def write(lineage, name="a", inputs=(), **facts):
    return lineage.write(kind="commit", name=name, files=[FILE], inputs=inputs, facts=facts)


def test_a_document_is_named_by_its_bytes_and_logged_once(lineage, log, tmp_path):
    id = write(lineage, rows=3)
    assert write(lineage, rows=3) == id
    assert digest_bytes((tmp_path / "lineage" / f"{id[7:]}.json").read_bytes()) == id
    assert log == [json.dumps({"id": id, "kind": "lineage"}, separators=(",", ":")).encode()]
    found = lineage.load(id)
    assert (found.kind, found.name, found.files, found.facts) == ("commit", "a", (FILE,), {"rows": 3})


def test_a_crash_between_document_and_log_is_made_good(lineage, tmp_path):
    class Full(ListLog):
        def append(self, entries):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(Lineage(tmp_path / "lineage", Full()))
    log = ListLog()
    write(Lineage(tmp_path / "lineage", log))
    assert len(log) == 1


def test_walk_gives_each_once_nearest_first(lineage):
    a = write(lineage, "a")
    b, c = write(lineage, "b", [a]), write(lineage, "c", [a])
    d = write(lineage, "d", [b, c])
    assert [document.name for document in lineage.walk(d)] == ["d", "b", "c", "a"]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda path: path.unlink(), "APL-LINEAGE-001"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"a"', b'"b"')), "APL-LINEAGE-002"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "APL-LINEAGE-002"),
    ],
    ids=["removed", "changed", "reformatted"],
)
def test_a_damaged_document_is_noticed(lineage, tmp_path, damage, code):
    id = write(lineage, "a")
    path = tmp_path / "lineage" / f"{id[7:]}.json"
    path.chmod(0o600)
    damage(path)
    with pytest.raises(ApplianceError) as caught:
        list(lineage.walk(id))
    assert caught.value.code.id == code


def test_facts_have_no_floats(lineage, log):
    with pytest.raises(ApplianceError) as caught:
        write(lineage, score=0.5)
    assert caught.value.code.id == "APL-BASE-001"
    assert log == []
