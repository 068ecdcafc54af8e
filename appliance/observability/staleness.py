"""Whether something is too old: models against their recipe's limit, tables against the newest arrival. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Staleness:
    """`age` is None where nothing was ever there. `state` is ``fresh``, ``stale`` or ``never``."""

    name: str
    age: dt.timedelta | None
    limit: dt.timedelta

    @property
    def state(self) -> str:
        if self.age is None:
            return "never"
        return "stale" if self.age > self.limit else "fresh"


def staleness(name: str, newest: dt.datetime | None, limit: dt.timedelta, *, now: dt.datetime) -> Staleness:
    """How old `name` is. A model's `newest` is the knowledge-time cut-off of its data, not the day of its training."""
    return Staleness(name=name, age=None if newest is None else now - newest, limit=limit)


def due(found: Iterable[Staleness]) -> tuple[Staleness, ...]:
    """What must be renewed, oldest first; what never was comes first."""
    late = [each for each in found if each.state != "fresh"]
    return tuple(sorted(late, key=lambda each: (each.age is not None, -(each.age or dt.timedelta()), each.name)))
