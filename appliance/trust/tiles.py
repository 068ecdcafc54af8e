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

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from appliance.base.errors import ApplianceError
from appliance.trust import codes, merkle
from appliance.trust.merkle import HASH_BYTES

WIDTH = 256  # hashes in a full tile
HEIGHT = 8  # levels of the tree that one tile spans
MAX_ENTRY_BYTES = 65_535  # the length prefix has two bytes
ATTEMPTS = 5  # to read a partial tile while a writer replaces it

Level = int | Literal["entries"]


def tile_path(level: Level, number: int, width: int = WIDTH) -> str:
    """The name of a tile in the log's folder; `width` below 256 names the partial tile."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    path = f"tile/{level}/{'/'.join(parts)}"
    return path if width == WIDTH else f"{path}.p/{width}"


def pack_entries(entries: list[bytes]) -> bytes:
    """Raises:
    ApplianceError: APL-TRUST-001.
    """
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise ApplianceError(
                codes.ENTRY_TOO_LARGE, f"entry of {len(entry)} bytes, at most {MAX_ENTRY_BYTES} are allowed"
            )
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def parse_entries(data: bytes) -> list[bytes]:
    """ValueError when the bytes are not a whole number of entries."""
    entries, offset = [], 0
    while offset < len(data):
        if offset + 2 > len(data):
            raise ValueError("ends inside a length")
        (length,) = struct.unpack_from(">H", data, offset)
        entry = data[offset + 2 : offset + 2 + length]
        if len(entry) != length:
            raise ValueError("ends inside an entry")
        entries.append(entry)
        offset += 2 + length
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
        for number in range(start // WIDTH, -(-self.size // WIDTH)):
            yield from self._read_bundle(number)[max(0, start - number * WIDTH) :]

    def find(self, entry: bytes) -> int | None:
        """The first index of `entry`, by its hash."""
        leaf = merkle.leaf_hash(entry)
        for number in range(-(-self.size // WIDTH)):
            hashes = self.hashes(0, number)
            if leaf in hashes:
                return number * WIDTH + hashes.index(leaf)
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
        """The hashes of a tile, as many as this tree knows."""
        key = (level, number)
        if key not in self._rows:
            width = self._width(self.size >> (HEIGHT * level), number)
            data = self._read(level, number, width)
            if len(data) < width * HASH_BYTES:
                raise self._broken(level, number, width, f"expected {width * HASH_BYTES} bytes, got {len(data)}")
            self._rows[key] = parse_hashes(data[: width * HASH_BYTES])
        return self._rows[key]

    def bundle(self, number: int) -> list[bytes]:
        """The entries below tile `number` of level 0; the last one asked for is kept."""
        if number not in self._bundles:
            self._bundles.clear()
            self._bundles[number] = self._read_bundle(number)
        return self._bundles[number]

    def _read_bundle(self, number: int) -> list[bytes]:
        width = self._width(self.size, number)
        try:
            entries = parse_entries(self._read("entries", number, width))
        except ValueError as error:
            raise self._broken("entries", number, width, str(error)) from error
        if len(entries) < width:
            raise self._broken("entries", number, width, f"expected {width} entries, got {len(entries)}")
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
        for _ in range(ATTEMPTS):
            for path in (exact, *self._wider(level, number, width)):
                try:
                    return path.read_bytes()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise self._broken(level, number, width, f"cannot be read: {error.strerror}") from error
        raise self._broken(level, number, width, "is missing")

    def _wider(self, level: Level, number: int, width: int) -> list[Path]:
        full = self.folder / tile_path(level, number)
        folder = full.with_name(f"{full.name}.p")
        partial = (path for path in folder.glob("[1-9]*") if path.name.isdigit() and int(path.name) > width)
        return [*sorted(partial, key=lambda path: int(path.name)), full]

    def _broken(self, level: Level, number: int, width: int, what: str) -> ApplianceError:
        path = self.folder / tile_path(level, number, width)
        return ApplianceError(codes.LOG_BROKEN, f"{tile_path(level, number, width)}: {what}", where=str(path))
