"""Staleness, and what is due first."""

from __future__ import annotations

import datetime as dt

import pytest

from appliance.observability.staleness import due, staleness

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
LIMIT = dt.timedelta(days=30)


@pytest.mark.parametrize(
    ("age_days", "state"), [(0, "fresh"), (30, "fresh"), (30.001, "stale"), (400, "stale"), (None, "never")]
)
def test_state(age_days, state):
    newest = None if age_days is None else NOW - dt.timedelta(days=age_days)
    assert staleness("m", newest, LIMIT, now=NOW).state == state


def test_due_oldest_first_and_never_before_all():
    found = [
        staleness(name, None if days is None else NOW - dt.timedelta(days=days), LIMIT, now=NOW)
        for name, days in (("new", 1), ("old", 40), ("older", 50), ("none", None))
    ]
    assert [each.name for each in due(found)] == ["none", "older", "old"]
