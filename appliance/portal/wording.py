"""How numbers, instants, ages and digests are written on pages. Pure; one form each.

Instants are UTC to the minute (``2026-01-05 18:00Z``), ages one unit (``3 h``), numbers with thousands commas.
"""

from __future__ import annotations

import datetime as dt
import math

from appliance.base.clock import UTC, parse_rfc3339

NOTHING = "–"
DIGEST_SHOWN = 12  # hex digits of a shortened digest


def number(value: int | float | None, digits: int | None = None) -> str:
    """``1,234``; with `digits` decimals where asked for."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOTHING
    return f"{value:,}" if digits is None else f"{value:,.{digits}f}"


def figure(text: str | float | None, digits: int = 4) -> str:
    """Decimal text of a metrics file, rounded to a fixed number of digits; a dash where there is no number."""
    try:
        value = math.nan if text is None else float(text)
    except ValueError:
        return str(text)
    if not math.isfinite(value):
        return NOTHING
    if value and abs(value) < 0.5 * 10**-digits:
        return f"{value:.1e}"
    return f"{value:,.{digits}f}"


def trimmed(text: str | float | None, digits: int = 4) -> str:
    """The same without zeros at the end: ``50``, ``0.8``."""
    shown = figure(text, digits)
    return shown.rstrip("0").rstrip(".") if "." in shown and "e" not in shown else shown


def instant(value: dt.datetime | str | None) -> str:
    """``2026-01-05 18:00Z``."""
    if not value:
        return NOTHING
    at = parse_rfc3339(value) if isinstance(value, str) else value
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def machine_instant(value: dt.datetime | str | None) -> str:
    """For the attribute ``datetime`` of a time element."""
    if not value:
        return ""
    at = parse_rfc3339(value) if isinstance(value, str) else value
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def age(value: dt.timedelta | float | None) -> str:
    """A length of time in its greatest whole unit: ``45 s``, ``12 min``, ``3 h``, ``9 days``."""
    if value is None:
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
    if not math.isfinite(seconds):
        return NOTHING
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds < 60:
        return f"{sign}{seconds:.0f} s"
    if seconds < 3_600:
        return f"{sign}{seconds // 60:.0f} min"
    if seconds < 2 * 86_400:
        return f"{sign}{seconds // 3_600:.0f} h"
    return f"{sign}{seconds // 86_400:.0f} days"


def short(digest: str | None) -> str:
    """``sha256:1a2b3c4d5e6f…``; the whole digest stands on the page of the thing."""
    if not digest:
        return NOTHING
    kind, colon, hexadecimal = digest.rpartition(":")
    return f"{kind}{colon}{hexadecimal[:DIGEST_SHOWN]}…" if len(hexadecimal) > DIGEST_SHOWN else digest


def percent(part: int, whole: int) -> str:
    """``1.6 %``; a share below the last digit is said to be there."""
    if not whole:
        return NOTHING
    share = 100.0 * part / whole
    return "under 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %"


def size(count: int) -> str:
    """Bytes, KiB, MiB or GiB."""
    for unit, limit in (("bytes", 1 << 10), ("KiB", 1 << 20), ("MiB", 1 << 30)):
        if count < limit:
            return f"{count:,} {unit}" if unit == "bytes" else f"{count / (limit >> 10):.1f} {unit}"
    return f"{count / (1 << 30):.1f} GiB"


def counted(count: int, one: str, many: str = "") -> str:
    """``1 model waits``, ``16 alerts``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """With a capital, unless it begins with a name."""
    first = text.partition(" ")[0]
    return text[0].upper() + text[1:] if first.isalpha() else text
