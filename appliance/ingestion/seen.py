"""What came before: a set of keys that answers "is this the first?" in order of position.

Rules
1. Exact, not probable: a key is compared whole. A false positive would refuse a good reading.
2. Compiled, open addressing, at most 70 % full: a key of two numbers takes 23 to 46 bytes.
3. The set is a cache of the lake, never the truth: it can be dropped and read again at any time.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

EMPTY = -1  # in the first number of a key, which is therefore 0 or more


@nb.njit(cache=True)
def _add(keys, wanted, slots, repeated):  # type: ignore[no-untyped-def]
    """Take the keys in order; `repeated` tells which were there already. Gives how many are new."""
    width = keys.shape[1]
    mask = nb.uint64(slots.shape[0] - 1)
    new = 0
    for row in range(keys.shape[0]):
        repeated[row] = False
        if not wanted[row]:
            continue
        bits = nb.uint64(0)
        for part in range(width):
            bits = (bits ^ nb.uint64(keys[row, part])) * nb.uint64(0x9E3779B97F4A7C15)
            bits ^= bits >> nb.uint64(32)
        slot = bits & mask
        while slots[slot, 0] != EMPTY:
            same = True
            for part in range(width):
                same = same and slots[slot, part] == keys[row, part]
            if same:
                repeated[row] = True
                break
            slot = (slot + nb.uint64(1)) & mask
        if not repeated[row]:
            for part in range(width):
                slots[slot, part] = keys[row, part]
            new += 1
    return new


class KeySet:
    """A growing set of keys, each of `width` 64-bit numbers, the first of them 0 or more."""

    def __init__(self, width: int) -> None:
        self._slots = np.full((1 << 14, width), EMPTY, np.int64)
        self.size = 0

    def add(self, keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
        """Take the wanted keys, shape (n, width), in order; gives for each whether it was there before."""
        self._reserve(self.size + len(keys))
        repeated = np.empty(len(keys), np.bool_)
        mask = np.ones(len(keys), np.bool_) if wanted is None else wanted
        self.size += int(_add(np.ascontiguousarray(keys, np.int64), mask, self._slots, repeated))
        return repeated

    def _reserve(self, count: int) -> None:
        size = len(self._slots)
        while count > size * 0.7:
            size *= 2
        if size == len(self._slots):
            return
        held = self._slots[self._slots[:, 0] != EMPTY]
        self._slots = np.full((size, held.shape[1]), EMPTY, np.int64)
        _add(held, np.ones(len(held), np.bool_), self._slots, np.empty(len(held), np.bool_))
