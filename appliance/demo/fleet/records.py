"""Reading batches of one spool file as columns: records with their readings, cut and joined without a Python loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Records:
    """`n` records and their readings, flat.

    Attributes:
        device, firmware, sequence, produced_at_us: (n,), device and firmware as indexes.
        trace: (n, 2) random 64-bit halves of the trace id.
        starts: (n + 1,) offsets into the reading columns.
        event_time: (readings,) as sent: microseconds, or milliseconds by the faulty firmware.
        measure, unit: (readings,) indexes; value: (readings,).
    """

    device: Ints
    firmware: Ints
    sequence: Ints
    produced_at_us: Ints
    trace: NDArray[np.uint64]
    starts: Ints
    event_time: Ints
    measure: NDArray[np.int8]
    unit: NDArray[np.int8]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.device)

    @property
    def lengths(self) -> Ints:
        return np.diff(self.starts)

    def reading_rows(self, chosen: Ints) -> Ints:
        """Row numbers of the readings of the chosen records, in their order."""
        lengths = self.lengths[chosen]
        if not len(chosen):
            return np.empty(0, dtype=np.int64)
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        return np.asarray(np.repeat(self.starts[:-1][chosen], lengths) + within, dtype=np.int64)

    def take(self, chosen: Ints) -> Records:
        """The chosen records, in that order, as copies."""
        rows = self.reading_rows(chosen)
        return Records(
            device=self.device[chosen],
            firmware=self.firmware[chosen],
            sequence=self.sequence[chosen],
            produced_at_us=self.produced_at_us[chosen],
            trace=self.trace[chosen],
            starts=np.concatenate([[0], np.cumsum(self.lengths[chosen])]).astype(np.int64),
            event_time=self.event_time[rows],
            measure=self.measure[rows],
            unit=self.unit[rows],
            value=self.value[rows],
        )


def join(parts: Sequence[Records]) -> Records:
    """One after the other; at least one part."""
    offsets = np.cumsum([0, *(part.starts[-1] for part in parts)])
    return Records(
        device=np.concatenate([part.device for part in parts]),
        firmware=np.concatenate([part.firmware for part in parts]),
        sequence=np.concatenate([part.sequence for part in parts]),
        produced_at_us=np.concatenate([part.produced_at_us for part in parts]),
        trace=np.concatenate([part.trace for part in parts]),
        starts=np.concatenate(
            [[0], *(part.starts[1:] + offset for part, offset in zip(parts, offsets[:-1], strict=True))]
        ),
        event_time=np.concatenate([part.event_time for part in parts]),
        measure=np.concatenate([part.measure for part in parts]),
        unit=np.concatenate([part.unit for part in parts]),
        value=np.concatenate([part.value for part in parts]),
    )
