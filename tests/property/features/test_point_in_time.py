"""Rule: at instant t only rows with event <= t and known <= t exist. Oracles read row by row."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.features.asof import asof_join
from appliance.features.compute import evaluate, group_readings, plan_features
from appliance.features.expression import FUNCTIONS
from appliance.features.view import Axes, parse_view, select_features

AXES = Axes(event="event_time", known="arrived_at")
INSTANT = pa.timestamp("us", "UTC")
SMALL = st.integers(0, 40)
ROW = st.tuples(st.sampled_from("abc"), SMALL, SMALL, st.integers(-5, 5))
ASKED = st.tuples(st.sampled_from("abcd"), st.integers(0, 60))


def instants(values):
    return pa.array(values, pa.int64()).cast(INSTANT)


@settings(deadline=None, max_examples=150)
@given(st.lists(ROW, max_size=40), st.lists(ASKED, min_size=1, max_size=20), st.none() | st.integers(1, 30))
def test_asof_join_is_the_row_by_row_answer(rows, asked, ttl):
    table = pa.table(
        {
            "entity": pa.array([row[0] for row in rows], pa.string()),
            "event_time": instants([row[1] for row in rows]),
            "arrived_at": instants([row[2] for row in rows]),
            "value": pa.array([row[3] for row in rows], pa.int64()),
        }
    )
    spine = pa.table({"entity": [row[0] for row in asked], "at": instants([row[1] for row in asked])})
    joined = asof_join(spine, table, by="entity", ttl_us=ttl, axes=AXES)
    assert joined["entity"].to_pylist() == [row[0] for row in asked]
    for answer, (entity, t) in zip(joined["value"].to_pylist(), asked, strict=True):
        seen = [
            (event, known, number, value)
            for number, (name, event, known, value) in enumerate(rows)
            if name == entity and event <= t and known <= t
        ]
        best = max(seen, default=None)
        expected = None if best is None or (ttl is not None and t - best[0] > ttl) else best[3]
        assert answer == expected


VIEW = parse_view(
    (
        'name = "v"\nowner = "o"\ndescription = "d"\nttl = "9us"\n'
        'event_axis = "event_time"\nknown_axis = "arrived_at"\n'
        '[[source]]\nname = "s"\ntable = "t"\nentity = "e"\nevent_axis = "event_time"\nknown_axis = "arrived_at"\n'
        'measures = { m = "1" }\n'
        + "".join(
            f'[[feature]]\nname = "f_{function}"\nunit = "1"\nexpression = "{function}(m, 9us)"\n'
            for function in FUNCTIONS
        )
    ).encode(),
    where="test",
)
PLAN = plan_features(select_features([VIEW], ["v"]))


def oracle(function, window, t):
    """`window` holds (event, value) in order."""
    values = [value for _, value in window]
    if function == "count":
        return float(len(values))
    if not values:
        return None
    match function:
        case "sum":
            return math.fsum(values)
        case "mean":
            return math.fsum(values) / len(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "last":
            return values[-1]
        case "std":
            return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    hours = [Fraction(event - t, 3_600_000_000) for event, _ in window]
    if len(set(hours)) < 2:
        return math.nan
    centre, middle = sum(hours) / len(hours), Fraction(sum(values)) / len(values)
    cross = sum((hour - centre) * (Fraction(value) - middle) for hour, value in zip(hours, values, strict=True))
    return float(cross / sum((hour - centre) ** 2 for hour in hours))


@settings(deadline=None, max_examples=150)
@example([("a", 0, 0, 0)] * 9, [("a", 3)])  # nine readings at one time have no slope
@given(st.lists(ROW, max_size=40), st.lists(ASKED, min_size=1, max_size=10))
def test_windows_are_the_row_by_row_answer(rows, asked):
    names = ["a", "b", "c"]
    readings = group_readings(
        names,
        1,
        group=np.array([names.index(row[0]) for row in rows], np.int64),
        event=np.array([row[1] for row in rows], np.int64),
        known=np.array([row[2] for row in rows], np.int64),
        value=np.array([row[3] for row in rows], np.float64),
        foreign=np.zeros(len(rows), np.uint8),
    )
    entity = np.array([names.index(name) if name in names else -1 for name, _ in asked], np.int64)
    at = np.array([t for _, t in asked], np.int64)
    computed = evaluate(PLAN, readings, entity, at)
    for index, (name, t) in enumerate(asked):
        seen = sorted((e, k, v) for n, e, k, v in rows if n == name and t - 9 < e <= t and k <= t)
        window = [(event, float(value)) for event, _, value in seen]
        for column, function in enumerate(FUNCTIONS):
            expected = oracle(function, window, t)
            assert computed.null[index, column] == (expected is None)
            if expected is not None:
                np.testing.assert_allclose(computed.values[index, column], expected, rtol=1e-6, atol=1e-6)
            if window:
                assert computed.age_s[index, column] == (t - window[-1][0]) / 1e6


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=40), st.lists(ASKED, min_size=1, max_size=10), st.randoms())
def test_the_order_of_rows_does_not_matter(rows, asked, random):
    def values(ordered):
        names = ["a", "b", "c"]
        readings = group_readings(
            names,
            1,
            group=np.array([names.index(row[0]) for row in ordered], np.int64),
            event=np.array([row[1] for row in ordered], np.int64),
            known=np.array([row[2] for row in ordered], np.int64),
            value=np.array([row[3] + 0.1 for row in ordered], np.float64),
            foreign=np.zeros(len(ordered), np.uint8),
        )
        entity = np.array([names.index(name) if name in names else -1 for name, _ in asked], np.int64)
        return evaluate(PLAN, readings, entity, np.array([t for _, t in asked], np.int64)).values

    shuffled = list(rows)
    random.shuffle(shuffled)
    assert np.array_equal(values(rows), values(shuffled), equal_nan=True)
