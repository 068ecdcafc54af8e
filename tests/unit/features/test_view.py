"""Declarations of feature views: strict, one pair of time axes, complete contracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.demo import declarations
from appliance.features.view import load_views, parse_view, select_features, view_of_declaration

VIEW = """
name = "claims"
owner = "billing"
description = "Charges and authorizations of a member."
event_axis = "settlement_time"
known_axis = "arrived_at"
ttl = "90d"

[[source]]
name = "charges"
table = "silver.charges"
entity = "member_id"
event_axis = "settlement_time"
known_axis = "arrived_at"
measures = { amount = "usd" }

[[source]]
name = "authorizations"
table = "silver.authorizations"
entity = "member_id"
event_axis = "settlement_time"
known_axis = "arrived_at"
measures = { requested = "usd" }

[[feature]]
name = "spend"
expression = "sum(amount, 30d)"
unit = "usd"
range = [0.0, 1e9]

[[feature]]
name = "share"
expression = "sum(amount, 30d) / sum(requested, 30d)"
unit = "1"
default = 0.0
on_nan = "default"
"""
SECOND_SOURCE = VIEW.index('name = "authorizations"')


def with_change(old: str, new: str, *, after: int = 0) -> bytes:
    head, tail = VIEW[:after], VIEW[after:]
    assert old in tail
    return (head + tail.replace(old, new, 1)).encode()


def test_the_view_compiles():
    view = parse_view(VIEW.encode(), where="claims.toml")
    assert [feature.name for feature in view.features] == ["spend", "share"]
    assert view.features[1].slots[1].table == "silver.authorizations"


@pytest.mark.parametrize(
    ("data", "first", "second"),
    [
        (with_change("settlement_time", "authorized_time", after=SECOND_SOURCE), "settlement_time", "authorized_time"),
        (with_change("arrived_at", "loaded_at", after=SECOND_SOURCE), "arrived_at", "loaded_at"),
        (with_change('unit = "1"', 'unit = "1"\naxis = "authorized_time"'), "settlement_time", "authorized_time"),
    ],
    ids=["source by event axis", "source by arrival axis", "feature by event axis"],
)
def test_a_view_that_mixes_time_axes_does_not_compile(data, first, second):
    with pytest.raises(ApplianceError) as caught:
        parse_view(data, where="claims.toml")
    assert caught.value.code.id == "APL-FEATURES-002"
    assert f"{first} is mixed with {second}" in caught.value.message
    assert caught.value.where == "claims.toml"


def test_one_axis_cannot_be_both():
    with pytest.raises(ApplianceError, match="arrived_at is named as event axis and as arrival axis") as caught:
        parse_view(VIEW.replace("settlement_time", "arrived_at").encode(), where="claims.toml")
    assert caught.value.code.id == "APL-FEATURES-002"


def test_views_on_different_axes_cannot_serve_one_model():
    other = VIEW.replace("settlement_time", "authorized_time").replace('"claims"', '"others"').replace("spend", "asked")
    views = [parse_view(VIEW.encode(), where="a"), parse_view(other.encode(), where="b")]
    with pytest.raises(ApplianceError, match="settlement_time is mixed with authorized_time") as caught:
        select_features(views, ["claims.spend", "others.asked"])
    assert caught.value.code.id == "APL-FEATURES-002"


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (with_change("sum(amount, 30d)", "sum(price, 30d)"), "APL-FEATURES-001", "reads price, which no source holds"),
        (with_change('name = "share"', 'name = "spend"'), "APL-FEATURES-001", "declared twice"),
        (with_change("requested =", "amount ="), "APL-FEATURES-001", "is in two sources, qualify it"),
        (with_change("default = 0.0\n", ""), "APL-FEATURES-001", "names no default"),
        (with_change("[0.0, 1e9]", "[5.0, 1.0]"), "APL-FEATURES-001", "range [5.0, 1.0]"),
        (with_change('ttl = "90d"', 'ttl = "90 days"'), "APL-BASE-004", "90 days"),
        (with_change('owner = "billing"\n', ""), "APL-CONFIG-004", "owner"),
        (with_change('unit = "usd"', 'units = "usd"'), "APL-CONFIG-004", "unit"),
    ],
)
def test_a_faulty_declaration_is_refused(data, code, message):
    with pytest.raises(ApplianceError) as caught:
        parse_view(data, where="claims.toml")
    assert caught.value.code.id == code
    assert message in caught.value.message


def test_unknown_and_repeated_names_are_refused():
    view = parse_view(VIEW.encode(), where="a")
    for names, code in ((["claims.nothing"], "APL-FEATURES-004"), (["claims", "claims.spend"], "APL-FEATURES-001")):
        with pytest.raises(ApplianceError) as caught:
            select_features([view], names)
        assert caught.value.code.id == code


def test_a_declaration_in_a_package_gives_the_same_view():
    for view in load_views(Path(declarations.__path__[0]) / "features"):
        assert view_of_declaration(view.declaration) == view
