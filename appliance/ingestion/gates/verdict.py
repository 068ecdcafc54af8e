"""From the numbers of a check to its outcome; pure.

Outcomes: ``passed``, ``failed`` (stops the stage), ``warned`` (failed, of severity ``warn``), ``skipped`` (could not be
judged: stops the stage whatever the severity).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from appliance.base.clock import from_us, rfc3339
from appliance.base.duration import duration_us
from appliance.ingestion.gates.contract import (
    Check,
    Codes,
    Complete,
    Fresh,
    Range,
    Refers,
    Rows,
    Statistic,
    Unique,
)

Outcome = Literal["passed", "failed", "warned", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one check.

    Attributes:
        observed: what was found, for people: ``99.2 %``, ``mean 41.3``.
        expected: what the contract asks for, in the same form.
        rows: in the check's scope.
        broken: rows that break it; 0 for a check of a figure.
        sample: keys of the first rows that break it.
    """

    check: str
    kind: str
    outcome: Outcome
    observed: str
    expected: str
    rows: int
    broken: int
    sample: Sequence[dict[str, Any]] = field(default=())

    @property
    def stops(self) -> bool:
        return self.outcome in ("failed", "skipped")


def judge(check: Check, rows: int, figure: float | int | None, now_us: int) -> Result:
    """The outcome of `check` over `rows` rows; `figure` is what its query gave."""
    expected = describe(check)
    if rows == 0 and not isinstance(check, Rows):
        if check.may_be_empty:
            return _result(check, "passed", "no rows", expected, 0, 0)
        return _result(check, "skipped", "no rows to judge", expected, 0, 0)
    match check:
        case Complete() | Range() | Codes():
            broken = int(figure or 0)
            good_percent = 100.0 * (rows - broken) / rows
            holds = good_percent >= check.minimum_percent if broken else True
            return _judged(check, holds, f"{_down(good_percent)} %", expected, rows, broken)
        case Unique() | Refers():
            broken = int(figure or 0)
            return _judged(check, broken == 0, f"{broken} rows", expected, rows, broken)
        case Fresh():
            if figure is None:
                return _result(check, "skipped", "no time to judge", expected, rows, 0)
            age_us = now_us - int(figure)
            observed = f"newest {rfc3339(from_us(int(figure)))}"
            return _judged(check, age_us <= duration_us(check.within), observed, expected, rows, 0)
        case Statistic():
            if figure is None or math.isnan(figure):
                return _result(check, "skipped", "no finite values", expected, rows, 0)
            holds = _within(float(figure), check.minimum, check.maximum)
            return _judged(check, holds, f"{check.of} {figure:.6g}", expected, rows, 0)
        case Rows():
            return _judged(check, _within(rows, check.minimum, check.maximum), f"{rows} rows", expected, rows, 0)


def skipped(check: Check, reason: str) -> Result:
    """A check that had no query."""
    return _result(check, "skipped", reason, describe(check), 0, 0)


def describe(check: Check) -> str:
    """What a check asks for, in a few words."""
    match check:
        case Complete():
            return f"at least {check.minimum_percent:g} % with {', '.join(check.columns)}"
        case Fresh():
            return f"{check.column} at most {check.within} old"
        case Unique():
            return f"no two rows with the same {', '.join(check.columns)}"
        case Refers():
            return f"{', '.join(check.columns)} in {check.table}"
        case Range():
            return f"at least {check.minimum_percent:g} % of {check.column} {_limits(check.minimum, check.maximum)}"
        case Codes():
            return f"at least {check.minimum_percent:g} % of {check.column} in {', '.join(check.allowed)}"
        case Statistic():
            return f"{check.of} of {check.column} {_limits(check.minimum, check.maximum)}"
        case Rows():
            return f"rows {_limits(check.minimum, check.maximum)}"


def kind_of(check: Check) -> str:
    """The tag that the contract writes."""
    return str(check.__struct_config__.tag)


def _judged(check: Check, holds: bool, observed: str, expected: str, rows: int, broken: int) -> Result:
    outcome: Outcome = "passed" if holds else "warned" if check.severity == "warn" else "failed"
    return _result(check, outcome, observed, expected, rows, broken)


def _result(check: Check, outcome: Outcome, observed: str, expected: str, rows: int, broken: int) -> Result:
    return Result(
        check=check.id,
        kind=kind_of(check),
        outcome=outcome,
        observed=observed,
        expected=expected,
        rows=rows,
        broken=broken,
    )


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _limits(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"


def _down(percent: float) -> str:
    # Rounded down, so that 99.9996 % with a row missing never reads as 100 %.
    return f"{math.floor(percent * 1000) / 1000:g}"
