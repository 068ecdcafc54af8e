"""The one implementation of feature expressions, for training, backfill and online answers alike.

Rules
1. A reading counts at instant t only if ``event <= t`` and ``known <= t`` (its arrival): what we did not know yet
   does not exist. Windows are (t - span, t].
2. Batch and online differ only in where `Readings` come from. Both run `evaluate`; windows are summed reading by
   reading in one order (event, arrival, value), so equal readings give equal bits, however many others lie around them.
3. Compiled without fast-math: no re-association, no fused multiply-add, same bits on every x86-64.

Times are int64 microseconds since 1970 UTC. E entities, S slots, K terms, F features, N rows of the spine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from appliance.features.contract import Judged, judge
from appliance.features.expression import FUNCTIONS
from appliance.features.view import Feature, Slot

COUNT, SUM, MEAN, MIN, MAX, STD, SLOPE, LAST = range(len(FUNCTIONS))
HOUR_US = 3_600_000_000.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Features with their distinct slots and terms. `terms` rows are (function, slot, span_us), shape (K, 3)."""

    features: tuple[Feature, ...]
    slots: tuple[Slot, ...]
    terms: NDArray[np.int64]
    programs: tuple[tuple[int | float | str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    def reach_us(self, slot: Slot) -> int:
        """How far back the longest window over `slot` looks."""
        spans = self.terms[self.terms[:, 1] == self.slots.index(slot), 2]
        return int(spans.max()) if len(spans) else 0


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Readings grouped by entity and slot, sorted by (event, known, value) inside a group.

    Attributes:
        entities: names, shape (E,); group ``e * S + s`` is ``[offsets[g], offsets[g + 1])``.
        foreign: 1 where the reading has another unit than its slot declares.
    """

    entities: tuple[str, ...]
    offsets: NDArray[np.int64]
    event: NDArray[np.int64]
    known: NDArray[np.int64]
    value: NDArray[np.float64]
    foreign: NDArray[np.uint8]

    def event_time_only(self) -> Readings:
        """The same readings as if each had been known when it happened: what a leaky system would train on."""
        return Readings(
            entities=self.entities,
            offsets=self.offsets,
            event=self.event,
            known=self.event,
            value=self.value,
            foreign=self.foreign,
        )


@dataclass(frozen=True, kw_only=True)
class Computed:
    """Values before the contract; arrays of shape (N, F). `age_s` is NaN where nothing was read."""

    values: NDArray[np.float64]
    age_s: NDArray[np.float64]
    null: NDArray[np.bool_]
    foreign: NDArray[np.bool_]

    def judged(self, plan: Plan) -> Judged:
        contracts = [feature.contract for feature in plan.features]
        return judge(contracts, self.values, self.age_s, null=self.null, wrong_unit=self.foreign)


def plan_features(features: Sequence[Feature], slots: Sequence[Slot] | None = None) -> Plan:
    """Number the distinct slots and terms. `slots`, when given, fixes their order (the online store's)."""
    order = list(slots) if slots is not None else sorted({slot for feature in features for slot in feature.slots})
    terms: dict[tuple[int, int, int], int] = {}
    programs = []
    for feature in features:
        local = []
        for term, slot, span_us in zip(feature.expression.terms, feature.slots, feature.spans_us, strict=True):
            key = (FUNCTIONS.index(term.function), order.index(slot), span_us)
            local.append(terms.setdefault(key, len(terms)))
        programs.append(tuple(local[op] if isinstance(op, int) else op for op in feature.expression.program))
    return Plan(
        features=tuple(features),
        slots=tuple(order),
        terms=np.array(list(terms), np.int64).reshape(-1, 3),
        programs=tuple(programs),
    )


def group_readings(
    entities: Sequence[str],
    slot_count: int,
    *,
    group: NDArray[np.int64],
    event: NDArray[np.int64],
    known: NDArray[np.int64],
    value: NDArray[np.float64],
    foreign: NDArray[np.uint8],
) -> Readings:
    """Bring rows in any order (`group` = entity * slots + slot, shape (rows,)) into the form of `Readings`."""
    counts = np.bincount(group, minlength=len(entities) * slot_count)
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    order = _scatter(group, offsets[:-1].copy())
    event, known, value, foreign = event[order], known[order], value[order], foreign[order]
    for index in _unsorted_groups(offsets, event, known, value):
        part = slice(offsets[index], offsets[index + 1])
        inner = np.lexsort((value[part], known[part], event[part]))
        event[part], known[part] = event[part][inner], known[part][inner]
        value[part], foreign[part] = value[part][inner], foreign[part][inner]
    return Readings(entities=tuple(entities), offsets=offsets, event=event, known=known, value=value, foreign=foreign)


def evaluate(plan: Plan, readings: Readings, entity: NDArray[np.int64], at_us: NDArray[np.int64]) -> Computed:
    """Every feature at every (entity, instant) of the spine.

    Args:
        entity: index into ``readings.entities``, -1 for an entity without readings; shape (N,).
        at_us: instants, shape (N,).
    """
    value, newest, foreign = _terms(
        plan.terms,
        len(plan.slots),
        readings.offsets,
        readings.event,
        readings.known,
        readings.value,
        readings.foreign,
        entity,
        at_us,
    )
    shape = (len(at_us), len(plan.features))
    values, ages = np.full(shape, math.nan), np.full(shape, math.nan)
    nulls, foreigns = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for column, program in enumerate(plan.programs):
        used = [op for op in program if isinstance(op, int)]
        has = newest[:, used] != _NEVER
        counts = np.array([plan.terms[op, 0] == COUNT for op in used])
        nulls[:, column] = (~has & ~counts).any(axis=1)
        foreigns[:, column] = foreign[:, used].any(axis=1)
        oldest = np.where(has, newest[:, used], np.iinfo(np.int64).max).min(axis=1)
        ages[:, column] = np.where(has.any(axis=1), (at_us - np.where(has.any(axis=1), oldest, 0)) / 1e6, math.nan)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            values[:, column] = _run(program, value)
    return Computed(values=values, age_s=ages, null=nulls, foreign=foreigns)


def _run(program: tuple[int | float | str, ...], terms: NDArray[np.float64]) -> NDArray[np.float64]:
    stack: list[NDArray[np.float64]] = []
    for op in program:
        if isinstance(op, int):
            stack.append(terms[:, op])
        elif isinstance(op, float):
            stack.append(np.full(len(terms), op))
        elif op == "neg":
            stack.append(-stack.pop())
        else:
            right, left = stack.pop(), stack.pop()
            match op:
                case "+":
                    stack.append(left + right)
                case "-":
                    stack.append(left - right)
                case "*":
                    stack.append(left * right)
                case _:
                    stack.append(left / right)
    return stack.pop()


_NEVER = np.iinfo(np.int64).min


@numba.njit(cache=True)
def _scatter(group, start):  # type: ignore[no-untyped-def]
    order = np.empty(group.size, np.int64)
    for i in range(group.size):
        order[start[group[i]]] = i
        start[group[i]] += 1
    return order


@numba.njit(cache=True)
def _unsorted_groups(offsets, event, known, value):  # type: ignore[no-untyped-def]
    found = []
    for g in range(offsets.size - 1):
        for i in range(offsets[g] + 1, offsets[g + 1]):
            if event[i - 1] < event[i]:
                continue
            if event[i - 1] == event[i]:
                if known[i - 1] < known[i]:
                    continue
                if known[i - 1] == known[i] and value[i - 1] <= value[i]:
                    continue
            found.append(g)
            break
    return found


@numba.njit(cache=True)
def _terms(terms, slots, offsets, event, known, value, foreign, entity, at):  # type: ignore[no-untyped-def]
    rows, count = at.size, terms.shape[0]
    out = np.full((rows, count), np.nan)
    newest = np.full((rows, count), np.iinfo(np.int64).min)
    mixed = np.zeros((rows, count), np.bool_)
    for r in range(rows):
        t = at[r]
        for k in range(count):
            function, slot, span = terms[k, 0], terms[k, 1], terms[k, 2]
            if function in (COUNT, SUM):
                out[r, k] = 0.0
            if entity[r] < 0:
                continue
            low = offsets[entity[r] * slots + slot]
            high = offsets[entity[r] * slots + slot + 1]
            stop = low + np.searchsorted(event[low:high], t, side="right")
            start = low + np.searchsorted(event[low:high], t - span, side="right")
            if function == LAST:
                i = stop - 1
                while i >= start and known[i] > t:
                    i -= 1
                if i >= start:
                    out[r, k] = value[i]
                    newest[r, k] = event[i]
                    mixed[r, k] = foreign[i] != 0
                continue
            n = 0
            total = 0.0
            hours = 0.0
            first = _NEVER
            least = np.inf
            most = -np.inf
            for i in range(start, stop):
                if known[i] > t:
                    continue
                if n == 0:
                    first = event[i]
                n += 1
                v = value[i]
                total += v
                hours += (event[i] - t) / HOUR_US
                least = min(least, v)
                most = max(most, v)
                newest[r, k] = event[i]
                if foreign[i] != 0:
                    mixed[r, k] = True
            if function == COUNT:
                out[r, k] = n
            elif n == 0:
                continue
            elif function == SUM:
                out[r, k] = total
            elif function == MEAN:
                out[r, k] = total / n
            elif function == MIN:
                out[r, k] = least
            elif function == MAX:
                out[r, k] = most
            elif n >= 2:
                middle, centre = total / n, hours / n
                squares, cross, spread = 0.0, 0.0, 0.0
                for i in range(start, stop):
                    if known[i] > t:
                        continue
                    dv = value[i] - middle
                    dh = (event[i] - t) / HOUR_US - centre
                    squares += dv * dv
                    cross += dv * dh
                    spread += dh * dh
                if function == STD:
                    out[r, k] = math.sqrt(squares / (n - 1))
                elif newest[r, k] > first:  # by the times themselves: rounding gives equal ones a spread
                    out[r, k] = cross / spread
    return out, newest, mixed
