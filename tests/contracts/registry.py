"""What every schema registry promises: the suite that runs over the folder and over a real server.

Whoever runs it gives two fixtures: `registry`, one with `LEVELS`, and `open_registry`, another look at the same one.
Subjects are new in every test, since a server keeps what earlier tests registered.
"""

import json
import uuid

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas.compatibility import normal
from tests.schemas import DRAFT, avro, record

LOOSE, FULL, FORWARD, TRANSITIVE = "suite.loose", "suite.full", "suite.forward", "suite.transitive"


def levels(run):
    """The level of the suite's subjects; names of others are BACKWARD."""
    return {
        f"{LOOSE}.{run}": "NONE",
        f"{FULL}.{run}": "FULL",
        f"{FORWARD}.{run}": "FORWARD",
        f"{TRANSITIVE}.{run}": "BACKWARD_TRANSITIVE",
    }


PROTO = 'syntax = "proto3"; package plant; message Reading {{ int32 at = 1; {more} }}'
JSON = {"$schema": DRAFT, "type": "object", "properties": {"at": {"type": "integer"}}, "additionalProperties": False}

FIRST = {
    "AVRO": avro(record({"name": "at", "type": "int"})),
    "PROTOBUF": PROTO.format(more=""),
    "JSON": json.dumps(JSON),
}
COMPATIBLE = {
    "AVRO": avro(record({"name": "at", "type": "long"}, {"name": "more", "type": "string", "default": ""})),
    "PROTOBUF": PROTO.format(more="string more = 2;"),
    "JSON": json.dumps({**JSON, "properties": {**JSON["properties"], "more": {"type": "string"}}}),
}
INCOMPATIBLE = {
    "AVRO": avro(record({"name": "at", "type": "string"})),
    "PROTOBUF": 'syntax = "proto3"; package plant; message Reading { string at = 1; }',
    "JSON": json.dumps({**JSON, "required": ["at"]}),
}
KINDS = sorted(FIRST)


@pytest.fixture
def subject():
    return f"plant-{uuid.uuid4().hex[:12]}-value"


def code_of(call):
    with pytest.raises(ApplianceError) as caught:
        call()
    return caught.value.code.id


def texts(registry, subject, kind):
    """A server may give a text back with other white space."""
    return [normal(kind, each.schema.text) for each in registry.versions(subject)]


@pytest.mark.parametrize("kind", KINDS)
class TestEachKind:
    def test_a_schema_comes_back_by_its_id(self, registry, open_registry, subject, kind):
        id = registry.register(subject, kind, FIRST[kind])
        for each in (registry, open_registry()):
            found = each.by_id(id)
            assert (found.id, found.kind, found.references) == (id, kind, ())
            assert normal(kind, found.text) == normal(kind, FIRST[kind])

    def test_the_same_again_gives_the_same_id_and_makes_no_version(self, registry, open_registry, subject, kind):
        id = registry.register(subject, kind, FIRST[kind])
        assert open_registry().register(subject, kind, FIRST[kind]) == id
        assert [each.version for each in registry.versions(subject)] == [1]

    def test_a_compatible_one_becomes_the_next_version(self, registry, subject, kind):
        ids = [registry.register(subject, kind, text[kind]) for text in (FIRST, COMPATIBLE)]
        assert ids[0] != ids[1]
        assert registry.check(subject, kind, COMPATIBLE[kind]) == ()
        found = registry.versions(subject)
        assert [(each.subject, each.version, each.schema.id) for each in found] == [
            (subject, 1, ids[0]),
            (subject, 2, ids[1]),
        ]
        assert texts(registry, subject, kind) == [normal(kind, FIRST[kind]), normal(kind, COMPATIBLE[kind])]

    def test_an_incompatible_one_is_refused_with_reasons_and_changes_nothing(self, registry, subject, kind):
        registry.register(subject, kind, FIRST[kind])
        reasons = registry.check(subject, kind, INCOMPATIBLE[kind])
        assert reasons
        assert all("at" in reason for reason in reasons)
        assert code_of(lambda: registry.register(subject, kind, INCOMPATIBLE[kind])) == "APL-SCHEMA-002"
        assert texts(registry, subject, kind) == [normal(kind, FIRST[kind])]

    def test_what_is_no_schema_is_refused(self, registry, subject, kind):
        for text in ("", "nonsense", "{", "[]x", '{"type": "nonsense"}', "message A { int32 x = 0; }", "\ud800"):
            assert code_of(lambda text=text: registry.register(subject, kind, text)) == "APL-SCHEMA-001", text
            assert code_of(lambda text=text: registry.check(subject, kind, text)) == "APL-SCHEMA-001", text
        assert registry.versions(subject) == ()

    def test_a_subject_keeps_its_kind(self, registry, subject, kind):
        registry.register(subject, kind, FIRST[kind])
        for other in set(KINDS) - {kind}:
            (reason,) = registry.check(subject, other, FIRST[other])
            assert kind in reason
            assert code_of(lambda other=other: registry.register(subject, other, FIRST[other])) == "APL-SCHEMA-002"


class TestRegistry:
    def test_what_is_not_there_is_no_error(self, registry, subject):
        assert registry.by_id(2_000_000_001) is None
        assert registry.versions(subject) == ()
        assert subject not in registry.subjects()

    @pytest.mark.parametrize("id", [0, -1, 2**31, 2**63])
    def test_a_number_that_no_frame_holds_is_no_id(self, registry, id):
        assert registry.by_id(id) is None

    def test_an_id_that_was_unknown_is_known_once_it_is_registered(self, registry, open_registry, subject):
        """A value may come before its schema; it waits and is read later."""
        before = max((each.schema.id for name in registry.subjects() for each in registry.versions(name)), default=0)
        other = open_registry()
        text = avro(record({"name": f"f{uuid.uuid4().hex}", "type": "int"}))
        assert other.by_id(before + 1) is None
        id = registry.register(subject, "AVRO", text)
        assert id > before
        assert normal("AVRO", other.by_id(id).text) == normal("AVRO", text)

    def test_subjects_are_listed_in_order(self, registry):
        run = uuid.uuid4().hex[:8]
        for name in (f"{run}.b", f"{run}.a"):
            registry.register(name, "AVRO", FIRST["AVRO"])
        assert [name for name in registry.subjects() if name.startswith(run)] == [f"{run}.a", f"{run}.b"]

    def test_one_schema_under_two_subjects_has_one_id(self, registry, subject):
        text = avro(record({"name": f"f{uuid.uuid4().hex}", "type": "int"}))
        assert registry.register(subject, "AVRO", text) == registry.register(f"{subject}-2", "AVRO", text)

    def test_white_space_makes_no_other_schema(self, registry, subject):
        id = registry.register(subject, "AVRO", FIRST["AVRO"])
        assert registry.register(subject, "AVRO", json.dumps(json.loads(FIRST["AVRO"]), indent=2)) == id
        assert len(registry.versions(subject)) == 1

    @pytest.mark.parametrize(
        "name", ["", "a/b", "../a", "a b", "-a", "ä", "a" * 201, "a\n"], ids=lambda name: repr(name)[:12]
    )
    def test_a_subject_has_a_plain_name(self, registry, name):
        assert code_of(lambda: registry.register(name, "AVRO", FIRST["AVRO"])) == "APL-SCHEMA-003"
        assert code_of(lambda: registry.check(name, "AVRO", FIRST["AVRO"])) == "APL-SCHEMA-003"

    def test_a_schema_beyond_the_limit_is_refused(self, registry, subject):
        text = avro(record({"name": "at", "type": "int", "doc": "x" * (1 << 20)}))
        assert code_of(lambda: registry.register(subject, "AVRO", text)) == "APL-SCHEMA-001"


STEPS = {
    # A field with a default is added, one without is added, one is removed.
    "first": record({"name": "at", "type": "int"}),
    "optional added": record({"name": "at", "type": "int"}, {"name": "b", "type": "int", "default": 0}),
    "required added": record({"name": "at", "type": "int"}, {"name": "b", "type": "int"}),
    "removed": record(),
}


@pytest.mark.parametrize(
    ("level", "step", "taken"),
    [
        ("plain", "optional added", True),
        ("plain", "required added", False),
        ("plain", "removed", True),
        (LOOSE, "required added", True),
        (FORWARD, "optional added", True),
        (FORWARD, "required added", True),
        (FORWARD, "removed", False),
        (FULL, "optional added", True),
        (FULL, "required added", False),
        (FULL, "removed", False),
    ],
)
def test_a_level_takes_what_it_says(registry, run, level, step, taken):
    subject = f"{level}.{run}" if level != "plain" else f"plain.{uuid.uuid4().hex}"
    own = {"name": f"Step{uuid.uuid4().hex}"}
    if level != "plain" and registry.versions(subject):
        # One subject a level: begin anew by what every level takes, the first schema again.
        own = {"name": json.loads(registry.versions(subject)[0].schema.text)["name"]}
        if [json.loads(each.schema.text) for each in registry.versions(subject)] != [{**STEPS["first"], **own}]:
            pytest.fail("an earlier case left a version that it should not have")
    registry.register(subject, "AVRO", avro({**STEPS["first"], **own}))
    assert (registry.check(subject, "AVRO", avro({**STEPS[step], **own})) == ()) == taken


def test_transitive_looks_at_all_versions(registry, run):
    subject, plain = f"{TRANSITIVE}.{run}", f"plain.{uuid.uuid4().hex}"
    steps = [STEPS["first"], STEPS["removed"], record({"name": "at", "type": "string", "default": ""})]
    for name in (subject, plain):
        for each in steps[:2]:
            registry.register(name, "AVRO", avro(each))
    assert registry.check(plain, "AVRO", avro(steps[2])) == ()
    assert registry.check(subject, "AVRO", avro(steps[2])) != ()
    assert code_of(lambda: registry.register(subject, "AVRO", avro(steps[2]))) == "APL-SCHEMA-002"
