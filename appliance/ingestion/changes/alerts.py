"""Alerts of captured sources. A source is named by its connector."""

from __future__ import annotations

import datetime as dt

from appliance.base.clock import rfc3339
from appliance.observability.alerts import Alert


def lsn_gap(connector: str, message: str, captured: str, now: dt.datetime) -> Alert:
    """Changes behind the place `captured` of the source's log were lost."""
    return Alert(
        code="LSN_GAP",
        severity="critical",
        subject=connector,
        message=message,
        at=rfc3339(now),
        key=f"LSN_GAP/{connector}/{captured}",
        facts={"captured": captured},
    )


def connector_failed(connector: str, reason: str, now: dt.datetime) -> Alert:
    """Connect has given the connector up; changes wait at the source. Told once an hour."""
    return Alert(
        code="CONNECTOR_FAILED",
        severity="critical",
        subject=connector,
        message=reason,
        at=rfc3339(now),
        key=f"CONNECTOR_FAILED/{connector}/{now:%Y-%m-%dT%H}",
        facts={"reason": reason},
    )
