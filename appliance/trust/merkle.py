"""Merkle trees as RFC 6962 section 2.1 defines them. Pure: values in, values out.

Rules
1. A leaf is hashed with prefix 0x00 and a node with 0x01, so that neither can pass for the other.
2. A tree of n leaves splits at the largest power of two below n.
3. Proof makers take `subtree(low, high)`, the hash of the leaves [low, high); they ask only for ranges that RFC 6962
   calls subtrees, so that a caller can answer from stored tiles.
4. `is_included` and `is_consistent` never raise on hostile proofs: they say no.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

# A copy of a hash that has taken the prefix in costs a tenth less than a new one, which looks its algorithm up again.
_LEAF, _NODE = hashlib.sha256(b"\0"), hashlib.sha256(b"\1")

Subtree = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def leaf_hashes(entries: Sequence[bytes]) -> list[bytes]:
    hashes = []
    for entry in entries:
        state = _LEAF.copy()
        state.update(entry)
        hashes.append(state.digest())
    return hashes


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over `hashes`, whose number is a power of two."""
    while len(hashes) > 1:
        row, each = [], iter(hashes)
        for left, right in zip(each, each, strict=True):
            state = _NODE.copy()
            state.update(left + right)
            row.append(state.digest())
        hashes = row
    return hashes[0]


class Frontier:
    """The perfect subtrees of the leaves so far, widest first: all that the root and the next leaf need of them."""

    def __init__(self) -> None:
        self._peaks: list[tuple[int, bytes]] = []  # (height, hash), heights strictly falling

    def add(self, hash_: bytes, height: int = 0) -> None:
        """The next leaf, or the next 2**height of them, at an index that is a multiple of that."""
        while self._peaks and self._peaks[-1][0] == height:
            hash_ = node_hash(self._peaks.pop()[1], hash_)
            height += 1
        self._peaks.append((height, hash_))

    def root(self, more: Sequence[bytes] = ()) -> bytes:
        """The root, as if the leaf hashes `more` had been added."""
        wider = Frontier()
        wider._peaks = list(self._peaks)
        for leaf in more:
            wider.add(leaf)
        if not wider._peaks:
            return EMPTY_ROOT
        _, result = wider._peaks.pop()
        while wider._peaks:
            result = node_hash(wider._peaks.pop()[1], result)
        return result


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, any number of them."""
    return Frontier().root(leaves)


def inclusion_path(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """RFC 6962 section 2.1.1: the audit path of leaf `index` in the tree of `size` leaves, 0 <= index < size."""
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + split(high - low)
        if index < middle:
            path.append(subtree(middle, high))
            high = middle
        else:
            path.append(subtree(low, middle))
            low = middle
    path.reverse()
    return path


def consistency_path(first: int, second: int, subtree: Subtree) -> list[bytes]:
    """RFC 6962 section 2.1.2: the proof that the tree of `first` leaves is a prefix of the one of `second`."""
    if first in (0, second):
        return []
    path: list[bytes] = []
    low, high, whole = 0, second, True
    while first != high:
        middle = low + split(high - low)
        if first <= middle:
            path.append(subtree(middle, high))
            high = middle
        else:
            path.append(subtree(low, middle))
            low, whole = middle, False
    if not whole:
        path.append(subtree(low, high))
    path.reverse()
    return path


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root_hash: bytes) -> bool:
    """Whether `path` proves that `leaf` is at `index` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, current = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            current = node_hash(step, current)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            current = node_hash(current, step)
        position >>= 1
        last >>= 1
    return last == 0 and current == root_hash


def is_consistent(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that the second tree extends the first (RFC 9162 section 2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and first_root == EMPTY_ROOT
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    if not steps:
        return False
    position, last = first - 1, second - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, step)
        position >>= 1
        last >>= 1
    return last == 0 and old == first_root and new == second_root
