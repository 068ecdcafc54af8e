"""Reading batches of evolved schemas come out as the wire form's own tables, and hostile bytes as faults."""

import copy
import io
import json

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.ingestion import decode, reading
from appliance.ingestion.schemas.reading_batches import decode_reading_batches
from appliance.ingestion.schemas.registry import RegisteredSchema

TEXT = st.text(max_size=12)
LONG = st.integers(-(2**63), 2**63 - 1)
INT = st.integers(-(2**31), 2**31 - 1)
FLOAT = st.floats(width=32, allow_nan=False)


def batches(long=LONG, double=FLOAT):
    readings = st.fixed_dictionaries(
        {"event_time": long, "measure": TEXT, "value": double, "quality": TEXT, "unit": TEXT}
    )
    return st.fixed_dictionaries(
        {
            "device_id": TEXT,
            "firmware": TEXT,
            "sequence": long,
            "produced_at": long,
            "trace_id": TEXT,
            "readings": st.lists(readings, max_size=4),
        }
    )


def registered(schema, id=7):
    return RegisteredSchema(id=id, kind="AVRO", text=json.dumps(schema))


def written(schema, values):
    parsed, out = fastavro.parse_schema(copy.deepcopy(schema)), []
    for each in values:
        file = io.BytesIO()
        fastavro.schemaless_writer(file, parsed, each)
        out.append(file.getvalue())
    return out


def stock(values):
    """The tables that a spool file of these batches gives, written by fastavro."""
    file = io.BytesIO()
    fastavro.writer(file, reading.SCHEMA, values)
    return decode.decode(file.getvalue(), decode.Limits())


def same(found, expected):
    # Dictionaries may number their words differently; the words of each row are the same.
    for ours, theirs in ((found.rows, expected.rows), (found.headers, expected.headers)):
        assert ours.schema == theirs.schema
        assert ours.to_pylist() == theirs.to_pylist()


def top(schema, name):
    return next(each for each in schema["fields"] if each["name"] == name)


def inner(schema, name):
    return top(top(schema, "readings")["type"]["items"], name)


def renamed(field, name):
    field["aliases"] = [field["name"]]
    field["name"] = name


# What a producer may do to the schema, and to a batch of its own so that it fits.
def _add_top(schema):
    schema["fields"].insert(1, {"name": "site", "type": ["null", "string"], "default": None})


def _add_inner(schema):
    top(schema, "readings")["type"]["items"]["fields"].insert(
        2, {"name": "extra", "type": {"type": "map", "values": "long"}, "default": {}}
    )


def _narrow(schema):
    top(schema, "sequence")["type"] = "int"
    inner(schema, "event_time")["type"] = "int"


def _float(schema):
    inner(schema, "value")["type"] = "float"


def _int_value(schema):
    inner(schema, "value")["type"] = "int"


def _rename(schema):
    renamed(top(schema, "device_id"), "device")
    renamed(inner(schema, "measure"), "quantity")


def _rename_record(schema):
    schema["aliases"], schema["name"] = ["appliance.ReadingBatch"], "Batch"


def _rename_inner(schema):
    items = top(schema, "readings")["type"]["items"]
    items["aliases"], items["name"] = ["Reading"], "Measurement"


def _reorder(schema):
    schema["fields"].reverse()
    top(schema, "readings")["type"]["items"]["fields"].reverse()


def _say_micros(schema):
    inner(schema, "event_time")["type"] = {"type": "long", "logicalType": "timestamp-micros"}


def _bytes(schema):
    top(schema, "trace_id")["type"] = "bytes"


CHANGES = {
    "nothing": lambda schema: None,
    "a doc": lambda schema: schema.update(doc="new"),
    "a field added": _add_top,
    "a map added to each reading": _add_inner,
    "long from int": _narrow,
    "double from float": _float,
    "double from int": _int_value,
    "fields renamed, with aliases": _rename,
    "the record renamed, with an alias": _rename_record,
    "the record of a reading renamed, with an alias": _rename_inner,
    "another order": _reorder,
    "the unit of time said": _say_micros,
    "text from bytes": _bytes,
}


def evolved(*names):
    schema = copy.deepcopy(reading.SCHEMA)
    for name in names:
        CHANGES[name](schema)
    return schema


def fitted(batch, names):
    """The batch as a producer with the changed schema would have it."""
    made = copy.deepcopy(batch)
    if "fields renamed, with aliases" in names:
        made["device"] = made.pop("device_id")
        for each in made["readings"]:
            each["quantity"] = each.pop("measure")
    if "text from bytes" in names:
        made["trace_id"] = made["trace_id"].encode()
    if "a field added" in names:
        made["site"] = "north"
    for each in made["readings"]:
        if "a map added to each reading" in names:
            each["extra"] = {"a": 1}
    return made


@pytest.mark.parametrize("name", CHANGES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_each_change_comes_out_as_the_wire_form(name, data):
    """Avro 1.12 "Schema Resolution", and beyond it a producer's own aliases."""
    numbers = INT if name in ("long from int", "double from int") else LONG
    values = INT.map(float) if name == "double from int" else FLOAT
    plain = data.draw(st.lists(batches(numbers, values), max_size=4))
    sent = [fitted(each, [name]) for each in plain]
    if name == "double from int":
        for each in sent:
            for one in each["readings"]:
                one["value"] = int(one["value"])
    schema = evolved(name)
    found = decode_reading_batches(written(schema, sent), registered(schema))
    assert found.faults == ()
    same(found, stock(plain))


COMBINED = [
    "a field added", "a map added to each reading", "double from float", "fields renamed, with aliases",
    "the record renamed, with an alias", "another order",
]  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names=st.sets(st.sampled_from(COMBINED)), plain=st.lists(batches(), max_size=3))
def test_changes_together_come_out_as_the_wire_form(names, plain):
    order = [each for each in COMBINED if each in names]  # renames before the order changes
    schema = evolved(*order)
    found = decode_reading_batches(written(schema, [fitted(each, names) for each in plain]), registered(schema))
    assert found.faults == ()
    same(found, stock(plain))


def _millis(schema):
    inner(schema, "event_time")["type"] = {"type": "long", "logicalType": "timestamp-millis"}


def _without(name):
    def change(schema):
        schema["fields"] = [each for each in schema["fields"] if each["name"] != name]

    return change


REFUSED = {
    "another unit of time": (_millis, "timestamp-millis"),
    "a field removed": (_without("firmware"), "firmware"),
    "another type": (lambda schema: top(schema, "sequence").update(type="string"), "long"),
    "a field renamed without an alias": (lambda schema: top(schema, "device_id").update(name="device"), "device_id"),
    "an optional measure": (lambda schema: inner(schema, "measure").update(type=["null", "string"]), "null"),
    "a record within itself": (
        lambda schema: schema["fields"].append({"name": "a", "type": ["null", "ReadingBatch"], "default": None}),
        "holds itself",
    ),
    "an array of nothing": (
        lambda schema: schema["fields"].append({"name": "a", "type": {"type": "array", "items": "null"}}),
        "no bytes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_the_wire_form_cannot_read_is_a_fault_of_every_value(name):
    change, reason = REFUSED[name]
    schema = copy.deepcopy(reading.SCHEMA)
    change(schema)
    found = decode_reading_batches([b"", b"abc"], registered(schema, id=41))
    assert [(each.code, each.record) for each in found.faults] == [("SCHEMA", 0), ("SCHEMA", 1)]
    assert all(reason in each.detail and "schema 41" in each.detail for each in found.faults)
    assert (found.rows.num_rows, found.headers.num_rows) == (0, 0)


@pytest.mark.parametrize(("kind", "text"), [("JSON", "{}"), ("PROTOBUF", ""), ("AVRO", "{"), ("AVRO", '"nothing"')])
def test_what_is_no_schema_of_reading_batches_is_a_fault_and_no_error(kind, text):
    found = decode_reading_batches([b"x"], RegisteredSchema(id=41, kind=kind, text=text))
    assert [(each.code, each.record) for each in found.faults] == [("SCHEMA", 0)]


BATCH = {
    "device_id": "d", "firmware": "1", "sequence": 1, "produced_at": 2, "trace_id": "t",
    "readings": [{"event_time": 3, "measure": "m", "value": 1.5, "quality": "good", "unit": "Cel"}],
}  # fmt: skip
WRITERS = {"the wire form": [], "an evolved schema": COMBINED}


def value_of(names):
    (value,) = written(evolved(*names), [fitted(BATCH, names)])
    return value


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_value_is_a_record_or_a_fault_and_costs_no_other(writer, data):
    names = WRITERS[writer]
    good = value_of(names)
    damaged = st.one_of(
        st.binary(max_size=40),
        st.integers(0, len(good)).map(lambda at: good[:at]),
        st.binary(min_size=1, max_size=9).map(lambda more: good + more),
        st.tuples(st.integers(0, len(good) - 1), st.binary(min_size=1, max_size=10)).map(
            lambda put: good[: put[0]] + put[1] + good[put[0] + len(put[1]) :]
        ),
        st.just(good),
    )
    values = data.draw(st.lists(damaged, max_size=6))
    found = decode_reading_batches([good, *values, good], registered(evolved(*names)))
    records = found.headers["record"].to_pylist()
    assert sorted([*records, *(each.record for each in found.faults)]) == list(range(len(values) + 2))
    assert {0, len(values) + 1} <= set(records)
    for header in found.headers.to_pylist():
        rows = found.rows.slice(header["first_row"], header["readings"])
        assert set(rows["record"].to_pylist()) <= {header["record"]}
    assert found.rows.num_rows == sum(found.headers["readings"].to_pylist())


@pytest.mark.parametrize("writer", WRITERS)
def test_counts_that_the_bytes_do_not_hold_cost_no_memory(writer):
    """A count of 2^62 items, a text of 2^62 bytes, negative ones."""
    names = WRITERS[writer]
    huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"
    good = value_of(names)
    values = [
        good[:at] + number + good[at:] for at in range(len(good)) for number in (huge, b"\x01", b"\xff" * 9 + b"\x01")
    ]
    found = decode_reading_batches(values, registered(evolved(*names)))
    assert len(found.faults) + found.headers.num_rows == len(values)
    assert len(found.faults) > len(values) / 2


def test_bad_utf8_is_kept_as_the_wire_form_keeps_it():
    names = ["a field added"]
    good, bad = value_of(names), value_of(names).replace(b"Cel", b"C\xffl")
    found = decode_reading_batches([good, bad], registered(evolved(*names)))
    assert found.faults == ()
    assert found.rows["unit"].to_pylist() == ["Cel", "C\ufffdl"]
