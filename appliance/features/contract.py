"""The runtime contract of features: what happens when a value is missing, wrong or old.

Checks, in this order; the first that fails decides
1. null   no reading in the window
2. nan    not a finite number
3. type   not a number at all (supplied vectors), or not whole where the contract says ``int``
4. unit   a reading in the window, or the supplied value, has another unit than declared
5. range  outside the declared closed range
6. age    the newest reading behind the value is older than allowed

Each has a policy: ``default`` puts the declared default in its place, ``abstain`` means that the model must not answer
for this row, ``reject`` that the request itself is refused. The outcome of a row is its worst state. The same
function judges training rows, online vectors and vectors that a caller supplies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATES = ("ok", "default", "abstain", "reject")
REASONS = ("ok", "null", "nan", "type", "unit", "range", "age")
POLICIES = {"default": 1, "abstain": 2, "reject": 3}


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What one feature promises. `low`, `high` closed; `max_age_s` and the bounds may be infinite."""

    name: str
    type: str
    unit: str
    low: float
    high: float
    max_age_s: float
    default: float
    policies: tuple[int, int, int, int, int, int]  # for null, nan, type, unit, range, age: 1 default 2 abstain 3 reject

    def as_json(self) -> dict[str, Any]:
        names = ("", *POLICIES)
        return {
            "name": self.name,
            "type": self.type,
            "unit": self.unit,
            "range": [repr(self.low), repr(self.high)],
            "max_age_s": repr(self.max_age_s),
            "default": repr(self.default),
            "policies": {reason: names[p] for reason, p in zip(REASONS[1:], self.policies, strict=True)},
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Contract:
        """Reads what `as_json` wrote. KeyError or ValueError for anything else."""
        policies = [POLICIES[document["policies"][reason]] for reason in REASONS[1:]]
        return Contract(
            name=document["name"],
            type=document["type"],
            unit=document["unit"],
            low=float(document["range"][0]),
            high=float(document["range"][1]),
            max_age_s=float(document["max_age_s"]),
            default=float(document["default"]),
            policies=(policies[0], policies[1], policies[2], policies[3], policies[4], policies[5]),
        )


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Vectors after the contract; all arrays of shape (rows, features).

    Attributes:
        values: with defaults put in; NaN where the state is abstain or reject.
        states: index into `STATES`.
        reasons: index into `REASONS`.
    """

    values: NDArray[np.float64]
    states: NDArray[np.uint8]
    reasons: NDArray[np.uint8]

    @property
    def outcomes(self) -> NDArray[np.uint8]:
        """The worst state of each row, shape (rows,); index into `STATES`."""
        if self.states.shape[1] == 0:
            return np.zeros(len(self.states), np.uint8)
        worst: NDArray[np.uint8] = self.states.max(axis=1)
        return worst


def judge(
    contracts: Sequence[Contract],
    values: NDArray[np.float64],
    ages_s: NDArray[np.float64],
    *,
    null: NDArray[np.bool_],
    wrong_type: NDArray[np.bool_] | None = None,
    wrong_unit: NDArray[np.bool_] | None = None,
) -> Judged:
    """Apply the contracts; all arrays of shape (rows, features), an age of NaN is not checked."""
    nothing = np.zeros(values.shape, np.bool_)
    whole = np.array([contract.type == "int" for contract in contracts], np.bool_)
    low = np.array([contract.low for contract in contracts], np.float64)
    high = np.array([contract.high for contract in contracts], np.float64)
    oldest = np.array([contract.max_age_s for contract in contracts], np.float64)
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        failed = (
            null,
            ~finite,
            (nothing if wrong_type is None else wrong_type) | (whole & finite & (values != np.floor(values))),
            nothing if wrong_unit is None else wrong_unit,
            ~((values >= low) & (values <= high)),
            ages_s > oldest,  # NaN compares false: an empty count has no age
        )
    reasons = np.zeros(values.shape, np.uint8)
    for reason in range(len(failed), 0, -1):  # backwards, so that the first failed check has the last word
        reasons[failed[reason - 1]] = reason
    policies = np.array([(0, *contract.policies) for contract in contracts], np.uint8).reshape(-1, len(REASONS))
    states = policies[np.arange(len(contracts)), reasons]
    defaults = np.array([contract.default for contract in contracts], np.float64)
    result = np.where(states == 0, values, np.where(states == 1, defaults, math.nan))
    return Judged(values=result, states=states, reasons=reasons)


def judge_supplied(contracts: Sequence[Contract], supplied: Mapping[str, Any]) -> Judged:
    """Judge one vector that a caller sent: ``{name: number}`` or ``{name: {"value", "unit", "age_s"}}``.

    A missing name or a null is *null*; text, booleans and other things are of the wrong *type*.
    """
    shape = (1, len(contracts))
    values, ages = np.full(shape, math.nan), np.full(shape, math.nan)
    null, wrong_type, wrong_unit = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    for column, contract in enumerate(contracts):
        item = supplied.get(contract.name)
        if isinstance(item, Mapping):
            wrong_unit[0, column] = "unit" in item and item["unit"] != contract.unit
            if _is_number(item.get("age_s")):
                ages[0, column] = float(item["age_s"])
            item = item.get("value")
        if item is None:
            null[0, column] = True
        elif _is_number(item):
            values[0, column] = _as_float(item)
        else:
            wrong_type[0, column] = True
            values[0, column] = 0.0  # so that the type, not the missing number, is what is reported
    return judge(contracts, values, ages, null=null, wrong_type=wrong_type, wrong_unit=wrong_unit)


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)


def _as_float(item: int | float) -> float:
    try:
        return float(item)
    except OverflowError:  # an integer beyond the range of a double
        return math.inf if item > 0 else -math.inf
