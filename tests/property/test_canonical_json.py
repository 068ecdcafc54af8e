"""Canonical JSON: one byte form per value (RFC 8785, without floats)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.canonical import MAX_INTEGER, canonical, parse_canonical
from appliance.base.errors import ApplianceError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


class TestRoundTrip:
    """``canonical(parse_canonical(b)) == b`` and ``parse_canonical(canonical(v)) == v``."""

    @given(values)
    def test_round_trip(self, value):
        data = canonical(value)
        assert parse_canonical(data) == value
        assert canonical(parse_canonical(data)) == data

    @given(st.dictionaries(text, st.integers(0, 9), max_size=6))
    def test_the_order_of_keys_does_not_matter(self, value):
        assert canonical(dict(reversed(list(value.items())))) == canonical(value)

    @given(values, st.integers(0, 200))
    def test_any_other_spelling_is_refused(self, value, at):
        data = canonical(value)
        spelled = json.dumps(value, indent=1).encode()
        if spelled != data:
            with pytest.raises(ApplianceError, match="APL-BASE-001"):
                parse_canonical(spelled)


def test_keys_are_sorted_by_utf16_units():
    """RFC 8785 section 3.2.3: U+1F600 (surrogates D83D DE00) comes before U+FB33."""
    assert canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    "value", [1.5, float("nan"), 2**53, b"bytes", {1: 2}, {"a": {2, 3}}, "\ud800", [[0.0]]], ids=repr
)
def test_refuses_what_has_no_single_form(value):
    with pytest.raises(ApplianceError, match="APL-BASE-001"):
        canonical(value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b" 1", b"1 ", b'{"a":1,"a":1}', b'{"b":1,"a":1}', b"1.0", b"1e2", b'"\\u0041"', b"\xff", b"NaN"]
)
def test_refuses_bytes_that_are_not_canonical(data):
    with pytest.raises(ApplianceError, match="APL-BASE-001"):
        parse_canonical(data)


def test_refuses_deep_nesting():
    with pytest.raises(ApplianceError, match="APL-BASE-001"):
        parse_canonical(b"[" * 100_000 + b"]" * 100_000)
