"""What a message becomes: one line, whatever the payload is, and a key that tells it from others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.connectors.payload import read

KEY = ["device", "at.n"]


LINES = [
    ("an object", b'{"a": 1}', "", b'{"a": 1}'),
    ("over lines", b'{\r\n"a":\n1}\n', "", b'{  "a": 1}'),
    ("with its topic", b' { "a":1}', "topic", b'{"topic":"t/\\u00fc","a":1}'),
    ("empty with its topic", b"{ }", "topic", b'{"topic":"t/\\u00fc"}'),
    ("a list with its topic", b"[1]", "topic", b"[1]"),
    ("text", b"off", "", b"off"),
    ("nothing", b"", "", b'""'),
    ("no UTF-8", b"\xff\n", "topic", b'"\\\\xff\\n"'),
]


@pytest.mark.parametrize(
    ("payload", "topic_field", "row"), [case[1:] for case in LINES], ids=[case[0] for case in LINES]
)
def test_the_line_of_a_payload(payload, topic_field, row):
    assert read("t/ü", payload, key=KEY, topic_field=topic_field).row == row


BASE = b'{"device":"a","at":{"n":1},"v":5}'
KEYS = [
    ("other fields do not matter", "t", b'{"v":6,"at":{"n":1},"device":"a"}', True),
    ("nor does the topic", "u", BASE, True),
    ("one field differs", "t", b'{"device":"b","at":{"n":1}}', False),
    ("the type differs", "t", b'{"device":"a","at":{"n":"1"}}', False),
    ("a field is missing", "t", b'{"device":"a"}', False),
    ("a field is null", "t", b'{"device":"a","at":{"n":null}}', False),
]


@pytest.mark.parametrize(("topic", "payload", "same"), [case[1:] for case in KEYS], ids=[case[0] for case in KEYS])
def test_the_key_is_of_the_declared_fields(topic, payload, same):
    assert (read("t", BASE, key=KEY).key == read(topic, payload, key=KEY).key) is same


def test_without_its_fields_all_of_the_message_is_the_key():
    assert read("t", b"off", key=KEY).key == read("t", b"off", key=KEY).key
    assert len({read(topic, text, key=KEY).key for topic, text in (("t", b"a"), ("t", b"b"), ("u", b"a"))}) == 3


def test_the_topic_may_be_part_of_the_key():
    one, other = (read(topic, BASE, key=["topic", "device"], topic_field="topic").key for topic in ("t", "u"))
    assert one != other


def test_values_do_not_run_into_each_other():
    one = read("t", b'{"a":"x","b":"yz"}', key=["a", "b"]).key
    assert one != read("t", b'{"a":"xy","b":"z"}', key=["a", "b"]).key


@given(st.binary(max_size=60))
def test_every_payload_is_one_line_that_is_not_empty(payload):
    row = read("t", payload, key=KEY, topic_field="topic").row
    assert row.strip()
    assert b"\n" not in row
    assert b"\r" not in row
    row.decode("utf-8")


VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=5
)


@given(st.dictionaries(st.text(), VALUES), st.none() | st.integers(0, 4))
def test_an_object_is_the_same_object_afterwards(value, indent):
    assert json.loads(read("t", json.dumps(value, indent=indent).encode(), key=KEY).row) == value
