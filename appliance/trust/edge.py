"""The right edge of a log's tree: all that a commit reads of what is there, and what it adds. No I/O but `read`.

Rules
1. The edge is the partial tile of each level and the entries below the one of level 0. Its hashes alone give the root
   (RFC 6962 section 2.1: they are made of the perfect subtrees that the tree splits into).
2. An edge is believed when it gives the signed root, and its entries have the hashes of its level 0.
3. `grow` gives the tiles that change and the next edge; no other tile is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.trust import merkle
from appliance.trust.tiles import HEIGHT, WIDTH, Level, Tree, pack_entries, tile_path


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The edge of a tree of `size` entries.

    Attributes:
        entries: those below the partial tile of level 0.
        rows: hashes of the partial tile of each level, level 0 first; empty where all tiles are full.
        peaks: of each row the perfect subtrees that it splits into, widest first.
    """

    size: int
    entries: Sequence[bytes]
    rows: Sequence[Sequence[bytes]]
    peaks: Sequence[Sequence[bytes]]

    def root(self) -> bytes:
        peaks = [peak for row in reversed(self.peaks) for peak in row]  # the widest first
        if not peaks:
            return merkle.EMPTY_ROOT
        root = peaks.pop()
        while peaks:
            root = merkle.node_hash(peaks.pop(), root)
        return root

    def is_sound(self, root: bytes) -> bool:
        """Rule 2."""
        leaves = self.rows[0] if self.rows else ()
        return self.root() == root and merkle.leaf_hashes(self.entries) == list(leaves)

    def tiles(self) -> Iterator[tuple[Level, int, int]]:
        """(level, number, width) of the tiles that the next entry changes, or makes where the width is 0."""
        yield "entries", self.size // WIDTH, self.size % WIDTH
        for level in range(len(self.rows) + 1):
            row = self.size >> (HEIGHT * level)
            yield level, row // WIDTH, row % WIDTH

    def is_stored(self, folder: Path) -> bool:
        """Whether the files hold this edge, byte for byte."""
        for level, number, width in self.tiles():
            if width:
                expected = pack_entries(self.entries) if level == "entries" else b"".join(self.rows[level])
                try:
                    if (folder / tile_path(level, number, width)).read_bytes() != expected:
                        return False
                except FileNotFoundError:
                    return False
        return True

    def grow(self, entries: Sequence[bytes]) -> tuple[list[tuple[str, bytes]], Edge]:
        """(name, bytes) of the tiles that `entries` change or add, from the edge on, level by level; the new edge."""
        files: list[tuple[str, bytes]] = []
        first = self.size // WIDTH
        bundle = [*self.entries, *entries]
        for number, offset in enumerate(range(0, len(bundle), WIDTH), start=first):
            part = bundle[offset : offset + WIDTH]
            files.append((tile_path("entries", number, len(part)), pack_entries(part)))
        rows: list[Sequence[bytes]] = []
        peaks: list[Sequence[bytes]] = []
        added = merkle.leaf_hashes(entries)
        while added:
            level = len(rows)
            old = self.rows[level] if level < len(self.rows) else ()
            row = [*old, *added]
            first = (self.size >> (HEIGHT * level)) // WIDTH
            added, rest = [], []
            for number, offset in enumerate(range(0, len(row), WIDTH), start=first):
                part = row[offset : offset + WIDTH]
                files.append((tile_path(level, number, len(part)), b"".join(part)))
                if len(part) == WIDTH:
                    added.append(merkle.fold(part))
                else:
                    rest = part
            rows.append(rest)
            is_same_tile = old and len(row) < WIDTH
            peaks.append(_peaks(rest, len(old), self.peaks[level]) if is_same_tile else _peaks(rest))
        rows += self.rows[len(rows) :]
        peaks += self.peaks[len(peaks) :]
        tail = bundle[len(bundle) - len(bundle) % WIDTH :]
        return files, Edge(size=self.size + len(entries), entries=tail, rows=rows, peaks=peaks)


def _peaks(row: Sequence[bytes], width: int = 0, known: Sequence[bytes] = ()) -> list[bytes]:
    """The perfect subtrees of `row`, widest first; `known` are those of its first `width` hashes."""
    peaks: list[bytes] = []
    at = 0
    for bit in reversed(range(HEIGHT)):
        if len(row) >> bit & 1:
            is_known = len(row) >> bit == width >> bit
            peaks.append(known[len(peaks)] if is_known else merkle.fold(row[at : at + (1 << bit)]))
            at += 1 << bit
    return peaks


def read(tree: Tree) -> Edge:
    """The edge as the files have it.

    Raises:
        ApplianceError: APL-TRUST-002, a file of it is missing or cut.
    """
    number, width = divmod(tree.size, WIDTH)
    rows: list[Sequence[bytes]] = []
    while row := tree.size >> (HEIGHT * len(rows)):
        rows.append(tree.hashes(len(rows), row // WIDTH) if row % WIDTH else ())
    entries = tree.bundle(number) if width else ()
    return Edge(size=tree.size, entries=entries, rows=rows, peaks=[_peaks(row) for row in rows])
