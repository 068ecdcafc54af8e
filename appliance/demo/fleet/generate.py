"""Turns simulated periods into spool files with planted faults, and writes down what was planted.

Rules
1. One file per 8-hour period, stamped as received five minutes after its end. Bounded memory: one period at a time,
   plus the few records that are held back.
2. Planted faults: records late by 1 to 5 days, records delivered one period after their successor, records sent
   twice, a new firmware that sends milliseconds, degrees Fahrenheit, a sensor that stands still for 3 days, impossible
   values, an unknown measure code. Laboratory results (`dga_tdcg`) carry the time of the sample and arrive days later;
   a sample is dated 23 hours before each incident, so a model that ignores arrival sees the future.
3. The truth file counts every fault in readings. Nothing but `appliance.demo` reads it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from appliance.base import atomic
from appliance.base.clock import from_us, rfc3339, to_us
from appliance.base.progress import NoProgress, Progress
from appliance.demo.fleet.plan import (
    HOT_SPOT_LIMIT_CELSIUS,
    INTERVAL_MIN,
    LAB_MEASURE,
    MEASURES,
    NEW_FIRMWARE,
    OLD_FIRMWARE,
    SLOTS_PER_DAY,
    SLOTS_PER_PERIOD,
    UNITS,
    UNKNOWN_MEASURE,
    FleetOptions,
    FleetPlan,
    draw_plan,
)
from appliance.demo.fleet.records import Ints, Records, join
from appliance.demo.fleet.simulate import Period, simulate
from appliance.ingestion.encode import Batches, write_spool_file

MEASURE_NAMES = (*MEASURES, LAB_MEASURE, UNKNOWN_MEASURE)
UNIT_NAMES = ("pu", "degC", "ppm", "degF")
FIRMWARES = (OLD_FIRMWARE, NEW_FIRMWARE)
INTERVAL_US = INTERVAL_MIN * 60_000_000
DELIVERY_US = 5 * 60_000_000  # a file is received so long after the end of its period
DAY_US = 86_400_000_000
HELD_SHARE, LATE_SHARE, TWICE_SHARE = 0.004, 0.006, 0.006  # of the records of healthy devices
IMPOSSIBLE_SHARE = 0.01  # of the readings of the devices that send them
STUCK_DAYS = 3


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What was planted. Counts are readings unless the name says otherwise.

    `late` counts readings in microseconds that arrive over a day after their event, laboratory results included;
    `devices_ms` names the devices whose firmware changed.
    """

    seed: int
    devices: int
    days: int
    readings: int
    milliseconds: int
    duplicate: int
    unit: int
    stuck: int
    impossible: int
    unknown_measure: int
    late: int
    out_of_order_records: int
    incidents: int
    devices_ms: tuple[str, ...]
    end: str
    hot_spot_limit_celsius: float


@dataclass(kw_only=True)
class _Tally:
    readings: int = 0
    milliseconds: int = 0
    duplicate: int = 0
    unit: int = 0
    stuck: int = 0
    impossible: int = 0
    unknown_measure: int = 0
    late: int = 0
    out_of_order_records: int = 0
    incidents: int = 0


@dataclass(frozen=True, kw_only=True)
class _Held:
    """Records that are delivered in a later period."""

    due: int
    records: Records


def generate(options: FleetOptions, folder: Path, *, progress: Progress | None = None) -> Truth:
    """Write ``readings/*.avro``, ``labels/incidents.csv`` and ``truth.json`` under `folder`.

    Raises:
        ApplianceError: APL-BASE-002 when the disk is full; the files written so far are complete.
    """
    progress = progress or NoProgress()
    progress.begin("fleet", options.periods)
    plan = draw_plan(options)
    tally = _Tally()
    random = np.random.default_rng([options.seed, 3])
    labels: list[tuple[str, str, str]] = []
    for number, records in enumerate(_deliveries(plan, random, tally, labels)):
        received_us = _period_end_us(options, number) + DELIVERY_US
        path = folder / "readings" / f"{rfc3339(from_us(received_us)).replace(':', '')}.avro"
        write_spool_file(path, _columns(plan, records), received_at=from_us(received_us))
        progress.advance(1)
    _write_labels(folder / "labels" / "incidents.csv", labels)
    truth = Truth(
        seed=options.seed,
        devices=options.devices,
        days=options.days,
        devices_ms=tuple(
            plan.names[index] for index in np.flatnonzero(plan.switch_slot <= options.days * SLOTS_PER_DAY)
        ),
        end=rfc3339(options.end),
        hot_spot_limit_celsius=HOT_SPOT_LIMIT_CELSIUS,
        **asdict(tally),
    )
    atomic.write_bytes(folder / "truth.json", json.dumps(asdict(truth), indent=1).encode())
    return truth


def _deliveries(
    plan: FleetPlan, random: np.random.Generator, tally: _Tally, labels: list[tuple[str, str, str]]
) -> Iterator[Records]:
    """The records of each file, in order of delivery."""
    options = plan.options
    sequence = np.zeros(options.devices, dtype=np.int64)
    newest_delivered = np.full(options.devices, -1, dtype=np.int64)
    stuck = _StuckSensors(plan, random)
    ambient_noise = random.normal(0.0, 0.2, options.devices)
    next_lab_slot = random.integers(0, 7 * SLOTS_PER_DAY, options.devices)
    sampled: set[tuple[int, int]] = set()
    held: list[_Held] = []
    for number, period in enumerate(simulate(plan)):
        fresh = _encode_period(plan, period, sequence, random, ambient_noise, stuck, tally)
        sequence += 1
        labels += _labels_of(plan, period, random, tally)
        held += _lab_results(plan, period, number, sequence, next_lab_slot, sampled, random)
        keep = np.ones(len(fresh), dtype=bool)
        if options.faults and number + 16 < options.periods:
            fate = random.random(len(fresh))
            healthy = np.isin(fresh.device, plan.healthy_devices)
            for low, high, delay in (
                (0.0, HELD_SHARE, (1, 2)),
                (HELD_SHARE, HELD_SHARE + LATE_SHARE, (4, 15)),
            ):
                chosen = np.flatnonzero(healthy & (fate >= low) & (fate < high))
                keep[chosen] = False
                held += [
                    _Held(due=number + int(random.integers(*delay)), records=fresh.take(np.array([one])))
                    for one in chosen
                ]
            twice = np.flatnonzero(healthy & (fate > 1.0 - TWICE_SHARE))
            again = fresh.take(twice)
            tally.duplicate += int(again.starts[-1])
            held += [_Held(due=number + 1, records=again.take(np.array([one]))) for one in range(len(again))]
        # What is still held at the end of the history has not arrived, so nobody has it and nothing counts it.
        extra = [each.records for each in held if each.due <= number]
        held = [each for each in held if each.due > number]
        delivered = join([fresh.take(np.flatnonzero(keep)), *extra])
        delivered = delivered.take(random.permutation(len(delivered)))
        _count_delivery(plan, delivered, number, newest_delivered, tally)
        yield delivered


def _columns(plan: FleetPlan, records: Records) -> Batches:
    readings = int(records.starts[-1])
    high, low = records.trace[:, 0], records.trace[:, 1]
    return Batches(
        device_id=_named(records.device, plan.names),
        firmware=_named(records.firmware, FIRMWARES),
        sequence=records.sequence,
        produced_at=records.produced_at_us,
        trace_id=[f"{int(a):016x}{int(b):016x}" for a, b in zip(high, low, strict=True)],
        offsets=records.starts,
        event_time=records.event_time,
        measure=_named(records.measure, MEASURE_NAMES),
        value=records.value,
        quality=_named(np.zeros(readings, dtype=np.int8), ("good",)),
        unit=_named(records.unit, UNIT_NAMES),
    )


def _named(indexes: NDArray[Any], names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indexes.astype(np.int32)), pa.array(list(names)))


def _count_delivery(plan: FleetPlan, delivered: Records, number: int, newest: Ints, tally: _Tally) -> None:
    tally.readings += int(delivered.starts[-1])
    received = _period_end_us(plan.options, number) + DELIVERY_US
    new_firmware = np.repeat(delivered.firmware == 1, delivered.lengths)
    tally.milliseconds += int(new_firmware.sum())
    tally.late += int((~new_firmware & (received - delivered.event_time > DAY_US)).sum())
    for device, sequence in zip(delivered.device, delivered.sequence, strict=True):
        tally.out_of_order_records += int(sequence < newest[device])
        newest[device] = max(newest[device], sequence)


def _encode_period(
    plan: FleetPlan,
    period: Period,
    sequence: Ints,
    random: np.random.Generator,
    ambient_noise: NDArray[np.float64],
    stuck: _StuckSensors,
    tally: _Tally,
) -> Records:
    """One record per device with 3 x 32 readings, measure by measure, faults of devices applied."""
    options = plan.options
    count, slots = period.load_pu.shape
    values = np.stack(
        [
            np.round(period.load_pu + random.normal(0.0, 0.004, (count, slots)), 4),
            np.round(period.ambient_celsius + ambient_noise[:, None] + random.normal(0.0, 0.15, (count, slots)), 2),
            np.round(period.top_oil_celsius + random.normal(0.0, 0.2, (count, slots)), 2),
        ],
        axis=1,
    )
    tally.stuck += stuck.apply(values[:, 2, :], period.first_slot)
    measure = np.broadcast_to(np.arange(3, dtype=np.int8)[None, :, None], values.shape).copy()
    unit = np.broadcast_to(np.array([0, 1, 1], dtype=np.int8)[None, :, None], values.shape).copy()
    if options.faults and period.first_slot >= options.days * SLOTS_PER_DAY // 3:
        odd = plan.unit_devices
        values[odd, 2] = np.round(values[odd, 2] * 1.8 + 32.0, 2)
        unit[odd, 2] = UNIT_NAMES.index("degF")
        tally.unit += odd.size * slots
        unknown = plan.unknown_devices
        measure[unknown, 1] = MEASURE_NAMES.index(UNKNOWN_MEASURE)
        tally.unknown_measure += unknown.size * slots
    if options.faults:
        wild = random.random((plan.impossible_devices.size, 3, slots)) < IMPOSSIBLE_SHARE
        drawn = random.choice([9999.0, -999.0], size=wild.shape)
        values[plan.impossible_devices] = np.where(wild, drawn, values[plan.impossible_devices])
        tally.impossible += int(wild.sum())
    slot_us = to_us(options.start) + (period.first_slot + np.arange(1, slots + 1)) * INTERVAL_US
    milliseconds = plan.switch_slot <= period.first_slot
    times = np.where(milliseconds[:, None], slot_us // 1000, slot_us)
    readings = 3 * slots
    return Records(
        device=np.arange(count, dtype=np.int64),
        firmware=milliseconds.astype(np.int64),
        sequence=sequence.copy(),
        produced_at_us=np.full(count, int(slot_us[-1]) + 60_000_000),
        trace=random.integers(0, 2**63, (count, 2), dtype=np.uint64),
        starts=np.arange(count + 1, dtype=np.int64) * readings,
        event_time=np.broadcast_to(times[:, None, :], values.shape).reshape(-1).astype(np.int64),
        measure=measure.reshape(-1),
        unit=unit.reshape(-1),
        value=values.reshape(-1),
    )


class _StuckSensors:
    """Top-oil sensors that stand still for whole days, each device once."""

    def __init__(self, plan: FleetPlan, random: np.random.Generator) -> None:
        last = plan.options.days * SLOTS_PER_DAY - (STUCK_DAYS + 1) * SLOTS_PER_DAY
        self._first = {
            int(device): int(random.integers(SLOTS_PER_DAY, last)) // SLOTS_PER_PERIOD * SLOTS_PER_PERIOD
            for device in plan.stuck_devices
        }
        self._held: dict[int, float] = {}

    def apply(self, top_oil: NDArray[np.float64], first_slot: int) -> int:
        """Overwrite the rows of stuck devices; gives the number of readings that stand still."""
        changed = 0
        for device, first in self._first.items():
            if first <= first_slot < first + STUCK_DAYS * SLOTS_PER_DAY:
                top_oil[device] = self._held.setdefault(device, float(top_oil[device, 0]))
                changed += top_oil.shape[1]
        return changed


def _labels_of(
    plan: FleetPlan, period: Period, random: np.random.Generator, tally: _Tally
) -> list[tuple[str, str, str]]:
    """(device, time of the incident, time it became known): found by inspection 1 to 5 days later."""
    rows = []
    for device, slot in period.incidents:
        at_us = to_us(plan.options.start) + (slot + 1) * INTERVAL_US
        known_us = at_us + int(random.integers(DAY_US, 5 * DAY_US))
        if known_us <= to_us(plan.options.end):
            rows.append(
                (plan.names[device], rfc3339(from_us(at_us)), rfc3339(from_us(known_us // 1_000_000 * 1_000_000)))
            )
            tally.incidents += 1
    return rows


def _lab_results(
    plan: FleetPlan,
    period: Period,
    number: int,
    sequence: Ints,
    next_lab_slot: Ints,
    sampled: set[tuple[int, int]],
    random: np.random.Generator,
) -> list[_Held]:
    """Oil samples: weekly per device, and one dated 23 hours before each incident; analysed within 3 to 10 days."""
    samples = [
        (int(device), int(next_lab_slot[device]), 1.0) for device in np.flatnonzero(next_lab_slot < period.first_slot)
    ]
    for device, slot, _ in samples:
        next_lab_slot[device] = slot + 7 * SLOTS_PER_DAY
    samples += [(device, max(0, slot - SLOTS_PER_DAY + 4), 6.0) for device, slot in period.incidents]
    held = []
    for device, slot, factor in samples:
        if (device, slot) in sampled:  # one sample per device and instant
            continue
        sampled.add((device, slot))
        milliseconds = int(plan.switch_slot[device] <= period.first_slot)
        at_us = to_us(plan.options.start) + slot * INTERVAL_US
        held.append(
            _Held(
                due=number + int(random.integers(9, 30)),
                records=Records(
                    device=np.array([device]),
                    firmware=np.array([milliseconds]),
                    sequence=sequence[[device]],
                    produced_at_us=np.array([_period_end_us(plan.options, number)]),
                    trace=random.integers(0, 2**63, (1, 2), dtype=np.uint64),
                    starts=np.array([0, 1]),
                    event_time=np.array([at_us // 1000 if milliseconds else at_us]),
                    measure=np.array([MEASURE_NAMES.index(LAB_MEASURE)], dtype=np.int8),
                    unit=np.array([UNIT_NAMES.index(UNITS[LAB_MEASURE])], dtype=np.int8),
                    value=np.round(random.lognormal(5.6, 0.35, 1) * factor, 1),
                ),
            )
        )
        sequence[device] += 1
    return held


def _write_labels(path: Path, rows: list[tuple[str, str, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["asset", "exceeded_at", "reported_at", "kind"])
    writer.writerows([*row, "overheating"] for row in sorted(rows, key=lambda row: row[2]))
    atomic.write_bytes(path, text.getvalue().encode())


def _period_end_us(options: FleetOptions, number: int) -> int:
    return to_us(options.start) + (number + 1) * SLOTS_PER_PERIOD * INTERVAL_US
