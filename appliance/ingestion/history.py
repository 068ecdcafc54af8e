"""The readings and records at smaller positions, as far as the rules ask for them.

Rules
1. The truth is the lake: accepted readings are those of ``silver.readings``, records those of ``raw.records``. What is
   held in memory is read from there and can be dropped at any time.
2. Readings are held for a span of event times. A batch that reaches beyond the span reads the missing part (Iceberg
   skips files by their bounds); beyond `MAX_READINGS` the span is dropped and starts again with the batch's own.
3. What is held belongs to one snapshot of silver, or one position of raw; after anything else it is read anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from appliance.base.clock import from_us
from appliance.ingestion.reading import UNKNOWN_DEVICE
from appliance.ingestion.seen import KeySet
from appliance.storage import names
from appliance.storage.tables import Lake

MAX_READINGS = 5_000_000  # accepted readings held in memory, 0.13 GB, or twice that when a batch goes beyond

Codes = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Words:
    """A column of repeating texts: the distinct ones, and per row the number of its text."""

    texts: Sequence[str]
    codes: Codes

    @classmethod
    def of(cls, column: pa.Array | pa.ChunkedArray) -> Words:
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        return cls(texts=array.dictionary.to_pylist(), codes=array.indices.to_numpy(zero_copy_only=False))


class Series:
    """Numbers for pairs of device and measure, in order of first sight."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}

    def of(self, device: Words, measure: Words, wanted: Flags) -> Longs:
        """Per row its number; rows that are not wanted get 0."""
        devices, d = _used(device, wanted)
        measures, m = _used(measure, wanted)
        numbers = np.zeros(len(wanted), np.int64)
        if not devices.size:
            return numbers
        pair = d * measures.size + m
        used = np.flatnonzero(np.bincount(pair, minlength=devices.size * measures.size))
        number_of = np.zeros(devices.size * measures.size, np.int64)
        for each in used.tolist():
            key = device.texts[devices[each // measures.size]], measure.texts[measures[each % measures.size]]
            number_of[each] = self._numbers.setdefault(key, len(self._numbers))
        numbers[wanted] = number_of[pair]
        return numbers

    def __len__(self) -> int:
        return len(self._numbers)


def _used(words: Words, wanted: Flags) -> tuple[Longs, Longs]:
    """Numbers of the texts that wanted rows use, and per wanted row which of these."""
    codes = words.codes[wanted]
    used = np.flatnonzero(np.bincount(codes, minlength=len(words.texts)))
    place = np.zeros(len(words.texts), np.int64)
    place[used] = np.arange(used.size)
    return used, place[codes]


@nb.njit(cache=True)
def _count_behind(series, times, wanted, newest):  # type: ignore[no-untyped-def]
    behind = 0
    for row in range(series.size):
        if wanted[row]:
            if times[row] < newest[series[row]]:
                behind += 1
            else:
                newest[series[row]] = times[row]
    return behind


class ReadingHistory:
    """Accepted readings by device, measure and event time."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._series = Series()
        self._newest = np.empty(0, np.int64)
        self.behind = 0  # accepted readings that came after a newer one of their series, since this was made
        self._forget(None)

    def _forget(self, snapshot_id: int | None) -> None:
        self._keys = KeySet(2)
        self._span: tuple[int, int] | None = None
        self._snapshot = snapshot_id
        self._open = False  # readings were asked about that are not committed

    def repeated(
        self,
        device: Words,
        measure: Words,
        event_times: Longs,
        accepted: Flags,
        snapshot_id: int | None,
        *,
        goes_on: bool = False,
    ) -> Flags:
        """Which accepted readings came before: in silver at `snapshot_id`, or earlier in this batch.

        The accepted ones count as taken from now on; call `committed` when they are, or they are forgotten. With
        `goes_on` they belong to the same commit as those of the question before, at the same snapshot.
        """
        if not goes_on and (self._open or self._snapshot != snapshot_id or self._keys.size > MAX_READINGS):
            self._forget(snapshot_id)
        if accepted.any():
            times = event_times[accepted]
            self._cover(int(times.min()), int(times.max()))
        series = self._series.of(device, measure, accepted)
        repeated = self._keys.add(np.stack([series, event_times], axis=1), accepted)
        more = np.full(len(self._series) - self._newest.size, np.iinfo(np.int64).min, np.int64)
        self._newest = np.concatenate([self._newest, more])
        self.behind += int(_count_behind(series, event_times, accepted & ~repeated, self._newest))
        self._open = True
        return repeated

    def committed(self, snapshot_id: int) -> None:
        """The readings asked about are now in silver, as this snapshot, and nothing else came in."""
        self._snapshot = snapshot_id
        self._open = False

    def _cover(self, low: int, high: int) -> None:
        first, last = self._span if self._span is not None else (low, low - 1)
        if low < first:
            self._load(low, first - 1)
        if high > last:
            self._load(last + 1, high)
        self._span = (min(low, first), max(high, last))

    def _load(self, low: int, high: int) -> None:
        if self._snapshot is None:
            return
        found = self._lake.scan(
            names.READINGS,
            columns=("device_id", "measure", "event_time"),
            where=f"event_time >= '{from_us(low).isoformat()}' and event_time <= '{from_us(high).isoformat()}'",
            snapshot_id=self._snapshot,
        )
        for batch in found.to_batches(max_chunksize=1 << 20):
            device, measure = Words.of(batch["device_id"]), Words.of(batch["measure"])
            times = batch["event_time"].cast(pa.int64()).to_numpy()
            everything = np.ones(len(times), np.bool_)
            self._keys.add(np.stack([self._series.of(device, measure, everything), times], axis=1))


@dataclass(kw_only=True)
class Known:
    """What the newest record of a device looked like."""

    firmware: str
    event_time_unit: str
    produced_at: int


class RecordHistory:
    """Records by device, sequence and produced_at, and the newest look of each device."""

    def __init__(self, lake: Lake, source: str) -> None:
        self._lake = lake
        self._source = source
        self._reset()

    def _reset(self) -> None:
        self._keys = KeySet(3)
        self._devices: dict[str, int] = {}
        self.known: dict[str, Known] = {}
        self.position = 0

    def stand_at(self, position: int) -> None:
        """Hold exactly the records at smaller positions; reads them from the lake unless they are held."""
        if position == self.position:
            return
        self._reset()
        found = self._lake.scan(
            names.RAW,
            columns=("position", "headers"),
            where=f"source = '{self._source}' and position < {position}",
        ).sort_by("position")
        headers = pa.chunked_array(found["headers"].chunks, found.schema.field("headers").type).combine_chunks()
        each = headers.flatten() if isinstance(headers, pa.Array) else headers
        each = each.filter(pc.not_equal(each.field("device_id"), UNKNOWN_DEVICE))
        device, sequence, produced_at = (each.field(name) for name in ("device_id", "sequence", "produced_at"))
        repeated = self.repeated(Words.of(device), sequence.to_numpy(), produced_at.to_numpy())
        self.saw_all(device, each.field("firmware"), each.field("event_time_unit"), produced_at, repeated)
        self.position = position

    def repeated(self, device: Words, sequences: Longs, produced_at: Longs) -> Flags:
        """Which records came before; all count as taken from now on."""
        numbers = np.array([self._devices.setdefault(text, len(self._devices)) for text in device.texts], np.int64)
        if not len(device.codes):
            return np.zeros(0, np.bool_)
        return self._keys.add(np.stack([numbers[device.codes], sequences, produced_at], axis=1))

    def saw_all(
        self, device: pa.Array, firmware: pa.Array, unit: pa.Array, produced_at: pa.Array, repeated: Flags
    ) -> None:
        """Keep the looks of records, in order of position; a repeated one shows nothing new. `unit` may be empty."""
        new = pa.array(~repeated)
        for name, its_firmware, its_unit, at in zip(
            *(column.filter(new).to_pylist() for column in (device, firmware, unit, produced_at)), strict=True
        ):
            old = self.known.get(name)
            if old is None:
                self.known[name] = Known(firmware=its_firmware, event_time_unit=its_unit, produced_at=at)
            else:
                old.firmware = its_firmware
                old.event_time_unit = its_unit or old.event_time_unit
                old.produced_at = max(old.produced_at, at)
