"""What a fleet is and which faults are planted in it: values only, drawn once from the seed.

Rules
1. Everything follows from `FleetOptions`; the same options give the same fleet, byte for byte.
2. Faulty devices are disjoint sets, so that each planted reading has exactly one fault and can be counted.
3. Incidents have causes that show beforehand: a cooling fault that grows over days, or a load transfer.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.demo.fleet import thermal

INTERVAL_MIN = 15
SLOTS_PER_DAY = 24 * 60 // INTERVAL_MIN
SLOTS_PER_PERIOD = 32  # 8 hours: with three measures a record holds 96 readings
PERIODS_PER_DAY = SLOTS_PER_DAY // SLOTS_PER_PERIOD
MEASURES = ("load", "ambient", "top_oil")
LAB_MEASURE = "dga_tdcg"
UNITS = {"load": "pu", "ambient": "degC", "top_oil": "degC", "dga_tdcg": "ppm"}
UNKNOWN_MEASURE = "h2_ppx"
OLD_FIRMWARE, NEW_FIRMWARE = "3.1.7", "4.2.0"
HOT_SPOT_LIMIT_CELSIUS = 120.0  # IEEE C57.91 table 8: long-time emergency limits begin above it


@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    """Size, time and seed of a fleet.

    Attributes:
        devices: at least 25, so that every fault has a device.
        days: length of the history, at least 10.
        end: last instant, UTC, on a boundary of 8 hours.
        seed: any non-negative integer.
        warmer_k: shift of the ambient temperature from the first day on; a planted drift for a continued fleet.
        faults: plant faults at all.
    """

    devices: int = 200
    days: int = 90
    end: dt.datetime
    seed: int
    warmer_k: float = 0.0
    faults: bool = True

    def __post_init__(self) -> None:
        if self.devices < 25 or self.days < 10:
            raise ValueError(f"a fleet has at least 25 devices and 10 days, got {self.devices} and {self.days}")

    @property
    def periods(self) -> int:
        return self.days * PERIODS_PER_DAY

    @property
    def start(self) -> dt.datetime:
        return self.end - dt.timedelta(days=self.days)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """A stretch in which one device is worked harder than it can bear.

    Attributes:
        device: index.
        first, last: slots; the strain grows linearly over `ramp` slots and holds until `last`.
        load_factor, cooling_factor: at full strain.
    """

    device: int
    first: int
    last: int
    ramp: int
    load_factor: float
    cooling_factor: float


@dataclass(frozen=True, kw_only=True)
class FleetPlan:
    """All that was drawn from the seed. Index sets are sorted arrays of device numbers."""

    options: FleetOptions
    names: tuple[str, ...]
    ratings: thermal.Ratings
    base_load: NDArray[np.float64]
    switch_slot: NDArray[np.int64]  # (devices,), slot from which the new firmware is on; beyond the end when never
    unit_devices: NDArray[np.int64]
    stuck_devices: NDArray[np.int64]
    unknown_devices: NDArray[np.int64]
    impossible_devices: NDArray[np.int64]
    healthy_devices: NDArray[np.int64]
    episodes: tuple[Episode, ...]


def device_names(count: int) -> tuple[str, ...]:
    return tuple(f"tr-{index:04d}" for index in range(count))


def draw_plan(options: FleetOptions) -> FleetPlan:
    """Draw ratings, faulty devices and episodes."""
    random = np.random.default_rng([options.seed, 1])
    count, slots = options.devices, options.days * SLOTS_PER_DAY
    names = device_names(count)
    order = random.permutation(count)
    shares = {"switch": 0.08, "unit": 0.02, "stuck": 0.02, "unknown": 0.02, "impossible": 0.06}
    sets: dict[str, NDArray[np.int64]] = {}
    taken = 0
    for name, share in shares.items():
        size = max(1, round(count * share)) if options.faults else 0
        sets[name] = np.sort(order[taken : taken + size])
        taken += size
    switch_slot = np.full(count, slots + 1, dtype=np.int64)
    # The roll-out of the new firmware: all switched devices within one day, two thirds through the history.
    first = (slots * 2 // 3) // SLOTS_PER_PERIOD * SLOTS_PER_PERIOD
    switch_slot[sets["switch"]] = first + SLOTS_PER_PERIOD * random.integers(0, PERIODS_PER_DAY, sets["switch"].size)
    return FleetPlan(
        options=options,
        names=names,
        ratings=thermal.draw_ratings(count, random),
        base_load=random.uniform(0.6, 0.96, count),
        switch_slot=switch_slot,
        unit_devices=sets["unit"],
        stuck_devices=sets["stuck"],
        unknown_devices=sets["unknown"],
        impossible_devices=sets["impossible"],
        healthy_devices=np.sort(order[taken:]),
        episodes=_draw_episodes(count, slots, random),
    )


def _draw_episodes(devices: int, slots: int, random: np.random.Generator) -> tuple[Episode, ...]:
    episodes = []
    for device in range(devices):
        slot = int(random.integers(0, 20 * SLOTS_PER_DAY))
        while slot < slots:
            length = int(random.integers(2 * SLOTS_PER_DAY, 5 * SLOTS_PER_DAY))
            cooling_fault = random.random() < 0.6
            episodes.append(
                Episode(
                    device=device,
                    first=slot,
                    last=slot + length,
                    ramp=length // 2 if cooling_fault else SLOTS_PER_DAY // 2,
                    load_factor=1.0 if cooling_fault else float(random.uniform(1.15, 1.45)),
                    cooling_factor=float(random.uniform(1.3, 2.0)) if cooling_fault else 1.0,
                )
            )
            slot += length + int(random.integers(8 * SLOTS_PER_DAY, 30 * SLOTS_PER_DAY))
    return tuple(episodes)
