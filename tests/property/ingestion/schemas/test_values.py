"""Values by registry id, held against the stock libraries: random schemas, random evolution, hostile bytes."""

import copy
import io
import json

import fastavro
import jsonschema
import pyarrow as pa
import pytest
from google.protobuf import message_factory
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import json_schema, protobuf_schema
from appliance.ingestion.schemas.frame import FRAME_BYTES, write_frame
from appliance.ingestion.schemas.registry import RegisteredSchema
from appliance.ingestion.schemas.values import columns_of, decode_values
from tests.schemas import DRAFT

SLOW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def registered(kind, schema, id=7):
    return RegisteredSchema(id=id, kind=kind, text=schema if kind == "PROTOBUF" else json.dumps(schema))


# Avro: a type is drawn with the values that it has.

PLAIN = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
}
WIDER = {"int": ("int", "long", "double"), "long": ("long",), "float": ("float", "double")}
DEFAULTS = {"boolean": True, "int": 3, "long": 4, "float": 1.5, "double": 2.5, "string": "none", "bytes": "\u00ff"}


@st.composite
def types(draw, names, depth=2):
    """(schema of the writer, schema of a reader that reads it, strategy of values)."""
    kind = draw(st.sampled_from(["plain", "null", "array", "map", "record", "enum"] if depth else ["plain", "null"]))
    if kind in ("plain", "null"):
        name = draw(st.sampled_from(sorted(PLAIN)))
        values = PLAIN[name]
        wider = draw(st.sampled_from(WIDER.get(name, (name,))))
        if kind == "plain":
            return name, draw(st.sampled_from([wider, ["null", wider]])), values
        return ["null", name], ["null", wider], st.none() | values
    if kind == "enum":
        number = names.pop()
        written = {"type": "enum", "name": f"E{number}", "symbols": ["A", "B"]}
        return written, {**written, "symbols": ["A", "B", "C"]}, st.sampled_from(["A", "B"])
    if kind == "record":
        return draw(records(names, depth - 1))
    written, read, values = draw(types(names, depth - 1))
    part = "items" if kind == "array" else "values"
    some = st.lists(values, max_size=3) if kind == "array" else st.dictionaries(st.text(max_size=3), values, max_size=3)
    return {"type": kind, part: written}, {"type": kind, part: read}, some


@st.composite
def records(draw, names, depth=2):
    name = f"R{names.pop()}"
    fields = [draw(types(names, depth)) for _ in range(draw(st.integers(1, 3)))]
    written = [{"name": f"f{number}", "type": each[0]} for number, each in enumerate(fields)]
    read = [{"name": f"f{number}", "type": each[1]} for number, each in enumerate(fields)]
    for field in read:
        if draw(st.booleans()):  # renamed, with the old name as alias
            field["aliases"], field["name"] = [field["name"]], f"{field['name']}_new"
    if draw(st.booleans()):
        read = read[1:]
    added = draw(st.none() | st.sampled_from(sorted(PLAIN)))
    if added or not read:
        read.insert(0, {"name": "added", "type": added or "int", "default": DEFAULTS[added or "int"]})
    if draw(st.booleans()):
        read.reverse()
    values = st.fixed_dictionaries({f"f{number}": each[2] for number, each in enumerate(fields)})
    return (
        {"type": "record", "name": name, "fields": written},
        {"type": "record", "name": name, "fields": read},
        values,
    )


def written(schema, value):
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(copy.deepcopy(schema)), value)
    return file.getvalue()


def stock(payload, writer, reader):
    return fastavro.schemaless_reader(
        io.BytesIO(payload), fastavro.parse_schema(copy.deepcopy(writer)), fastavro.parse_schema(copy.deepcopy(reader))
    )


def as_arrow(value, type):
    """What fastavro read as Arrow would give it: maps as pairs, and the default of bytes, which fastavro gives as the
    text that stands in the schema, as bytes."""
    if value is None:
        return None
    if pa.types.is_struct(type):
        return {field.name: as_arrow(value[field.name], field.type) for field in type}
    if pa.types.is_list(type):
        return [as_arrow(each, type.value_type) for each in value]
    if pa.types.is_map(type):
        return [(key, as_arrow(each, type.item_type)) for key, each in value.items()]
    return value.encode("latin-1") if pa.types.is_binary(type) and isinstance(value, str) else value


@SLOW
@given(data=st.data())
def test_avro_of_an_evolved_schema_is_read_as_fastavro_reads_it(data):
    writer, reader, values = data.draw(records(list(range(100))))
    sent = data.draw(st.lists(values, max_size=3))
    payloads = [written(writer, each) for each in sent]
    found = decode_values(payloads, writer=registered("AVRO", writer, 1), reader=registered("AVRO", reader, 2))
    assert found.faults == ()
    assert found.ordinals.tolist() == list(range(len(sent)))
    row = pa.struct(list(found.rows.schema))
    assert found.rows.to_pylist() == [as_arrow(stock(each, writer, reader), row) for each in payloads]


@SLOW
@given(data=st.data())
def test_any_two_schemas_are_refused_or_every_value_is_read(data):
    """What the check takes at registration is what is read later, but bytes that become text and are no UTF-8: Avro
    lets any bytes be read as a string, and stock readers fail at such a value too."""
    writer, _, values = data.draw(records(list(range(100)), 1))
    _, reader, _ = data.draw(records(list(range(100)), 1))
    reader["name"] = writer["name"]
    sent = data.draw(st.lists(values, min_size=1, max_size=2))
    payloads = [written(writer, each) for each in sent]
    found = decode_values(payloads, writer=registered("AVRO", writer, 1), reader=registered("AVRO", reader, 2))
    if "SCHEMA" in {each.code for each in found.faults}:
        assert [each.code for each in found.faults] == ["SCHEMA"] * len(sent)
    for fault in found.faults:
        if fault.code != "SCHEMA":
            assert fault.code == "DECODE"
            with pytest.raises(UnicodeDecodeError):
                stock(payloads[fault.record], writer, reader)


def test_bytes_that_become_text_must_be_utf_8():
    def field(kind):
        return {"type": "record", "name": "R", "fields": [{"name": "note", "type": kind}]}

    payloads = [written(field("bytes"), {"note": each}) for each in (b"\xc3\xa9", b"\x80")]
    reading = {"writer": registered("AVRO", field("bytes"), 1), "reader": registered("AVRO", field("string"), 2)}
    found = decode_values(payloads, **reading)
    assert found.rows.to_pylist() == [{"note": "é"}]
    assert [(each.code, each.record) for each in found.faults] == [("DECODE", 1)]


@SLOW
@given(data=st.data())
def test_any_bytes_are_a_row_or_a_fault_of_their_own(data):
    writer, reader, values = data.draw(records(list(range(100))))
    good = written(writer, data.draw(values))
    noise = data.draw(st.lists(st.binary(max_size=30), max_size=4))
    payloads = [good, *noise, good[:-1], good + b"\0", good]
    found = decode_values(payloads, writer=registered("AVRO", writer, 1), reader=registered("AVRO", reader, 2))
    assert sorted([*found.ordinals.tolist(), *(each.record for each in found.faults)]) == list(range(len(payloads)))
    assert {0, len(payloads) - 1} <= set(found.ordinals.tolist())
    assert len(found.ordinals) == found.rows.num_rows


# JSON: our judgement against the validator's.

_FEW = st.integers(0, 3)
SCHEMAS = st.deferred(lambda: _LEAVES | _OBJECTS | _ARRAYS)
_LEAVES = st.one_of(
    st.sampled_from(
        [
            {}, {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": ["string", "null"]},
            {"enum": ["a", 1, None]}, {"const": "a"}, {"type": "boolean"}, True, False,
        ]
    ),
    st.fixed_dictionaries({"type": st.just("number")}, optional={"minimum": _FEW, "maximum": _FEW}),
    st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": _FEW, "maxLength": _FEW}),
    st.fixed_dictionaries(
        {},
        optional={"exclusiveMinimum": _FEW, "multipleOf": st.integers(1, 2), "pattern": st.sampled_from(["a", "b"])},
    ),
)  # fmt: skip
_OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("object"),
        "properties": st.dictionaries(st.sampled_from("xy"), SCHEMAS, max_size=2),
        "required": st.lists(st.sampled_from("xy"), unique=True, max_size=2),
        "additionalProperties": SCHEMAS,
    },
)
_ARRAYS = st.fixed_dictionaries(
    {}, optional={"items": SCHEMAS, "minItems": _FEW, "maxItems": _FEW, "uniqueItems": st.booleans()}
)
DOCUMENTS = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, 3, 1.0, 1.5, -1, "", "a", "b", "ab", "aaaa"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(old=SCHEMAS, new=SCHEMAS, documents=st.lists(DOCUMENTS, min_size=1, max_size=12))
def test_a_json_schema_that_is_said_to_take_all_does(old, new, documents):
    assume(isinstance(old, dict) and isinstance(new, dict))
    old, new = {**old, "$schema": DRAFT}, {**new, "$schema": DRAFT}
    if json_schema.read_by(registered("JSON", new), registered("JSON", old)):
        return
    takes, took = jsonschema.Draft7Validator(new), jsonschema.Draft7Validator(old)
    for each in documents:
        assert takes.is_valid(each) or not took.is_valid(each), each


OBJECT = {
    "$schema": DRAFT,
    "type": "object",
    "properties": {
        "at": {"type": "integer"},
        "level": {"type": ["number", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"type": "object", "properties": {"site": {"type": "string"}}, "required": ["site"]},
        "state": {"enum": ["on", "off"]},
    },
    "required": ["at"],
    "additionalProperties": False,
}


def test_json_becomes_typed_columns():
    schema = registered("JSON", OBJECT)
    values = [
        b'{"at":1.0,"level":2,"tags":["x"],"place":{"site":"north"},"state":"on"}',
        b'{"at":2,"level":null}',
    ]
    found = decode_values(values, writer=schema, reader=schema)
    assert found.faults == ()
    assert found.rows.schema.field("at") == pa.field("at", pa.int64(), nullable=False)
    assert found.rows.to_pylist() == [
        {"at": 1, "level": 2.0, "tags": ["x"], "place": {"site": "north"}, "state": "on"},
        {"at": 2, "level": None, "tags": None, "place": None, "state": None},
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"at":NaN}', "no JSON"),
        (b'{"at":"\xff"}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1]", "not of type 'object'"),
        (b'{"at":1.5}', "$.at"),
        (b'{"level":1}', "'at' is a required property"),
        (b'{"at":1,"more":1}', "more"),
        (b'{"at":1,"state":"broken"}', "broken"),
        (b'{"at":1e30}', "no column"),
        (b'{"at":9223372036854775808}', "no column"),
        (b'{"at":1,"level":' + b"9" * 400 + b"}", ""),
    ],
)
def test_json_that_is_not_valid_is_a_fault_of_its_own(value, reason):
    schema, good = registered("JSON", OBJECT), b'{"at":1}'
    found = decode_values([good, value, good], writer=schema, reader=schema)
    assert found.ordinals.tolist() == [0, 2]
    ((code, record, detail),) = [(each.code, each.record, each.detail) for each in found.faults]
    assert (code, record) == ("DECODE", 1)
    assert reason in detail


# Protobuf.

PROTO = """
syntax = "proto3";
package plant;
import "google/protobuf/timestamp.proto";
message Reading {
  int32 number = 1;
  optional string note = 2;
  map<string, int64> counts = 3;
  repeated Part parts = 4;
  State state = 5;
  google.protobuf.Timestamp at = 6;
  uint64 large = 7;
  oneof what { float level = 8; bytes raw = 9; }
  message Part { bool on = 1; message Deep { int32 x = 1; } }
}
enum State { OFF = 0; ON = 1; }
message Other { int32 x = 1; }
"""
NEXT = PROTO.replace("int32 number = 1;", "int64 number = 1; string added = 10;").replace(
    "ON = 1;", "ON = 1; IDLE = 2;"
)


def message_class(text, name="plant.Reading"):
    return message_factory.GetMessageClass(protobuf_schema.pool_of(text).FindMessageTypeByName(name))


def payload(message, path=(0,)):
    return write_frame(1, message.SerializeToString(), path=path)[FRAME_BYTES:]


@settings(max_examples=100, deadline=None)
@given(
    number=st.integers(-(2**31), 2**31 - 1),
    note=st.none() | st.text(max_size=5),
    counts=st.dictionaries(st.text(max_size=3), st.integers(-(2**63), 2**63 - 1), max_size=3),
    parts=st.lists(st.booleans(), max_size=3),
    large=st.integers(0, 2**64 - 1),
    what=st.none() | st.floats(width=32, allow_nan=False) | st.binary(max_size=4),
    micros=st.none() | st.integers(0, 2**50),
    state=st.integers(0, 5),
)
def test_protobuf_of_an_evolved_schema_is_read_as_the_stock_library_reads_it(
    number, note, counts, parts, large, what, micros, state
):
    message = message_class(PROTO)(number=number, counts=counts, large=large, state=state)
    message.parts.extend(type(message).Part(on=each) for each in parts)
    if note is not None:
        message.note = note
    if isinstance(what, float):
        message.level = what
    elif what is not None:
        message.raw = what
    if micros is not None:
        message.at.FromMicroseconds(micros)
    found = decode_values(
        [payload(message)], writer=registered("PROTOBUF", PROTO, 1), reader=registered("PROTOBUF", NEXT, 2)
    )
    assert found.faults == ()
    (row,) = found.rows.to_pylist()
    at = row.pop("at")
    assert (None if at is None else round(at.timestamp() * 1_000_000)) == micros
    assert row.pop("large") == large
    assert row == {
        "number": number,
        "note": note,
        "counts": sorted(counts.items()),
        "parts": [{"on": each} for each in parts],
        "state": {0: "OFF", 1: "ON", 2: "IDLE"}.get(state, str(state)),
        "level": what if isinstance(what, float) else None,
        "raw": what if isinstance(what, bytes) else None,
        "added": "",
    }


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=5))
def test_any_bytes_are_a_message_or_a_fault_of_their_own(noise):
    good = payload(message_class(PROTO)(number=5))
    schema = registered("PROTOBUF", PROTO)
    found = decode_values([good, *noise, good], writer=schema, reader=schema)
    assert sorted([*found.ordinals.tolist(), *(each.record for each in found.faults)]) == list(range(len(noise) + 2))
    assert {0, len(noise) + 1} <= set(found.ordinals.tolist())


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ((1,), "plant.Other, expected a plant.Reading"),
        ((0, 1, 0), "Deep"),
        ((2,), "no message"),
        ((0, 2), "no message"),
    ],
)
def test_another_message_of_the_file_is_a_fault(path, reason):
    schema = registered("PROTOBUF", PROTO)
    found = decode_values([payload(message_class(PROTO)(), path)], writer=schema, reader=schema)
    assert reason in found.faults[0].detail


# All kinds.

NO_COLUMN = {
    "a union of two types": (
        "AVRO",
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": ["int", "string"]}]},
    ),
    "no record": ("AVRO", "int"),
    "a decimal of 39 digits": (
        "AVRO",
        {
            "type": "record", "name": "R",
            "fields": [{"name": "a", "type": {"type": "bytes", "logicalType": "decimal", "precision": 39, "scale": 0}}],
        },
    ),
    "any type": ("JSON", {"$schema": DRAFT, "type": "object", "properties": {"a": {}}}),
    "an array": ("JSON", {"$schema": DRAFT, "type": "array", "items": {"type": "string"}}),
    "an object without properties": ("JSON", {"$schema": DRAFT, "type": "object"}),
    "a message within itself": ("PROTOBUF", 'syntax = "proto3"; message M { M m = 1; }'),
    "a message without fields": ("PROTOBUF", 'syntax = "proto3"; message M {}'),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_COLUMN)
def test_a_type_without_a_column_is_refused(name):
    kind, schema = NO_COLUMN[name]
    with pytest.raises(ApplianceError) as caught:
        columns_of(registered(kind, schema))
    assert caught.value.code.id == "APL-SCHEMA-001"


def test_another_kind_is_a_fault_of_every_value():
    avro = registered("AVRO", {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}, 1)
    found = decode_values([b"\2", b""], writer=registered("JSON", OBJECT, 2), reader=avro)
    assert [(each.code, each.record) for each in found.faults] == [("SCHEMA", 0), ("SCHEMA", 1)]
    assert found.rows.schema == columns_of(avro)


def logical(type, name, **more):
    return {"type": type, "logicalType": name, **more}


def test_logical_types_become_typed_columns_and_defaults_are_of_their_type():
    fields = {
        "instant": (logical("long", "timestamp-millis"), 5, pa.timestamp("us", "UTC"), 5_000),
        "exact": (logical("long", "timestamp-micros"), 2**53 + 1, pa.timestamp("us", "UTC"), 2**53 + 1),
        "local": (logical("long", "local-timestamp-millis"), -5, pa.timestamp("us"), -5_000),
        "clock": (logical("int", "time-millis"), 7, pa.time64("us"), 7_000),
        "day": (logical("int", "date"), -1, pa.date32(), -1),
        "many": ({"type": "array", "items": logical("long", "timestamp-millis")}, [1, 2], None, [1_000, 2_000]),
    }
    names = {name: {"name": name, "type": each[0]} for name, each in fields.items()}
    decimal = {**logical("bytes", "decimal", precision=5, scale=2)}
    writer = {"type": "record", "name": "R", "fields": list(names.values())}
    reader = {
        **writer,
        "fields": [*names.values(), {"name": "price", "type": decimal, "default": "\u0001\u0000"}],
    }
    bare = {
        "type": "record",
        "name": "R",
        "fields": [{"name": n, "type": _bare(each[0])} for n, each in fields.items()],
    }
    value = written(bare, {name: each[1] for name, each in fields.items()})
    beyond = written(bare, {**{name: each[1] for name, each in fields.items()}, "instant": 2**62})
    found = decode_values([value, beyond], writer=registered("AVRO", writer, 1), reader=registered("AVRO", reader, 2))
    assert [(each.code, each.record) for each in found.faults] == [("DECODE", 1)]
    for name, (_, _, type, expected) in fields.items():
        column = found.rows[name].combine_chunks()
        if type is None:
            assert column.values.cast(pa.int64()).to_pylist() == expected
        else:
            assert column.type == type
            assert column.cast(pa.int32() if name == "day" else pa.int64()).to_pylist() == [expected]
    assert str(found.rows["price"][0].as_py()) == "2.56"


def _bare(type):
    return {**type, "items": _bare(type["items"])} if "items" in type else type["type"]


@pytest.mark.parametrize("written", ["null", {"type": "map", "values": "null"}], ids=["a field", "values of a map"])
def test_what_is_always_null_is_a_column_of_nulls(written):
    """Found by a mutated schema: Arrow has no column of nulls that takes no null."""
    schema = registered("AVRO", {"type": "record", "name": "R", "fields": [{"name": "a", "type": written}]})
    value = None if written == "null" else {"k": None}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, json.loads(schema.text), {"a": value})
    found = decode_values([out.getvalue()], writer=schema, reader=schema)
    assert found.faults == ()
    assert found.rows["a"].to_pylist() == [value if value is None else [("k", None)]]
