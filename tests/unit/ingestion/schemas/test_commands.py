"""``appliance schema`` over a real site: exit codes, --json, the audit record, the check of contracts."""

import json

import pyarrow as pa
import pytest

from appliance.base.clock import SystemClock
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.wiring.parts import Parts
from tests.schemas import avro, record

FIRST = avro(record({"name": "at", "type": "int"}))
NEXT = avro(record({"name": "at", "type": "long"}, {"name": "more", "type": "string", "default": ""}))
BROKEN = avro(record({"name": "at", "type": "string"}))
PROTO = 'syntax = "proto3"; message Reading { int32 at = 1; }'
VIEW = """
name = "plant"
owner = "tests"
description = "Level of the oil."
event_axis = "event_time"
known_axis = "arrived_at"
ttl = "1d"
[[source]]
name = "plant"
table = "silver.plant"
entity = "name"
event_axis = "event_time"
known_axis = "arrived_at"
value_column = "v"
measures = { level = "m" }
[[feature]]
name = "level"
expression = "last(level)"
unit = "m"
"""


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    return folder


@pytest.fixture
def call(site, capsys):
    def of(*arguments):
        capsys.readouterr()
        code = run([*map(str, arguments), "--site", str(site), "--json"])
        return code, json.loads(capsys.readouterr().out or "{}")

    return of


@pytest.fixture
def declare(tmp_path):
    def files(**content):
        folder = tmp_path / "contracts"
        for name, text in content.items():
            path = folder / "plant-value" / name.replace("__", ".").removeprefix("v")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return files


def test_register_show_and_list(call, tmp_path):
    for name, text in (("a.avsc", FIRST), ("b.avsc", NEXT), ("c.proto", PROTO)):
        (tmp_path / name).write_text(text)
    assert call("schema", "register", "plant-value", tmp_path / "a.avsc") == (0, {"subject": "plant-value", "id": 1})
    assert call("schema", "register", "plant-value", tmp_path / "b.avsc")[1]["id"] == 2
    assert call("schema", "register", "plant-value", tmp_path / "a.avsc")[1]["id"] == 1
    assert call("schema", "register", "other-value", tmp_path / "c.proto")[1]["id"] == 3
    assert call("schema", "list")[1]["subjects"] == [
        {"subject": "other-value", "kind": "PROTOBUF", "version": 1, "id": 3},
        {"subject": "plant-value", "kind": "AVRO", "version": 2, "id": 2},
    ]
    shown = {"subject": "plant-value", "version": 2, "id": 2, "kind": "AVRO", "text": NEXT, "references": []}
    assert call("schema", "show", "plant-value") == (0, shown)
    assert call("schema", "show", "plant-value", "--version", "1")[1]["text"] == FIRST
    assert call("schema", "show", "--id", "3")[1]["text"] == PROTO
    records = [each["outcome"] for each in _records(call) if each["action"] == "schema.register"]
    assert records == ["", "done"] * 4  # the intent, then the outcome


def _records(call):
    return call("audit", "list")[1]["records"]


def test_one_that_breaks_readers_is_refused_and_recorded(call, tmp_path, capsys):
    (tmp_path / "a.avsc").write_text(FIRST)
    (tmp_path / "b.avsc").write_text(BROKEN)
    call("schema", "register", "plant-value", tmp_path / "a.avsc")
    code, found = call("schema", "check", "plant-value", tmp_path / "b.avsc")
    assert (code, found["passed"]) == (1, False)
    assert "writer type: int" in found["checked"][0]["reasons"][0]
    assert call("schema", "check", "plant-value", tmp_path / "a.avsc") == (
        0,
        {"passed": True, "checked": [{"subject": "plant-value", "file": str(tmp_path / "a.avsc"), "reasons": []}]},
    )
    code, found = call("schema", "register", "plant-value", tmp_path / "b.avsc")
    assert (code, found["error"]["code"]) == (1, "APL-SCHEMA-002")
    last = [each for each in _records(call) if each["action"] == "schema.register"][-1]
    assert (last["outcome"], last["detail"]) == ("failed", "APL-SCHEMA-002")


def test_a_declared_level_holds_at_registration(call, site, tmp_path):
    folder = site / "declarations" / "schemas" / "plant-value"
    folder.mkdir(parents=True)
    (folder / "subject.toml").write_text('compatibility = "NONE"\n')
    for name, text in (("1.avsc", FIRST), ("2.avsc", BROKEN)):
        (folder / name).write_text(text)
        assert call("schema", "register", "plant-value", folder / name)[0] == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "nothing-value"), "APL-SCHEMA-012"),
        (("show", "--id", "99"), "APL-SCHEMA-012"),
        (("register", "a/b", "a.avsc"), "APL-SCHEMA-003"),
        (("register", "a", "none.avsc"), "APL-SCHEMA-001"),
        (("register", "a", "a.proto"), "APL-SCHEMA-001"),
        (("check", "--all", "none"), "APL-SCHEMA-013"),
    ],
)
def test_what_is_wrong_has_a_code(call, tmp_path, monkeypatch, words, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.avsc").write_text(FIRST)
    (tmp_path / "a.proto").write_text(FIRST)
    assert call("schema", *words)[1]["error"]["code"] == code


@pytest.mark.parametrize(
    "words",
    [
        ("show", "a", "--id", "1"),
        ("show", "--version", "1"),
        ("check",),
        ("check", "a"),
        ("check", "a", "b.avsc", "--all", "c"),
        ("check", "a", "b.txt"),
    ],
)
def test_options_that_exclude_each_other_are_a_usage_error(call, words):
    assert call("schema", *words)[0] == 2


class TestCheckOfContracts:
    def test_versions_are_held_against_their_predecessors_without_a_site(self, declare, tmp_path, capsys):
        folder = declare(v1__avsc=FIRST, v2__avsc=NEXT, v3__avsc=BROKEN)
        code = run(
            ["schema", "check", "--all", str(folder), "--against", "folder", "--json", "--site", str(tmp_path / "none")]
        )
        found = json.loads(capsys.readouterr().out)
        assert (code, found["passed"]) == (1, False)
        assert [(each["file"], bool(each["reasons"])) for each in found["checked"]] == [
            ("plant-value/1.avsc", False),
            ("plant-value/2.avsc", False),
            ("plant-value/3.avsc", True),
        ]

    def test_what_is_registered_counts_before_the_files(self, call, declare, tmp_path):
        (tmp_path / "a.avsc").write_text(BROKEN)
        call("schema", "register", "plant-value", tmp_path / "a.avsc")
        folder = declare(v1__avsc=FIRST)
        assert call("schema", "check", "--all", folder)[0] == 1
        assert call("schema", "check", "--all", folder, "--against", "folder")[0] == 0

    def test_registered_versions_may_stand(self, call, declare):
        folder = declare(v1__avsc=FIRST, v2__avsc=NEXT)
        for name in ("1.avsc", "2.avsc"):
            call("schema", "register", "plant-value", folder / "plant-value" / name)
        assert call("schema", "check", "--all", folder)[0] == 0
        declare(v3__avsc=BROKEN)
        code, found = call("schema", "check", "--all", folder)
        assert code == 1
        assert [each["file"] for each in found["checked"] if each["reasons"]] == ["plant-value/3.avsc"]

    def test_the_level_of_a_subject_is_declared_beside_its_versions(self, call, declare):
        folder = declare(v1__avsc=FIRST, v2__avsc=NEXT)
        assert call("schema", "check", "--all", folder, "--against", "folder")[0] == 0
        declare(subject__toml='compatibility = "FULL"')
        assert call("schema", "check", "--all", folder, "--against", "folder")[0] == 1

    def test_a_text_that_is_no_schema_is_a_finding(self, call, declare):
        folder = declare(v1__avsc=FIRST, v2__avsc="{", v3__avsc=NEXT)
        code, found = call("schema", "check", "--all", folder, "--against", "folder")
        assert code == 1
        assert [bool(each["reasons"]) for each in found["checked"]] == [False, True, False]

    def test_another_kind_is_a_finding(self, call, declare):
        folder = declare(v1__avsc=FIRST, v2__proto=PROTO)
        (_, second) = call("schema", "check", "--all", folder, "--against", "folder")[1]["checked"]
        assert "is AVRO, not PROTOBUF" in second["reasons"][0]

    def test_no_file_is_overlooked(self, call, declare):
        for name, content in (
            ("v1__avs", FIRST),
            ("v01__avsc", FIRST),
            ("va__avsc", FIRST),
            ("v3__avsc", FIRST),
            ("v1__json", FIRST),
            ("subject__toml", 'compatability = "FULL"'),
            ("subject__toml", 'compatibility = "SOME"'),
        ):
            folder = declare(v1__avsc=FIRST, **{name: content})
            assert call("schema", "check", "--all", folder)[1]["error"]["code"] == "APL-SCHEMA-013", name
            (folder / "plant-value" / name.replace("__", ".").removeprefix("v")).unlink()


class TestColumns:
    DECLARED = (
        '[[column]]\nid = 1\nname = "name"\ntype = "string"\n'
        '[[column]]\nid = 2\nname = "level"\ntype = "double"\n[[column]]\nid = 3\nname = "more"\ntype = "string"\n'
    )

    @pytest.fixture
    def lake(self, site):
        parts = Parts(site=open_site(site), clock=SystemClock())
        parts.lake.ensure("silver.plant", pa.schema([("name", pa.string()), ("v", pa.float32())]))
        rows = pa.table({"name": ["a"], "v": pa.array([1.5], pa.float32())})
        parts.lake.append(
            "silver.plant", rows, expected=parts.lake.head("silver.plant"), properties={}, inputs=[], facts={}
        )
        return parts.lake

    def test_from_what_is_there_to_what_is_declared(self, call, lake, tmp_path):
        before = call("schema", "columns", "silver.plant")[1]["columns"]
        assert [(each["id"], each["name"], each["type"]) for each in before] == [
            (1, "name", "string"),
            (2, "v", "float"),
        ]
        file = tmp_path / "plant.toml"
        file.write_text(self.DECLARED)
        planned = call("schema", "evolve", "silver.plant", file, "--plan")[1]
        assert call("schema", "columns", "silver.plant")[1]["columns"] == before
        code, done = call("schema", "evolve", "silver.plant", file)
        assert (code, done["changes"]) == (0, planned["changes"])
        assert (planned["snapshot_id"], done["snapshot_id"]) == ("", str(lake.head("silver.plant").snapshot_id))
        assert [(each["kind"], each["was"], each["is_now"]) for each in done["changes"]] == [
            ("widen", "float", "double"), ("rename", "v", "level"), ("add", "", "string"),
        ]  # fmt: skip
        assert lake.scan("silver.plant").to_pylist() == [{"name": "a", "level": 1.5, "more": None}]
        assert call("schema", "evolve", "silver.plant", file)[1]["changes"] == []

    def test_what_is_printed_is_a_declaration_that_changes_nothing(self, site, call, lake, tmp_path, capsys):
        capsys.readouterr()
        assert run(["schema", "columns", "silver.plant", "--site", str(site)]) == 0
        file = tmp_path / "plant.toml"
        file.write_text(capsys.readouterr().out)
        assert call("schema", "evolve", "silver.plant", file)[1]["changes"] == []

    @pytest.mark.parametrize(
        ("name", "text", "code"),
        [
            ("silver.none", DECLARED, "APL-STORAGE-002"),
            ("silver.plant", "x", "APL-STORAGE-031"),
            ("silver.plant", DECLARED.replace("double", "int"), "APL-STORAGE-030"),
            ("silver.readings", DECLARED, "APL-STORAGE-002"),
        ],
    )
    def test_what_is_wrong_has_a_code(self, call, lake, tmp_path, name, text, code):
        file = tmp_path / "plant.toml"
        file.write_text(text)
        assert call("schema", "evolve", name, file)[1]["error"]["code"] == code

    def test_a_column_that_a_feature_view_reads_keeps_its_name(self, call, site, lake, tmp_path):
        folder = site / "declarations" / "features"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plant.toml").write_text(VIEW)
        file = tmp_path / "plant.toml"
        file.write_text(self.DECLARED)
        found = call("schema", "evolve", "silver.plant", file)[1]
        assert found["error"]["code"] == "APL-STORAGE-030"
        assert "a feature view reads it" in found["error"]["message"]
