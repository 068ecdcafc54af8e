"""Time comes in as an argument: a `Clock` in programs, a fixed one in tests. UTC everywhere.

Instants inside tables are integers, microseconds since 1970-01-01 UTC (``*_us``); text is RFC 3339 with ``Z``.
"""

from __future__ import annotations

import datetime as dt
from typing import Protocol

UTC = dt.UTC
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    def now(self) -> dt.datetime:
        """The current instant, time zone UTC."""


class SystemClock:
    def now(self) -> dt.datetime:
        return dt.datetime.now(UTC)


class FixedClock:
    """Stands still until a test moves it: ``clock.at = ...``."""

    def __init__(self, at: dt.datetime) -> None:
        self.at = at

    def now(self) -> dt.datetime:
        return self.at


def to_us(instant: dt.datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    delta = instant - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(microseconds: int) -> dt.datetime:
    return EPOCH + dt.timedelta(microseconds=microseconds)


def rfc3339(instant: dt.datetime) -> str:
    """``2026-01-05T18:00:00Z``, with six digits of fraction only when there is one."""
    text = instant.astimezone(UTC).isoformat()
    return text.replace("+00:00", "Z")


def parse_rfc3339(text: str) -> dt.datetime:
    """ValueError when the text is not RFC 3339 with a zone."""
    instant = dt.datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return instant.astimezone(UTC)
