"""Thermal model of an oil-filled transformer, IEEE Std C57.91-2011, clause 7 (top-oil method).

Rules
1. Rated rises, exponents and time constants are per device (`Ratings`), arrays of shape (devices,).
2. The state is the top-oil rise and the hot-spot rise over ambient; `step` advances it by one interval with the exact
   exponential solution of the standard's first-order equations (equations 2, 3, 8 to 16).
3. Ageing acceleration is relative to a hot spot of 110 degC (equation 2 of clause 5, thermally upgraded paper).

Everything is deterministic; noise is added by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

AGEING_REFERENCE_KELVIN = 383.0  # 110 degC
AGEING_CONSTANT_KELVIN = 15_000.0  # Arrhenius constant B of the standard


@dataclass(frozen=True, kw_only=True)
class Ratings:
    """Nameplate and test-report values, each of shape (devices,).

    Attributes:
        top_oil_rise_k: top-oil rise over ambient at rated load.
        hot_spot_rise_k: hot-spot rise over top oil at rated load.
        loss_ratio: load loss at rated load over no-load loss (R).
        oil_exponent: n, 0.8 for natural oil flow.
        winding_exponent: m, 0.8 for natural oil flow.
        oil_time_constant_h: tau of the top oil.
        winding_time_constant_h: tau of the winding.
    """

    top_oil_rise_k: Floats
    hot_spot_rise_k: Floats
    loss_ratio: Floats
    oil_exponent: Floats
    winding_exponent: Floats
    oil_time_constant_h: Floats
    winding_time_constant_h: Floats


@dataclass(frozen=True, kw_only=True)
class State:
    """Rises above ambient in kelvin, shape (devices,)."""

    top_oil_rise_k: Floats
    hot_spot_rise_k: Floats  # over top oil


def draw_ratings(devices: int, random: np.random.Generator) -> Ratings:
    """Plausible power transformers (10 to 60 MVA, ONAN), values around those of the standard's worked example."""
    return Ratings(
        top_oil_rise_k=random.normal(45.0, 3.0, devices),
        hot_spot_rise_k=random.normal(24.0, 2.0, devices),
        loss_ratio=random.normal(4.9, 0.4, devices),
        oil_exponent=np.full(devices, 0.8),
        winding_exponent=np.full(devices, 0.8),
        oil_time_constant_h=random.normal(3.2, 0.3, devices),
        winding_time_constant_h=np.full(devices, 7.0 / 60.0),
    )


def ultimate(ratings: Ratings, load_pu: Floats, cooling: Floats) -> State:
    """Rises that a constant load would end at; `cooling` scales the rated top-oil rise (1 = healthy)."""
    return State(
        top_oil_rise_k=ratings.top_oil_rise_k
        * cooling
        * ((load_pu**2 * ratings.loss_ratio + 1.0) / (ratings.loss_ratio + 1.0)) ** ratings.oil_exponent,
        hot_spot_rise_k=ratings.hot_spot_rise_k * load_pu ** (2.0 * ratings.winding_exponent),
    )


def step(ratings: Ratings, state: State, load_pu: Floats, cooling: Floats, interval_h: float) -> State:
    """The state after `interval_h` hours at a constant load."""
    end = ultimate(ratings, load_pu, cooling)
    oil = 1.0 - np.exp(-interval_h / ratings.oil_time_constant_h)
    winding = 1.0 - np.exp(-interval_h / ratings.winding_time_constant_h)
    return State(
        top_oil_rise_k=state.top_oil_rise_k + (end.top_oil_rise_k - state.top_oil_rise_k) * oil,
        hot_spot_rise_k=state.hot_spot_rise_k + (end.hot_spot_rise_k - state.hot_spot_rise_k) * winding,
    )


def ageing_acceleration(hot_spot_celsius: Floats) -> Floats:
    """How many times faster than normal the insulation ages at this hot spot."""
    return np.asarray(
        np.exp(AGEING_CONSTANT_KELVIN / AGEING_REFERENCE_KELVIN - AGEING_CONSTANT_KELVIN / (hot_spot_celsius + 273.0))
    )
