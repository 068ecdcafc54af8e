"""What a device's records look like, and alarms when that changes.

Rules
1. The look of a record is its firmware and the unit that its event times seem to have: the one that puts its first and
   its last reading between 2000 and an hour after arrival. Where they disagree or none fits, the record shows none.
2. ``FORMAT`` (critical): a device shows another unit than its firmware is declared to send (microseconds, or what
   ``decoders.toml`` says), and did not show it before.
3. ``FIRMWARE`` (info): a device shows another firmware than before.
4. ``COUNT`` (critical): of the readings that a device owes for the time since its last record (by the declared
   intervals of the measures that it sends) fewer than half were accepted.
5. Alarms are a function of the records and what was known before; they are written before the commit, so that a crash
   cannot swallow one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from appliance.base.clock import from_us, rfc3339
from appliance.ingestion.history import Codes, Flags, Known, Longs, Words
from appliance.ingestion.rules import AHEAD_US, EARLIEST_US
from appliance.observability.alerts import Alert

UNITS = ("", "us", "ms", "s", "ns")
OWED_LEAST = 8  # expected readings from which a shortfall is told from chance
SHORTFALL = 0.5  # share of the expected readings


@dataclass(frozen=True, kw_only=True)
class Records:
    """Records of a batch in order of position, one entry each.

    Attributes:
        unit: number in `UNITS`.
        arrived_us: time of arrival.
        repeated: came before; such a record shows nothing new.
    """

    device: Words
    firmware: Words
    unit: Codes
    produced_at: Longs
    arrived_us: Longs
    repeated: Flags


def unit_of(first: Longs, last: Longs, arrived_us: Longs) -> Codes:
    """Number in `UNITS` per record, from the times of its first and last reading as they were sent."""
    found = np.zeros(first.size, np.int32)
    for number, (low, high) in enumerate(_windows(arrived_us), start=1):
        fits = (first >= low) & (first <= high) & (last >= low) & (last <= high) & (found == 0)
        found[fits] = number
    return found


def _windows(arrived_us: Longs) -> Iterator[tuple[int, Longs]]:
    latest = arrived_us + AHEAD_US
    yield EARLIEST_US, latest
    yield EARLIEST_US // 1_000, latest // 1_000
    yield EARLIEST_US // 1_000_000, latest // 1_000_000
    yield EARLIEST_US * 1_000, np.minimum(latest, 2**63 // 1_001) * 1_000


def changes(records: Records, known: Mapping[str, Known], declared: Mapping[str, str]) -> Iterator[Alert]:
    """`FORMAT` and `FIRMWARE` alarms. `declared` is firmware -> unit of its event times."""
    order = np.lexsort((np.arange(records.unit.size), records.device.codes))
    order = order[~records.repeated[order]]
    device, firmware, unit = records.device.codes[order], records.firmware.codes[order], records.unit[order]
    # A record that looks like the one before it of the same device says nothing new; the others are few.
    same = np.zeros(order.size, np.bool_)
    same[1:] = (device[1:] == device[:-1]) & (firmware[1:] == firmware[:-1]) & (unit[1:] == unit[:-1])
    before: dict[str, tuple[str, str]] = {}
    for at in np.flatnonzero(~same).tolist():
        name, now = records.device.texts[device[at]], records.firmware.texts[firmware[at]]
        shown = UNITS[unit[at]]
        old = known.get(name)
        was = before.get(name) or ((old.firmware, old.event_time_unit) if old else ("", ""))
        instant = rfc3339(from_us(int(records.arrived_us[order[at]])))
        expected = declared.get(now, "us")
        if was[0] and now != was[0]:
            yield Alert(
                code="FIRMWARE",
                severity="info",
                subject=f"device {name}",
                message=f"firmware was {was[0]}, is {now}",
                at=instant,
                key=f"FIRMWARE/{name}/{was[0]}/{now}",
                facts={"device_id": name, "before": was[0], "firmware": now},
            )
        if shown and shown != expected and (now, shown) != was:
            yield Alert(
                code="FORMAT",
                severity="critical",
                subject=f"device {name}",
                message=f"event times of firmware {now} look like {shown}, expected {expected}; "
                "its readings go to quarantine until decoders.toml says so",
                at=instant,
                key=f"FORMAT/{name}/{now}/{shown}",
                facts={"device_id": name, "firmware": now, "unit": shown, "expected": expected},
            )
        before[name] = (now, shown or was[1])


def shortfalls(
    records: Records, known: Mapping[str, Known], owed_per_us: Mapping[str, float], accepted: Mapping[str, int]
) -> Iterator[Alert]:
    """`COUNT` alarms.

    Args:
        owed_per_us: device -> readings that it owes per microsecond, by the intervals of the measures it sends.
        accepted: device -> readings accepted of this batch.
    """
    plausible = (records.produced_at >= EARLIEST_US) & (records.produced_at <= records.arrived_us + AHEAD_US)
    usable = plausible & ~records.repeated
    newest = np.full(len(records.device.texts), -1, np.int64)
    oldest = np.full(len(records.device.texts), np.iinfo(np.int64).max, np.int64)
    np.maximum.at(newest, records.device.codes[usable], records.produced_at[usable])
    np.minimum.at(oldest, records.device.codes[usable], records.produced_at[usable])
    for number in np.flatnonzero(newest >= 0).tolist():
        name = records.device.texts[number]
        since = known[name].produced_at if name in known else int(oldest[number])
        owed = (int(newest[number]) - since) * owed_per_us.get(name, 0.0)
        got = accepted.get(name, 0)
        if owed >= OWED_LEAST and got < owed * SHORTFALL:
            instant = from_us(int(newest[number]))
            yield Alert(
                code="COUNT",
                severity="critical",
                subject=f"device {name}",
                message=f"{got} readings accepted since {rfc3339(from_us(since))}, expected about {owed:.0f}",
                at=rfc3339(instant),
                key=f"COUNT/{name}/{instant:%Y-%m-%d}",
                facts={"device_id": name, "accepted": got, "expected": round(owed)},
            )
