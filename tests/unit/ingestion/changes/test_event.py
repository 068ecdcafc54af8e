"""A record of a change is read, or refused with a code; nothing else leaves the reader."""

import json

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.changes.event import Reader
from tests.change_events import FIELDS, MICROSECOND, event

ROW = {"id": 1, "name": "a"}
OPERATIONS = {
    "read by a snapshot": (event("r", after=ROW, lsn=None), "snapshot", ROW),
    "created": (event("c", after=ROW), "create", ROW),
    "updated": (event("u", before=ROW, after={**ROW, "name": "b"}), "update", {**ROW, "name": "b"}),
    "deleted": (event("d", before=ROW), "delete", ROW),
    "all gone": (event("t"), "truncate", {}),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_happened(name):
    record, operation, row = OPERATIONS[name]
    table, change = Reader().read(*record)
    assert (change.operation, change.row, change.transaction) == (operation, row, 7)
    assert change.key == ((1,) if row else ())
    assert change.lsn == (0 if operation == "snapshot" else 100)
    assert change.committed_at.timestamp() == MICROSECOND / 1e6
    assert [each.name for each in table.columns] == ["id", "name"]


def test_the_key_has_the_order_of_the_keys_schema():
    fields = [{"type": "string", "field": "b"}, {"type": "int32", "field": "a"}]
    table, change = Reader().read(*event("c", after={"b": "x", "a": 1}, fields=fields, key=("b", "a")))
    assert (table.key, change.key) == (("b", "a"), ("x", 1))


def test_an_excluded_column_is_passed_over_whatever_its_type():
    fields = [*FIELDS, {"type": "map", "field": "odd"}]
    table, change = Reader(["odd"]).read(*event("c", after={**ROW, "odd": {"x": 1}}, fields=fields))
    assert [each.name for each in table.columns] == ["id", "name"]
    assert change.row == ROW


MESSAGE = json.dumps({"schema": {}, "payload": {"op": "m"}}).encode()


@pytest.mark.parametrize("record", [(None, None), (b"x", None), (None, MESSAGE)])
def test_what_tells_no_change_of_a_row_is_none(record):
    assert Reader().read(*record) is None


def broken(change, record=None):
    key, value = record or event("c", after=ROW)
    found = json.loads(value)
    change(found)
    return key, json.dumps(found).encode()


BYTES = {"type": "bytes", "field": "b"}
DATE = {"type": "int32", "name": "io.debezium.time.Date", "field": "d"}
MALFORMED = {
    "no JSON": (b"{}", b"{"),
    "not UTF-8": (b"{}", b'"\xff"'),
    "a list": (b"{}", b"[]"),
    "a number": (b"{}", b"1"),
    "no payload": broken(lambda found: found.pop("payload")),
    "no schema": broken(lambda found: found.pop("schema")),
    "schema without after": broken(lambda found: found["schema"]["fields"].pop(1)),
    "no source": broken(lambda found: found["payload"].pop("source")),
    "a time that no calendar has": broken(lambda found: found["payload"]["source"].update(ts_us=10**30)),
    "a place that is no number": broken(lambda found: found["payload"]["source"].update(lsn="x")),
    "a row that is none": broken(lambda found: found["payload"].update(after=[1])),
    "a row without its key": (None, event("c", after=ROW)[1]),
    "created, and no row": broken(lambda found: found["payload"].update(after=None)),
    "bytes that are no base64": event("c", after={"id": 1, "b": "%"}, fields=[FIELDS[0], BYTES]),
    "a date that no calendar has": event("c", after={"id": 1, "d": 10**9}, fields=[FIELDS[0], DATE]),
    "nested without end": (b"{}", b"[" * 100_000 + b"]" * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_such_record_is_refused(name):
    with pytest.raises(ApplianceError) as caught:
        Reader().read(*MALFORMED[name])
    assert caught.value.code.id == "APL-CHANGE-008"


LEFT_OUT = {
    "text": ({"type": "string", "field": "v"}, "__debezium_unavailable_value"),
    "bytes": ({"type": "bytes", "field": "v"}, "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="),
    "list": (
        {"type": "array", "items": {"type": "string"}, "field": "v"},
        ["__debezium_unavailable_value"],
    ),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_value_that_was_left_out_is_not_taken_for_one(kind):
    field, value = LEFT_OUT[kind]
    with pytest.raises(ApplianceError, match="column v") as caught:
        Reader().read(*event("u", before=None, after={"id": 1, "v": value}, fields=[FIELDS[0], field]))
    assert caught.value.code.id == "APL-CHANGE-012"
