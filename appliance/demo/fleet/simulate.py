"""Runs the thermal model over a fleet plan, one 8-hour period at a time, in bounded memory.

A period is (devices, slots) arrays of load, ambient, top oil and hot spot at the end of each slot. Incidents are
first exceedances of the hot-spot limit; a device counts again only after a day below the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.demo.fleet import thermal
from appliance.demo.fleet.plan import (
    HOT_SPOT_LIMIT_CELSIUS,
    INTERVAL_MIN,
    SLOTS_PER_DAY,
    SLOTS_PER_PERIOD,
    FleetPlan,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Period:
    """True values of one period, each of shape (devices, SLOTS_PER_PERIOD).

    Attributes:
        first_slot: number of the first slot since the start of the fleet.
        load_pu, ambient_celsius, top_oil_celsius, hot_spot_celsius: what ideal sensors would read.
        incidents: (device, slot since the start) of each new exceedance in this period.
        ageing_h: (devices,) normal hours of insulation life used in this period.
    """

    first_slot: int
    load_pu: Floats
    ambient_celsius: Floats
    top_oil_celsius: Floats
    hot_spot_celsius: Floats
    incidents: tuple[tuple[int, int], ...]
    ageing_h: Floats


def simulate(plan: FleetPlan) -> Iterator[Period]:
    """All periods in order."""
    options = plan.options
    count = options.devices
    random = np.random.default_rng([options.seed, 2])
    strain = _Strain(plan)
    state = thermal.ultimate(plan.ratings, plan.base_load, np.ones(count))
    weather_k = 0.0
    rearmed_at = np.zeros(count, dtype=np.int64)
    last_hot = np.full(count, -SLOTS_PER_DAY, dtype=np.int64)
    site_k = random.normal(0.0, 1.5, count)
    start_of_day = options.start.hour * 60 // INTERVAL_MIN
    load_noise = np.zeros(count)
    for number in range(options.periods):
        first = number * SLOTS_PER_PERIOD
        shape = (count, SLOTS_PER_PERIOD)
        load, ambient, oil, hot = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape)
        load_factor, cooling = strain.of(first)
        shocks = random.normal(0.0, 1.0, (SLOTS_PER_PERIOD, count))
        gusts = random.normal(0.0, 1.0, SLOTS_PER_PERIOD)
        incidents = []
        for slot in range(SLOTS_PER_PERIOD):
            hour = ((start_of_day + first + slot) % SLOTS_PER_DAY) * INTERVAL_MIN / 60.0
            weather_k = 0.997 * weather_k + 0.22 * gusts[slot]
            load_noise = 0.9 * load_noise + 0.012 * shocks[slot]
            ambient[:, slot] = (
                22.0 + options.warmer_k + 6.0 * np.sin((hour - 9.0) / 24.0 * 2 * np.pi) + weather_k + site_k
            )
            day_shape = (
                1.0 + 0.14 * np.sin((hour - 10.0) / 24.0 * 2 * np.pi) + 0.06 * np.sin((hour - 4.0) / 12.0 * 2 * np.pi)
            )
            load[:, slot] = np.clip((plan.base_load * day_shape + load_noise) * load_factor[:, slot], 0.05, 2.0)
            state = thermal.step(plan.ratings, state, load[:, slot], cooling[:, slot], INTERVAL_MIN / 60.0)
            oil[:, slot] = ambient[:, slot] + state.top_oil_rise_k
            hot[:, slot] = oil[:, slot] + state.hot_spot_rise_k
            above = hot[:, slot] > HOT_SPOT_LIMIT_CELSIUS
            now = first + slot
            new = above & (now - last_hot >= SLOTS_PER_DAY) & (now >= rearmed_at)
            last_hot[above] = now
            incidents += [(int(device), now) for device in np.flatnonzero(new)]
        yield Period(
            first_slot=first,
            load_pu=load,
            ambient_celsius=ambient,
            top_oil_celsius=oil,
            hot_spot_celsius=hot,
            incidents=tuple(incidents),
            ageing_h=thermal.ageing_acceleration(hot).mean(axis=1) * SLOTS_PER_PERIOD * INTERVAL_MIN / 60.0,
        )


class _Strain:
    """Load and cooling factors of a period from the planned episodes."""

    def __init__(self, plan: FleetPlan) -> None:
        self._plan = plan

    def of(self, first: int) -> tuple[Floats, Floats]:
        """Two arrays of shape (devices, SLOTS_PER_PERIOD)."""
        shape = (self._plan.options.devices, SLOTS_PER_PERIOD)
        load, cooling = np.ones(shape), np.ones(shape)
        slots = np.arange(first, first + SLOTS_PER_PERIOD)
        for episode in self._plan.episodes:
            if episode.last <= first or episode.first >= first + SLOTS_PER_PERIOD:
                continue
            share = (
                np.clip((slots - episode.first) / episode.ramp, 0.0, 1.0)
                * (slots >= episode.first)
                * (slots < episode.last)
            )
            load[episode.device] *= 1.0 + (episode.load_factor - 1.0) * share
            cooling[episode.device] *= 1.0 + (episode.cooling_factor - 1.0) * share
        return load, cooling
