"""Recomputes a whole transparency log from its files, and says which file is wrong.

Rules
1. Everything is recomputed from the entries: leaf hashes, every tile, the root; the root must be the signed one.
2. Where entries and leaf hashes disagree, the one that leads to the hash above it (at the right edge: to the signed
   root) is right and the other file is reported; if neither does, both are.
3. Every file below the folder is covered. A file that the tree does not need must be a leftover of an interrupted
   append - a tile whose signed part is right - or it is reported.
4. Nothing is repaired.
5. One pass, tile by tile: in memory are one tile of each level and a line per file, whatever the size of the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.trust import merkle, notes
from appliance.trust.tiles import HEIGHT, WIDTH, Level, Tree, parse_entries, parse_hashes, shape, tile_path

NOT_TILES = ("checkpoint", "lock")


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """One file of the log; `reason` is empty when it is right."""

    path: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class LogCheck:
    """What the check found. `size` is 0 when the checkpoint itself is refused."""

    size: int
    root: bytes
    files: tuple[FileCheck, ...]

    @property
    def ok(self) -> bool:
        return all(file.ok for file in self.files)

    @property
    def bad(self) -> tuple[FileCheck, ...]:
        return tuple(file for file in self.files if not file.ok)


class Fsck:
    """One check of the tree below `head`."""

    def __init__(self, folder: Path, head: notes.Checkpoint, progress: Progress) -> None:
        self._folder = folder
        self._head = head
        self._progress = progress
        self._files: dict[str, FileCheck] = {}
        self._frontier = merkle.Frontier()
        self._rows: list[list[bytes]] = [[] for _ in shape(head.size)]  # per level, of the tile that fills up
        self._above: tuple[int, list[bytes] | None] = (-1, None)  # number and content of a tile of level 1

    def run(self) -> LogCheck:
        self._progress.begin("recomputing the log", self._head.size)
        for number in range(-(-self._head.size // WIDTH)):
            row = self._leaves(number, min(WIDTH, self._head.size - number * WIDTH))
            self._add(0, number, row)
            self._progress.advance(len(row))
        for level in range(1, len(self._rows)):
            if self._rows[level]:
                self._compare(level, self._head.size >> (HEIGHT * (level + 1)), self._rows[level])
        root = self._frontier.root(self._rows[0] if self._rows else ())
        sound = root == self._head.root
        self._note(
            "checkpoint", "" if sound else f"signs the root {self._head.root.hex()}, the entries give {root.hex()}"
        )
        self._strays()
        return LogCheck(size=self._head.size, root=root, files=tuple(self._files[path] for path in sorted(self._files)))

    def _add(self, level: int, number: int, row: list[bytes]) -> None:
        """A recomputed tile; what it completes above is compared with the stored tile."""
        if len(row) < WIDTH:
            self._rows[level] = row
            return
        top = merkle.fold(row)
        if level == 0:
            self._frontier.add(top, HEIGHT)
        above = self._rows[level + 1]
        above.append(top)
        if len(above) == WIDTH:
            self._rows[level + 1] = []
            self._compare(level + 1, number // WIDTH, above)
            self._add(level + 1, number // WIDTH, above)

    def _note(self, path: str, reason: str) -> None:
        self._files[path] = FileCheck(path=path, ok=not reason, reason=reason)

    def _note_first(self, path: str, reason: str) -> None:
        if self._files[path].ok:
            self._note(path, reason)

    def _read(self, level: Level, number: int, width: int) -> bytes | None:
        path = tile_path(level, number, width)
        try:
            data = (self._folder / path).read_bytes()
        except OSError as error:
            self._note(path, f"cannot be read: {error.strerror}")
            return None
        self._note(path, "")
        return data

    def _stored(self, level: int, number: int, width: int) -> list[bytes] | None:
        data = self._read(level, number, width)
        if data is None:
            return None
        if len(data) != width * merkle.HASH_BYTES:
            reason = f"expected {width * merkle.HASH_BYTES} bytes, got {len(data)}"
            self._note(tile_path(level, number, width), reason)
            return None
        return parse_hashes(data)

    def _leaves(self, number: int, width: int) -> list[bytes]:
        """The leaf hashes that lead to the root; files that disagree with them are noted."""
        computed, kept = self._hash_entries(number, width), self._stored(0, number, width)
        entries, tile = tile_path("entries", number, width), tile_path(0, number, width)
        if computed is not None and computed == kept:
            return computed
        if computed is not None and self._leads_up(number, computed):
            self._note_first(tile, "does not hold the hashes of its entries")
            return computed
        if kept is not None and self._leads_up(number, kept):
            self._note_first(entries, "entries do not have the hashes that were signed")
            return kept
        self._note_first(tile, "disagrees with its entries, and neither leads to the signed root")
        self._note_first(entries, "disagrees with its hashes, and neither leads to the signed root")
        return computed or kept or [bytes(merkle.HASH_BYTES)] * width

    def _hash_entries(self, number: int, width: int) -> list[bytes] | None:
        path = tile_path("entries", number, width)
        data = self._read("entries", number, width)
        if data is None:
            return None
        try:
            entries = parse_entries(data)
        except ValueError as error:
            self._note(path, str(error))
            return None
        if len(entries) != width:
            self._note(path, f"expected {width} entries, got {len(entries)}")
            return None
        return merkle.leaf_hashes(entries)

    def _leads_up(self, number: int, row: list[bytes]) -> bool:
        if len(row) < WIDTH:  # the right edge: only the signed root stands above it, and all leaves before are known
            return self._frontier.root(row) == self._head.root
        tile, offset = divmod(number, WIDTH)
        if self._above[0] != tile:
            files = dict(self._files)  # read ahead of its turn, which notes it
            width = min(WIDTH, (self._head.size >> HEIGHT) - tile * WIDTH)
            self._above = (tile, self._stored(1, tile, width))
            self._files = files
        above = self._above[1]
        return above is not None and above[offset] == merkle.fold(row)

    def _compare(self, level: int, number: int, row: list[bytes]) -> None:
        stored = self._stored(level, number, len(row))
        if stored is not None and stored != row:
            self._note(tile_path(level, number, len(row)), "does not hold the hashes of the tiles below it")

    def _strays(self) -> None:
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if name in self._files or name in NOT_TILES or path.name.startswith(".tmp-") or path.is_dir():
                continue
            self._note(name, "" if self._is_leftover(path, name) else "is not a file of this log")

    def _is_leftover(self, path: Path, name: str) -> bool:
        parsed = _parse_path(name)
        if parsed is None or not path.is_file():
            return False
        level, number, width = parsed
        try:
            data = path.read_bytes()
            found = merkle.leaf_hashes(parse_entries(data)) if level == "entries" else parse_hashes(data)
            signed = self._signed(level, number)[:width]
        except (OSError, ValueError, ApplianceError):
            return False
        return len(found) == width and found[: len(signed)] == signed

    def _signed(self, level: Level, number: int) -> list[bytes]:
        """What the tree holds of a tile: from the stored one, which was checked before."""
        tree = Tree(folder=self._folder, size=self._head.size)
        if number * WIDTH >= (tree.size if level == "entries" else tree.size >> (HEIGHT * level)):
            return []
        return merkle.leaf_hashes(tree.bundle(number)) if level == "entries" else tree.hashes(level, number)


def _parse_path(name: str) -> tuple[Level, int, int] | None:
    """Level, number and width of a tile's name; None when it is none, or has another spelling."""
    parts = name.split("/")
    if parts[0] != "tile" or len(parts) < 3:
        return None
    width_text = "256"
    if parts[-2].endswith(".p"):
        width_text = parts[-1]
        parts = [*parts[:-2], parts[-2].removesuffix(".p")]
    digits = "".join(part.removeprefix("x") for part in parts[2:])
    numbers = (width_text, digits, "0" if parts[1] == "entries" else parts[1])
    if not all(number.isascii() and number.isdigit() and len(number) < 16 for number in numbers):
        return None
    level: Level = "entries" if parts[1] == "entries" else int(parts[1])
    number, width = int(digits), int(width_text)
    if (level != "entries" and level > 6) or not 1 <= width <= WIDTH or tile_path(level, number, width) != name:
        return None
    return level, number, width
