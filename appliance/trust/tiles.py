"""The files of a transparency log (C2SP tlog-tiles) and what can be computed from them.

Rules
1. ``tile/<level>/<n>`` holds 256 hashes of height 8 * level, ``tile/entries/<n>`` the 256 entries below the tile n of
   level 0, each after its length in two bytes. A tile that is not full yet is ``<n>.p/<width>``.
2. What a `Tree` reads is bounded by its size: bytes of later, not yet signed entries are never looked at.
3. A partial tile may have been replaced by a wider one since the checkpoint was read; the wider one begins with the
   same bytes.
4. Nothing here verifies a signature or writes.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from appliance.base.errors import ApplianceError
from appliance.trust import codes, merkle
from appliance.trust.merkle import HASH_BYTES

WIDTH = 256  # hashes in a full tile
HEIGHT = 8  # levels of the tree that one tile spans
MAX_ENTRY_BYTES = 65_535  # the length prefix has two bytes
KEPT = 64  # tiles of hashes in memory, 10 kB each
ATTEMPTS = 5  # to read a partial tile while a writer replaces it

Level = int | Literal["entries"]


def tile_path(level: Level, number: int, width: int = WIDTH) -> str:
    """The name of a tile in the log's folder; `width` below 256 names the partial tile."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    path = f"tile/{level}/{'/'.join(parts)}"
    return path if width == WIDTH else f"{path}.p/{width}"


def check_lengths(entries: Sequence[bytes]) -> None:
    """Raises:
    ApplianceError: APL-TRUST-001.
    """
    longest = max(map(len, entries), default=0)
    if longest > MAX_ENTRY_BYTES:
        raise ApplianceError(codes.ENTRY_TOO_LARGE, f"entry of {longest} bytes, at most {MAX_ENTRY_BYTES} are allowed")


def pack_entries(entries: Sequence[bytes]) -> bytes:
    """The bytes of an entries tile; every length was checked."""
    parts = [b""] * (2 * len(entries))
    parts[::2] = [len(entry).to_bytes(2, "big") for entry in entries]
    parts[1::2] = entries
    return b"".join(parts)


def parse_entries(data: bytes) -> list[bytes]:
    """ValueError when the bytes are not a whole number of entries."""
    entries, offset, end = [], 0, len(data)
    while offset < end:
        start = offset + 2
        if start > end:
            raise ValueError("ends inside a length")
        offset = start + int.from_bytes(data[offset:start], "big")
        if offset > end:
            raise ValueError("ends inside an entry")
        entries.append(data[start:offset])
    return entries


def parse_hashes(data: bytes) -> list[bytes]:
    """ValueError when the bytes are not a whole number of hashes."""
    if len(data) % HASH_BYTES:
        raise ValueError(f"{len(data)} bytes are not a whole number of hashes")
    return [data[offset : offset + HASH_BYTES] for offset in range(0, len(data), HASH_BYTES)]


def shape(size: int) -> Iterator[tuple[int, int, int]]:
    """(level, full tiles, width of the last partial tile or 0) of a tree of `size` entries, level 0 first."""
    level, row = 0, size
    while row:
        yield level, row // WIDTH, row % WIDTH
        level, row = level + 1, row // WIDTH


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The first `size` entries of the log in `folder`."""

    folder: Path
    size: int
    _rows: dict[tuple[int, int], list[bytes]] = field(default_factory=dict, repr=False, compare=False)
    _bundles: dict[int, list[bytes]] = field(default_factory=dict, repr=False, compare=False)

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` entries (all by default)."""
        size = self._within(self.size if size is None else size)
        return self.subtree(0, size) if size else merkle.EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        size = self._within(self.size if size is None else size)
        if not 0 <= index < size:
            raise IndexError(f"entry {index} of {size}")
        return merkle.inclusion_path(index, size, self.subtree)

    def consistency(self, first: int, second: int | None = None) -> list[bytes]:
        second = self._within(self.size if second is None else second)
        if not 0 <= first <= second:
            raise IndexError(f"tree {first} of {second}")
        return merkle.consistency_path(first, second, self.subtree)

    def entry(self, index: int) -> bytes:
        if not 0 <= index < self.size:
            raise IndexError(f"entry {index} of {self.size}")
        return self.bundle(index // WIDTH)[index % WIDTH]

    def entries(self, start: int = 0) -> Iterator[bytes]:
        """All entries from `start`, oldest first."""
        if start < 0:
            raise IndexError(f"entry {start} of {self.size}")
        for number in range(start // WIDTH, -(-self.size // WIDTH)):
            yield from self._read_bundle(number)[max(0, start - number * WIDTH) :]

    def find(self, entry: bytes) -> int | None:
        """The first index of `entry`, by its hash."""
        leaf = merkle.leaf_hash(entry)
        for number in range(-(-self.size // WIDTH)):
            row = self._read_hashes(0, number)
            at = row.find(leaf)
            while at % HASH_BYTES and at >= 0:  # across two hashes
                at = row.find(leaf, at + 1)
            if at >= 0:
                return number * WIDTH + at // HASH_BYTES
        return None

    def subtree(self, low: int, high: int) -> bytes:
        """The hash of the entries [low, high), a range that RFC 6962 calls a subtree."""
        count = high - low
        if count & (count - 1) == 0 and low % count == 0:
            level, rest = divmod(count.bit_length() - 1, HEIGHT)
            first = low >> (HEIGHT * level)
            number, offset = divmod(first, WIDTH)
            return merkle.fold(self.hashes(level, number)[offset : offset + (1 << rest)])
        middle = low + merkle.split(count)
        return merkle.node_hash(self.subtree(low, middle), self.subtree(middle, high))

    def hashes(self, level: int, number: int) -> list[bytes]:
        """The hashes of a tile, as many as this tree knows; the last `KEPT` tiles asked for are kept."""
        key = (level, number)
        if key not in self._rows:
            if len(self._rows) >= KEPT:
                del self._rows[next(iter(self._rows))]
            self._rows[key] = parse_hashes(self._read_hashes(level, number))
        return self._rows[key]

    def bundle(self, number: int) -> list[bytes]:
        """The entries below tile `number` of level 0; the last one asked for is kept."""
        if number not in self._bundles:
            self._bundles.clear()
            self._bundles[number] = self._read_bundle(number)
        return self._bundles[number]

    def _read_hashes(self, level: int, number: int) -> bytes:
        width = self._width(self.size >> (HEIGHT * level), number)
        data = self._read(level, number, width)
        if len(data) < width * HASH_BYTES:
            raise self.broken(level, number, width, f"expected {width * HASH_BYTES} bytes, got {len(data)}")
        return data[: width * HASH_BYTES]

    def _read_bundle(self, number: int) -> list[bytes]:
        width = self._width(self.size, number)
        try:
            entries = parse_entries(self._read("entries", number, width))
        except ValueError as error:
            raise self.broken("entries", number, width, str(error)) from error
        if len(entries) < width:
            raise self.broken("entries", number, width, f"expected {width} entries, got {len(entries)}")
        return entries[:width]

    def _within(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise IndexError(f"tree {size} of {self.size}")
        return size

    @staticmethod
    def _width(row: int, number: int) -> int:
        return min(WIDTH, row - number * WIDTH)

    def _read(self, level: Level, number: int, width: int) -> bytes:
        exact = self.folder / tile_path(level, number, width)
        try:
            for _ in range(ATTEMPTS):
                for path in itertools.chain((exact,), self._wider(level, number, width)):
                    with contextlib.suppress(FileNotFoundError):
                        return path.read_bytes()
        except OSError as error:
            raise self.broken(level, number, width, f"cannot be read: {error.strerror}") from error
        raise self.broken(level, number, width, "is missing")

    def _wider(self, level: Level, number: int, width: int) -> Iterator[Path]:
        full = self.folder / tile_path(level, number)
        folder = full.with_name(f"{full.name}.p")
        partial = (path for path in folder.glob("[1-9]*") if path.name.isdigit() and int(path.name) > width)
        yield from sorted(partial, key=lambda path: int(path.name))
        yield full

    def broken(self, level: Level, number: int, width: int, what: str) -> ApplianceError:
        """The error that says what is wrong with a tile."""
        path = self.folder / tile_path(level, number, width)
        return ApplianceError(codes.LOG_BROKEN, f"{tile_path(level, number, width)}: {what}", where=str(path))
