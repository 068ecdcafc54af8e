"""Row rules: each reading is accepted or carries the first reason in the order of `REASONS` that applies.

Rules of the rules
1. A verdict depends on the reading, the declarations, the time of arrival, and the readings at smaller positions
   (`History`); never on where a batch begins or ends.
2. Each distinct text is looked at once (dictionary columns); the rows are walked by one compiled pass.
3. A refused reading takes no place: only accepted ones make a later one a duplicate.
4. A record that repeats device, sequence and produced_at of an earlier record is a duplicate as a whole. A device that
   starts counting again after a restart is not: its produced_at differs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from appliance.ingestion.declarations import Measures
from appliance.ingestion.history import Longs, Words
from appliance.ingestion.reading import UNKNOWN_DEVICE

EARLIEST_US = 946_684_800_000_000  # 2000-01-01; nothing that is read today was measured before
AHEAD_US = 3_600_000_000  # a device clock may be an hour ahead of the collector
STUCK_RUN = 16  # identical values in a row, of one measure within one record

CODES = ("", "DUPLICATE", "DEVICE", "MEASURE", "UNIT", "EVENT_TIME", "NAN", "RANGE", "QUALITY", "STUCK", "CONTRACT")
OK, DUPLICATE, DEVICE, MEASURE, UNIT, EVENT_TIME, NAN, RANGE, QUALITY, STUCK, CONTRACT = range(len(CODES))

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class Rulebook:
    """`Measures` as arrays: number of a measure -> its bounds."""

    names: dict[str, int]
    units: tuple[str, ...]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    may_rest: npt.NDArray[np.bool_]
    qualities: frozenset[str]

    @classmethod
    def of(cls, measures: Measures) -> Rulebook:
        declared = list(measures.measure.values())
        return cls(
            names={name: number for number, name in enumerate(measures.measure)},
            units=tuple(each.unit for each in declared),
            low=np.array([each.min for each in declared], np.float64),
            high=np.array([each.max for each in declared], np.float64),
            may_rest=np.array([each.may_rest for each in declared], np.bool_),
            qualities=frozenset(measures.accepted_qualities),
        )


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of readings that rules look at, taken apart once."""

    device: Words
    firmware: Words
    measure: Words
    unit: Words
    quality: Words
    event_time: Longs
    value: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rows: pa.Table) -> Columns:
        """From columns of `reading.ARROW`."""
        return cls(
            device=Words.of(rows["device_id"]),
            firmware=Words.of(rows["firmware"]),
            measure=Words.of(rows["measure"]),
            unit=Words.of(rows["unit"]),
            quality=Words.of(rows["quality"]),
            event_time=rows["event_time"].to_numpy(),
            value=rows["value"].to_numpy(),
        )


@nb.njit(cache=True)
def _judge(  # type: ignore[no-untyped-def]
    bad_device, measures, units, bad_quality, unit_of, low, high, may_rest, event_times, values, records, latest, codes
):
    """`codes` comes with DUPLICATE where the record is a repetition, and OK elsewhere."""
    n = codes.size
    kinds = low.size
    run_record = np.full(kinds, -1, np.int64)
    run_value = np.empty(kinds, np.float64)
    run_length = np.zeros(kinds, np.int64)
    run_last = np.empty(kinds, np.int64)
    before = np.full(n, -1, np.int64)  # the row before in the same run
    stuck = np.zeros(n, np.bool_)
    for row in range(n):
        measure = measures[row]
        if measure < 0 or may_rest[measure]:
            continue
        value = values[row]
        if run_record[measure] == records[row] and run_value[measure] == value:
            before[row] = run_last[measure]
            run_length[measure] += 1
            if run_length[measure] == STUCK_RUN:
                at = row
                while at >= 0:
                    stuck[at] = True
                    at = before[at]
            elif run_length[measure] > STUCK_RUN:
                stuck[row] = True
        else:
            run_record[measure], run_value[measure], run_length[measure] = records[row], value, 1
        run_last[measure] = row
    for row in range(n):
        if codes[row] != OK:
            continue
        measure, value = measures[row], values[row]
        if bad_device[row]:
            codes[row] = DEVICE
        elif measure < 0:
            codes[row] = MEASURE
        elif units[row] != unit_of[measure]:
            codes[row] = UNIT
        elif event_times[row] < EARLIEST_US or event_times[row] > latest[row]:
            codes[row] = EVENT_TIME
        elif not np.isfinite(value):
            codes[row] = NAN
        elif value < low[measure] or value > high[measure]:
            codes[row] = RANGE
        elif bad_quality[row]:
            codes[row] = QUALITY
        elif stuck[row]:
            codes[row] = STUCK


def classify(
    columns: Columns,
    rulebook: Rulebook,
    *,
    record_ids: npt.NDArray[np.int64],
    arrived_us: npt.NDArray[np.int64],
    repeated: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int8]:
    """Reason number per row (`CODES`), all rules but those of contracts and of duplicate readings.

    Args:
        columns: the readings, in order of position.
        record_ids: int64, shape (n_rows,): distinct per record over all files in `rows`.
        arrived_us: int64, shape (n_rows,): time of arrival.
        repeated: bool, shape (n_rows,): the reading's record was there before.
    """
    device, firmware = columns.device, columns.firmware
    bad_device = np.array([not is_identifier(text) or text == UNKNOWN_DEVICE for text in device.texts], np.bool_)
    bad_firmware = np.array([not is_identifier(text) for text in firmware.texts], np.bool_)
    number_of = np.array([rulebook.names.get(text, -1) for text in columns.measure.texts], np.int32)
    unit_numbers = {text: number for number, text in enumerate(columns.unit.texts)}
    unit_of = np.array([unit_numbers.get(text, -1) for text in rulebook.units], np.int32)
    bad_quality = np.array([text not in rulebook.qualities for text in columns.quality.texts], np.bool_)
    codes = np.where(repeated, DUPLICATE, OK).astype(np.int8)
    if codes.size:
        _judge(
            bad_device[device.codes] | bad_firmware[firmware.codes],
            number_of[columns.measure.codes],
            columns.unit.codes,
            bad_quality[columns.quality.codes],
            unit_of,
            rulebook.low,
            rulebook.high,
            rulebook.may_rest,
            columns.event_time,
            columns.value,
            record_ids,
            arrived_us + AHEAD_US,
            codes,
        )
    return codes


def is_identifier(text: str) -> bool:
    """Whether `text` may be the id of a device or the name of a firmware."""
    return _IDENTIFIER.fullmatch(text) is not None
