"""Durations in declarations and settings: a whole number and one unit, ``15min``, ``24h``, ``7d``. One form only."""

from __future__ import annotations

import datetime as dt
import re

from appliance.base import codes
from appliance.base.errors import ApplianceError

_UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_FORM = re.compile(r"([1-9]\d{0,9})(us|ms|s|min|h|d)")


def duration_us(text: str) -> int:
    """Microseconds, above 0.

    Raises:
        ApplianceError: APL-BASE-004.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ApplianceError(codes.BAD_DURATION, f"expected a duration such as 24h, got {text!r}")
    return int(match[1]) * _UNITS_US[match[2]]


def parse_duration(text: str) -> dt.timedelta:
    return dt.timedelta(microseconds=duration_us(text))
