"""What may change: for each kind a table of changes, read from the old schema to the new one (BACKWARD)."""

import json

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas.compatibility import normal, reasons_against
from appliance.ingestion.schemas.registry import Reference, RegisteredSchema
from tests.schemas import DRAFT, avro, record


def field(type, name="at", **more):
    return {"name": name, "type": type, **more}


def logical(name, type="long", **more):
    return {"type": type, "logicalType": name, **more}


INNER = record(field("int"), name="Inner")
AVRO = {
    # name: (old, new, part of the reason; None: compatible)
    "nothing": (record(field("int")), record(field("int")), None),
    "int to long": (record(field("int")), record(field("long")), None),
    "int to double": (record(field("int")), record(field("double")), None),
    "float to double": (record(field("float")), record(field("double")), None),
    "long to int": (record(field("long")), record(field("int")), "writer type: long"),
    "double to float": (record(field("double")), record(field("float")), "writer type: double"),
    "int to string": (record(field("int")), record(field("string")), "writer type: int"),
    "string to bytes": (record(field("string")), record(field("bytes")), None),
    "added with default": (record(), record(field("int", default=0)), None),
    "added without default": (record(), record(field("int")), "default_value"),
    "removed": (record(field("int")), record(), None),
    "made optional": (record(field("int")), record(field(["null", "int"])), None),
    "made required": (record(field(["null", "int"])), record(field("int")), "writer type: null"),
    "renamed": (record(field("int")), record(field("int", "when")), "when"),
    "renamed with alias": (record(field("int")), record(field("int", "when", aliases=["at"])), None),
    "renamed record": (record(field("int")), record(field("int"), name="Other"), "name_mismatch"),
    "renamed record with alias": (record(field("int")), record(field("int"), name="B", aliases=["Reading"]), None),
    "enum value added": (
        record(field({"type": "enum", "name": "E", "symbols": ["A"]})),
        record(field({"type": "enum", "name": "E", "symbols": ["A", "B"]})),
        None,
    ),
    "enum value removed": (
        record(field({"type": "enum", "name": "E", "symbols": ["A", "B"]})),
        record(field({"type": "enum", "name": "E", "symbols": ["A"]})),
        "missing_enum_symbols",
    ),
    "size of fixed": (
        record(field({"type": "fixed", "name": "F", "size": 4})),
        record(field({"type": "fixed", "name": "F", "size": 8})),
        "fixed_size",
    ),
    "deep within": (
        record(field({"type": "array", "items": {"type": "map", "values": INNER}})),
        record(field({"type": "array", "items": {"type": "map", "values": record(field("string"), name="Inner")}})),
        "writer type: int",
    ),
    # The bytes could still be read, and would mean something else.
    "milliseconds to microseconds": (
        record(field(logical("timestamp-millis"))),
        record(field(logical("timestamp-micros"))),
        "timestamp-millis",
    ),
    "milliseconds to bare": (record(field(logical("timestamp-millis"))), record(field("long")), "logical type"),
    "milliseconds to microseconds, optional": (
        record(field(["null", logical("timestamp-millis")])),
        record(field(["null", logical("timestamp-micros")])),
        "timestamp-millis",
    ),
    "milliseconds to microseconds, within": (
        record(field({"type": "array", "items": logical("timestamp-millis")})),
        record(field({"type": "array", "items": logical("timestamp-micros")})),
        "at/items",
    ),
    "milliseconds to microseconds, renamed": (
        record(field(logical("timestamp-millis"))),
        record(field(logical("timestamp-micros"), "when", aliases=["at"])),
        "when",
    ),
    "scale of a decimal": (
        record(field(logical("decimal", "bytes", precision=9, scale=2))),
        record(field(logical("decimal", "bytes", precision=9, scale=3))),
        "decimal 9 2",
    ),
}


def document(**properties):
    return {"$schema": DRAFT, "type": "object", "properties": properties, "additionalProperties": False}


NUMBER, TEXT = {"type": "number"}, {"type": "string"}
JSON = {
    "nothing": (document(a=NUMBER), document(a=NUMBER), None),
    "words": (document(a=NUMBER), document(a={**NUMBER, "description": "new", "title": "A"}), None),
    "optional added": (document(), document(a=NUMBER), None),
    "required": (document(a=NUMBER), {**document(a=NUMBER), "required": ["a"]}, "required"),
    "required no more": ({**document(a=NUMBER), "required": ["a"]}, document(a=NUMBER), None),
    "removed": (document(a=NUMBER), document(), "nothing is taken"),
    "removed from an open one": (
        {"$schema": DRAFT, "type": "object", "properties": {"a": NUMBER}},
        {"$schema": DRAFT, "type": "object"},
        None,
    ),
    # Documents that were open may hold the new name with any value.
    "added to an open one": (
        {"$schema": DRAFT, "type": "object"},
        {"$schema": DRAFT, "type": "object", "properties": {"a": NUMBER}},
        "$.a",
    ),
    "closed": ({"$schema": DRAFT, "type": "object"}, document(), "$.*"),
    "integer to number": (document(a={"type": "integer"}), document(a=NUMBER), None),
    "number to integer": (document(a=NUMBER), document(a={"type": "integer"}), "number"),
    "null too": (document(a=TEXT), document(a={"type": ["string", "null"]}), None),
    "null no more": (document(a={"type": ["string", "null"]}), document(a=TEXT), "null"),
    "wider range": (document(a={**NUMBER, "minimum": 0}), document(a={**NUMBER, "minimum": -1}), None),
    "narrower range": (document(a={**NUMBER, "minimum": 0}), document(a={**NUMBER, "minimum": 1}), "minimum"),
    "a range": (document(a=NUMBER), document(a={**NUMBER, "maximum": 1}), "maximum"),
    "shorter": (document(a={**TEXT, "maxLength": 9}), document(a={**TEXT, "maxLength": 8}), "maxLength"),
    "a bound of another type": (document(a=TEXT), document(a={**TEXT, "minimum": 1}), None),
    "pattern": (document(a={**TEXT, "pattern": "a"}), document(a={**TEXT, "pattern": "b"}), "pattern"),
    "value added": (document(a={"enum": ["x"]}), document(a={"enum": ["x", "y"]}), None),
    "value removed": (document(a={"enum": ["x", "y"]}), document(a={"enum": ["x"]}), "'y'"),
    "values to a type": (document(a={"enum": ["x", "y"]}), document(a=TEXT), None),
    "a type to values": (document(a=TEXT), document(a={"enum": ["x"]}), "certain values"),
    "items": (document(a={"type": "array", "items": TEXT}), document(a={"type": "array", "items": NUMBER}), "a[]"),
    "different items": (
        document(a={"type": "array"}),
        document(a={"type": "array", "uniqueItems": True}),
        "different",
    ),
    "what is not judged": (document(a=TEXT), document(a={"anyOf": [TEXT, NUMBER]}), "not judged"),
    "not judged and equal": (document(a={"anyOf": [TEXT]}), document(a={"anyOf": [TEXT]}, b=TEXT), None),
    "patterns of names": (
        {**document(), "patternProperties": {"^x": TEXT}},
        document(x=NUMBER),
        "patternProperties",
    ),
    "references": (
        {**document(a={"$ref": "#/definitions/a"}), "definitions": {"a": TEXT}},
        {**document(a={"$ref": "#/definitions/a"}), "definitions": {"a": NUMBER}},
        "references",
    ),
}


def proto(body, head=""):
    return f'syntax = "proto3"; package p; {head} message M {{ {body} }}'


OLD2 = 'syntax = "proto2"; message M { optional int32 a = 1; }'
PROTOBUF = {
    "nothing": (proto("int32 a = 1;"), proto("int32 a = 1; /* a word */"), None),
    "added": (proto("int32 a = 1;"), proto("int32 a = 1; string b = 2;"), None),
    "removed": (proto("int32 a = 1; string b = 2;"), proto("int32 a = 1; reserved 2;"), None),
    "renamed": (proto("int32 a = 1;"), proto("int32 b = 1;"), "number 1 was a, it is b"),
    "number given to another": (proto("int32 a = 1;"), proto("string b = 1; int32 a = 2;"), "number 1 was a"),
    "int32 to int64": (proto("int32 a = 1;"), proto("int64 a = 1;"), None),
    "int64 to int32": (proto("int64 a = 1;"), proto("int32 a = 1;"), "was int64"),
    "int32 to sint32": (proto("int32 a = 1;"), proto("sint32 a = 1;"), "was int32"),
    "float to double": (proto("float a = 1;"), proto("double a = 1;"), "was float"),
    "string to bytes": (proto("string a = 1;"), proto("bytes a = 1;"), None),
    "bytes to string": (proto("bytes a = 1;"), proto("string a = 1;"), "was bytes"),
    "one to many": (proto("int32 a = 1;"), proto("repeated int32 a = 1;"), "one or many"),
    "into a oneof": (proto("int32 a = 1;"), proto("oneof o { int32 a = 1; string b = 2; }"), "oneof"),
    "optional": (proto("int32 a = 1;"), proto("optional int32 a = 1;"), None),
    "required": (OLD2, OLD2.replace("optional", "required"), "required"),
    "required added": (OLD2, OLD2.replace("}", "required int32 b = 2; }"), "M.b = 2 is required"),
    "syntax": (OLD2, 'syntax = "proto3"; message M { int32 a = 1; }', "syntax"),
    "package": (proto("int32 a = 1;"), proto("int32 a = 1;").replace("package p", "package q"), "p.M is not there"),
    "enum value added": (
        proto("E a = 1;", "enum E { X = 0; }"),
        proto("E a = 1;", "enum E { X = 0; Y = 1; }"),
        None,
    ),
    "enum value removed": (
        proto("E a = 1;", "enum E { X = 0; Y = 1; }"),
        proto("E a = 1;", "enum E { X = 0; }"),
        "p.E: Y = 1",
    ),
    "message within": (
        proto("N n = 1; message N { int32 a = 1; }"),
        proto("N n = 1; message N { string a = 1; }"),
        "p.M.N.a",
    ),
    "values of a map": (proto("map<string, int32> a = 1;"), proto("map<string, float> a = 1;"), "value"),
    "a known type": (
        proto("google.protobuf.Timestamp a = 1;", 'import "google/protobuf/timestamp.proto";'),
        proto("google.protobuf.Timestamp a = 1; int32 b = 2;", 'import "google/protobuf/timestamp.proto";'),
        None,
    ),
}
TABLE = [
    *(("AVRO", name, avro(old), avro(new), reason) for name, (old, new, reason) in AVRO.items()),
    *(("JSON", name, json.dumps(old), json.dumps(new), reason) for name, (old, new, reason) in JSON.items()),
    *(("PROTOBUF", name, *case) for name, case in PROTOBUF.items()),
]


@pytest.mark.parametrize(
    ("kind", "old", "new", "reason"),
    [(kind, old, new, reason) for kind, _, old, new, reason in TABLE],
    ids=[f"{kind} {name}" for kind, name, *_ in TABLE],
)
def test_a_change_is_taken_or_refused_with_its_reason(kind, old, new, reason):
    before = [RegisteredSchema(id=7, kind=kind, text=old)]
    found = reasons_against(kind, new, before=before, level="BACKWARD")
    if reason is None:
        assert found == ()
    else:
        assert any(reason in each for each in found), found
        assert all(each.startswith("cannot read data of schema 7: ") for each in found)
    # The same question the other way round has the opposite words.
    after = [RegisteredSchema(id=7, kind=kind, text=new)]
    turned = reasons_against(kind, old, before=after, level="FORWARD")
    assert [each.split(": ", 1)[1] for each in turned] == [each.split(": ", 1)[1] for each in found]


REFUSED = {
    "a default of another type": record(field("int", default="x")),
    "a default of another branch": record(field(["null", "int"], default="x")),
    "a default that lacks a field": record(field(INNER, default={})),
    "a default beyond int": record(field("int", default=2**31)),
    "a record within itself": record(field(["null", "Reading"])),
    "an array of nothing": record(field({"type": "array", "items": "null"})),
    "an array of empty records": record(field({"type": "array", "items": record(name="Empty")})),
    "a decimal without precision": record(field(logical("decimal", "bytes"))),
    "a scale beyond the precision": record(field(logical("decimal", "bytes", precision=2, scale=3))),
    "an unknown type": record(field("nothing")),
    "no name": {"type": "record", "fields": []},
    "a name with a hyphen": record(field("int", "a-b")),
    "a field twice": record(field("int"), field("int")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_avro_schema_that_is_none_is_refused(name):
    with pytest.raises(ApplianceError) as caught:
        normal("AVRO", avro(REFUSED[name]))
    assert caught.value.code.id == "APL-SCHEMA-001"


def test_types_beyond_the_depth_are_refused_and_no_stack_ends():
    schema = "int"
    for _ in range(100):
        schema = {"type": "map", "values": schema}
    for text in (avro(record(field(schema))), '{"type":"array","items":' * 100_000):
        with pytest.raises(ApplianceError) as caught:
            normal("AVRO", text)
        assert caught.value.code.id == "APL-SCHEMA-001"
    with pytest.raises(ApplianceError, match="no JSON schema"):
        normal("JSON", '{"a":' * 100_000)


@pytest.mark.parametrize("path", ["../x.proto", "/etc/x.proto", "a//b.proto", "schema.proto", "x", "a/../b.proto"])
def test_an_import_stays_within_its_folder(path):
    reference = Reference(name=path, subject="s", version=1, text='syntax = "proto3"; message A {}')
    with pytest.raises(ApplianceError) as caught:
        normal("PROTOBUF", proto("int32 a = 1;"), [reference])
    assert caught.value.code.id == "APL-SCHEMA-001"


def test_a_proto_that_reads_other_files_is_refused():
    with pytest.raises(ApplianceError) as caught:
        normal("PROTOBUF", 'syntax = "proto3"; import "etc/passwd"; message M {}')
    assert "etc/passwd" in caught.value.message
    assert "/tmp" not in caught.value.message
