"""Histograms on a fixed grid: the only summary of a numeric column that is kept and compared.

Rules
1. 65,536 equal bins on a grid that the reference fixes. Histograms of one grid add up, so windows and shards merge.
2. The Kolmogorov-Smirnov distance from two histograms misses the exact one by at most ``max(min(p, q))`` over bins:
   between two edges of the grid one distribution can rise before the other by no more than the lesser share.
3. The text form is exact and the same for equal counts.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

BINS = 65_536
PSI_BINS = 10  # deciles of the reference
PSI_FLOOR = 1e-6  # share of an empty cell, so that its logarithm exists
GRID_MARGIN = 0.25  # of the reference's range, on both sides, so that a shift stays on the grid

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts on the grid [low, high); values outside are in the first or last bin. `missing` are NaN or null."""

    low: float
    high: float
    counts: Ints
    missing: int

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def plus(self, other: Histogram) -> Histogram:
        """The histogram of both; ValueError when the grids differ."""
        if (self.low, self.high) != (other.low, other.high):
            raise ValueError(f"grid [{self.low}, {self.high}) is not [{other.low}, {other.high})")
        return Histogram(
            low=self.low, high=self.high, counts=self.counts + other.counts, missing=self.missing + other.missing
        )


def histogram(values: NDArray[Any], *, low: float, high: float) -> Histogram:
    """Count `values` (N,), float32 or float64, on the grid."""
    counts = np.zeros(BINS, np.int64)
    missing = _fill(values, values.dtype.type(low), values.dtype.type(BINS / (high - low)), counts)
    return Histogram(low=low, high=high, counts=counts, missing=int(missing))


def grid_of(values: NDArray[Any]) -> tuple[float, float]:
    """The grid (low, high) for reference `values`; NaN are left out."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    margin = (high - low) * GRID_MARGIN or max(abs(low), 1.0) * GRID_MARGIN
    return low - margin, high + margin


def ranks_on(counted: Histogram, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each known value among those of `counted`, ties and neighbours in a bin sharing one."""
    above = np.cumsum(counted.counts)
    middle = above - counted.counts / 2
    scale = BINS / (counted.high - counted.low)
    place = np.clip((values[np.isfinite(values)] - counted.low) * scale, 0, BINS - 1).astype(np.int64)
    ranks: NDArray[np.float64] = middle[place]
    return ranks


def ks_distance(reference: Histogram, current: Histogram) -> tuple[float, float]:
    """(distance, its error bound). 0 <= distance <= 1."""
    p, q = reference.counts / max(reference.rows, 1), current.counts / max(current.rows, 1)
    distance = float(np.abs(np.cumsum(p) - np.cumsum(q)).max())
    return distance, float(np.minimum(p, q).max())


def psi(reference: Histogram, current: Histogram) -> float:
    """Population stability index over the deciles of the reference; 0 for equal shares."""
    cumulated = np.cumsum(reference.counts) / max(reference.rows, 1)
    edges = np.unique(np.searchsorted(cumulated, np.arange(1, PSI_BINS) / PSI_BINS) + 1)
    starts = np.concatenate([[0], edges[edges < BINS]])
    return psi_of_shares(np.add.reduceat(reference.counts, starts), np.add.reduceat(current.counts, starts))


def psi_of_shares(reference: NDArray[Any], current: NDArray[Any]) -> float:
    p = np.maximum(reference / max(reference.sum(), 1), PSI_FLOOR)
    q = np.maximum(current / max(current.sum(), 1), PSI_FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def pack_counts(counts: Ints) -> str:
    """Base64 of pairs (bins skipped, count) as variable-length integers (7 bits a byte, low first)."""
    filled = np.flatnonzero(counts)
    out = bytearray()
    for number in np.column_stack([np.diff(filled, prepend=-1) - 1, counts[filled]]).ravel().tolist():
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
    return base64.b64encode(bytes(out)).decode()


def unpack_counts(text: str) -> Ints:
    numbers, number, shift = [], 0, 0
    for byte in base64.b64decode(text, validate=True):
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    pairs = np.array(numbers, np.int64).reshape(-1, 2)
    counts = np.zeros(BINS, np.int64)
    counts[np.cumsum(pairs[:, 0] + 1) - 1] = pairs[:, 1]
    return counts


@numba.njit(cache=True)
def _fill(values, low, scale, counts):  # type: ignore[no-untyped-def]
    missing = 0
    last = counts.size - 1
    for value in values:
        if value == value:
            place = (value - low) * scale
            if place >= last:
                counts[last] += 1
            elif place < 0:
                counts[0] += 1
            else:
                counts[int(place)] += 1
        else:
            missing += 1
    return missing
