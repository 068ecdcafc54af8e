"""Which candidates are better than what is there. Pure.

Rules
1. Versions are compared by their primary metric, where name, direction and holdout are the same.
2. A candidate must beat the live version; without one that is comparable, the best version that is not retired.
3. A measurement of the live version on the candidate's own holdout, where there is one, takes the place of both.
4. Equal is not better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from appliance.base.errors import ApplianceError
from appliance.governance import codes
from appliance.governance.package import Metric, is_better, is_comparable
from appliance.governance.stages import Stage


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A registered version that a candidate is compared with; `id` is shown to people."""

    id: str
    stage: Stage
    metric: Metric


def check_better(metric: Metric, others: Sequence[Rival], incumbent: str | None) -> None:
    """Refuse a candidate with `metric` unless it is better (rules 2 to 4).

    Raises:
        ApplianceError: APL-MODEL-004, with both values; APL-MODEL-001 a value is not a number.
    """
    rival = choose_rival(metric, others)
    if incumbent is not None:
        rival = Rival(id="the live version", stage="live", metric=msgspec.structs.replace(metric, value=incumbent))
    if rival is not None and not is_better(metric, rival.metric):
        against = f"{rival.metric.value} of {rival.id} ({metric.direction}, same holdout)"
        raise ApplianceError(codes.NOT_BETTER, f"{metric.name} {metric.value} against {against}")


def choose_rival(metric: Metric, others: Sequence[Rival]) -> Rival | None:
    """The version that a candidate must beat; None when it can be compared with none."""
    best: Rival | None = None
    for other in others:
        if other.stage == "retired" or not is_comparable(other.metric, metric):
            continue
        if other.stage == "live":
            return other
        if best is None or is_better(other.metric, best.metric):
            best = other
    return best
