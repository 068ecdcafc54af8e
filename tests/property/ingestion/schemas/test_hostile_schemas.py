"""What a stranger may register: any text is a schema or is refused, and reading by it raises nothing else."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.base.errors import ApplianceError
from appliance.ingestion import reading
from appliance.ingestion.schemas.compatibility import normal, reasons_against
from appliance.ingestion.schemas.reading_batches import decode_reading_batches
from appliance.ingestion.schemas.registry import RegisteredSchema
from appliance.ingestion.schemas.values import decode_values
from tests.schemas import DRAFT

WORDS = st.sampled_from(
    [
        *(
            "record",
            "array",
            "map",
            "enum",
            "fixed",
            "union",
            "null",
            "int",
            "long",
            "string",
            "bytes",
            "double",
            "error",
        ),
        *(
            "decimal",
            "timestamp-millis",
            "uuid",
            "duration",
            "object",
            "integer",
            "number",
            "a",
            "",
            "Reading",
            "1",
            "a.b",
        ),
    ]
)
KEYS = st.sampled_from(
    [
        *(
            "type",
            "name",
            "namespace",
            "fields",
            "items",
            "values",
            "symbols",
            "size",
            "default",
            "aliases",
            "doc",
            "order",
        ),
        *(
            "logicalType",
            "precision",
            "scale",
            "properties",
            "required",
            "enum",
            "const",
            "additionalProperties",
            "$ref",
        ),
        *("minimum", "maxLength", "pattern", "uniqueItems", "anyOf", "$schema", "format", "multipleOf"),
    ]
)
NODES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
JSON = {
    "$schema": DRAFT,
    "type": "object",
    "properties": {"a": {"type": ["integer", "null"], "minimum": 1}, "b": {"type": "array", "items": {"enum": ["x"]}}},
    "required": ["a"],
}
SEEDS = {"AVRO": reading.SCHEMA, "JSON": JSON}


def places(node, at=()):
    """Every place in a JSON value."""
    yield at
    for key, part in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(part, (*at, key))


@st.composite
def mutated(draw, seed):
    """A schema with one to three places replaced, or a key added."""
    schema = copy.deepcopy(seed)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(list(places(schema))))
        if not at:
            continue
        parent = schema
        for key in at[:-1]:
            parent = parent[key]
        if isinstance(parent, dict) and draw(st.booleans()):
            parent[draw(KEYS)] = draw(NODES)
        else:
            parent[at[-1]] = draw(NODES)
    return json.dumps(schema)


def taken(call):
    """Whether the call ends well; the only other end is APL-SCHEMA-001."""
    try:
        call()
    except ApplianceError as error:
        if error.code.id != "APL-SCHEMA-001":
            raise
        return False
    return True


RUN = settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("kind", sorted(SEEDS))
@RUN
@given(data=st.data())
def test_any_text_is_judged_or_refused(kind, data):
    text = data.draw(mutated(SEEDS[kind]) | NODES.map(json.dumps) | st.text(max_size=30))
    old = RegisteredSchema(id=1, kind=kind, text=json.dumps(SEEDS[kind]))
    if not taken(lambda: normal(kind, text)):
        return
    first = normal(kind, text)
    assert normal(kind, first) == first
    new = RegisteredSchema(id=2, kind=kind, text=text)
    reasons_against(kind, text, before=[old], level="FULL")
    assert reasons_against(kind, text, before=[new], level="FULL") == ()


@RUN
@given(text=mutated(reading.SCHEMA), values=st.lists(st.binary(max_size=20), max_size=3))
def test_reading_batches_by_any_schema_are_records_or_faults(text, values):
    found = decode_reading_batches(values, RegisteredSchema(id=3, kind="AVRO", text=text))
    records = found.headers["record"].to_pylist()
    assert sorted([*records, *(each.record for each in found.faults)]) == list(range(len(values)))


@pytest.mark.parametrize("kind", sorted(SEEDS))
@RUN
@given(data=st.data())
def test_values_by_any_schema_are_rows_or_faults(kind, data):
    text = data.draw(mutated(SEEDS[kind]))
    values = data.draw(st.lists(st.binary(max_size=20) | NODES.map(lambda node: json.dumps(node).encode()), max_size=3))
    schema = RegisteredSchema(id=4, kind=kind, text=text)
    reader = data.draw(st.sampled_from([schema, RegisteredSchema(id=5, kind=kind, text=json.dumps(SEEDS[kind]))]))
    if not taken(lambda: decode_values(values, writer=schema, reader=reader)):
        return
    found = decode_values(values, writer=schema, reader=reader)
    assert sorted([*found.ordinals.tolist(), *(each.record for each in found.faults)]) == list(range(len(values)))


@settings(max_examples=25, deadline=None)
@given(
    st.text(max_size=40)
    | st.sampled_from(["message M {", "message M { M m = 1; }", 'import "x.proto";', "\0", "enum E {}"])
)
def test_any_proto_is_compiled_or_refused(text):
    for each in (text, f'syntax = "proto3"; message A {{ {text} }}'):
        taken(lambda each=each: normal("PROTOBUF", each))
