"""Alerts of a topic's partitions. A source is named as in the position maps; offsets are counted from 0."""

from __future__ import annotations

import datetime as dt

from appliance.base.clock import rfc3339
from appliance.observability.alerts import Alert


def gap(source: str, first: int, last: int, now: dt.datetime) -> Alert:
    """Offsets `first` to `last` were deleted before they were taken, and somebody said to go on behind them."""
    return Alert(
        code="TOPIC_GAP",
        severity="critical",
        subject=source,
        message=f"offsets {first} to {last} are gone; the run was told to go on",
        at=rfc3339(now),
        key=f"TOPIC_GAP/{source}/{first}",
        facts={"from": str(first), "to": str(last)},
    )


def unknown_schema(source: str, id: int, offset: int, now: dt.datetime) -> Alert:
    """The partition waits at `offset` for a schema id that the registry does not know."""
    return Alert(
        code="SCHEMA_UNKNOWN",
        severity="critical",
        subject=source,
        message=f"the registry knows no schema {id}; the partition waits at offset {offset}",
        at=rfc3339(now),
        key=f"SCHEMA_UNKNOWN/{source}/{offset}",
        facts={"schema": str(id), "offset": str(offset)},
    )
