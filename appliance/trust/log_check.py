"""Checks a transparency log from its files alone, and says which file is wrong.

Rules
1. Everything is recomputed from the entries: leaf hashes, every tile, the root; the root must be the signed one.
2. Where entries and leaf hashes disagree, the one that leads to the hash above it (at the right edge: to the signed
   root) is right and the other file is reported; if neither does, both are.
3. Every file below the folder is covered. A file that the tree does not need must be a leftover of an interrupted
   append - a tile whose signed part is right - or it is reported.
4. Nothing is repaired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.trust import codes, merkle, notes
from appliance.trust.tiles import WIDTH, Level, Tree, parse_entries, parse_hashes, shape, tile_path

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


@dataclass(frozen=True, kw_only=True)
class Inclusion:
    """Proof that an entry is in the log: its place in the published tree."""

    index: int
    size: int
    root: bytes
    path: tuple[bytes, ...]


def open_log(folder: Path, key: notes.LogKey) -> tuple[notes.Checkpoint, Tree]:
    """The published checkpoint, verified, and its tree.

    Raises:
        ApplianceError: APL-TRUST-002 the checkpoint is missing, APL-TRUST-003 it is not by the log.
    """
    path = folder / "checkpoint"
    try:
        note = path.read_bytes()
    except OSError as error:
        raise ApplianceError(
            codes.LOG_BROKEN, f"the checkpoint cannot be read: {error.strerror}", where=str(path)
        ) from error
    head = notes.open_checkpoint(note, key, where=str(path))
    return head, Tree(folder=folder, size=head.size)


def verify_entry(folder: Path, key: notes.LogKey, entry: bytes) -> Inclusion:
    """Prove from the files that `entry` is in the log.

    Raises:
        ApplianceError: APL-TRUST-011 it is not; APL-TRUST-002 or -003 the log is damaged, naming the file.
    """
    head, tree = open_log(folder, key)
    index = tree.find(entry)
    if index is None:
        raise _blame(folder, key) or ApplianceError(
            codes.NOT_IN_LOG, f"none of the {head.size} entries is this one", where=str(folder)
        )
    path = tree.inclusion(index)
    leads_up = merkle.is_included(merkle.leaf_hash(entry), index, head.size, path, head.root)
    if tree.entry(index) != entry or tree.root() != head.root or not leads_up:
        raise _blame(folder, key) or ApplianceError(
            codes.LOG_BROKEN, f"entry {index} does not lead to the signed root", where=str(folder)
        )
    return Inclusion(index=index, size=head.size, root=head.root, path=tuple(path))


def verified_entries(folder: Path, key: notes.LogKey) -> list[bytes]:
    """All entries, after their root was compared with the signed one: 2 s for a million.

    Raises:
        ApplianceError: APL-TRUST-002 or -003 the log is damaged, naming the file.
    """
    head, tree = open_log(folder, key)
    try:
        entries = list(tree.entries())
    except ApplianceError as error:
        raise _blame(folder, key) or error from error
    if merkle.root([merkle.leaf_hash(entry) for entry in entries]) != head.root:
        raise _blame(folder, key) or ApplianceError(
            codes.LOG_BROKEN, "the entries do not give the signed root", where=str(folder)
        )
    return entries


def _blame(folder: Path, key: notes.LogKey) -> ApplianceError | None:
    bad = check_log(folder, key).bad
    if not bad:
        return None
    return ApplianceError(codes.LOG_BROKEN, f"{bad[0].path}: {bad[0].reason}", where=str(folder / bad[0].path))


def check_log(folder: Path, key: notes.LogKey) -> LogCheck:
    """Recompute everything; never raises for a damaged log."""
    try:
        head, _ = open_log(folder, key)
    except ApplianceError as error:
        return LogCheck(size=0, root=b"", files=(FileCheck(path="checkpoint", ok=False, reason=str(error)),))
    return _Check(folder, head).run()


class _Check:
    def __init__(self, folder: Path, head: notes.Checkpoint) -> None:
        self._folder = folder
        self._head = head
        self._files: dict[str, FileCheck] = {}
        self._rows: list[list[bytes]] = []  # per level, as recomputed

    def run(self) -> LogCheck:
        shapes = list(shape(self._head.size))
        stored = [self._stored(level, full, width) for level, full, width in shapes]
        if stored:
            self._rows = [self._leaves(stored)]
        for level, _, _ in shapes[1:]:
            below = self._rows[level - 1]
            self._rows.append([merkle.fold(part) for part in _parts(below) if len(part) == WIDTH])
            self._compare(level, stored[level])
        root = merkle.root(self._rows[0]) if self._rows else merkle.EMPTY_ROOT
        sound = root == self._head.root
        self._note(
            "checkpoint", "" if sound else f"signs the root {self._head.root.hex()}, the entries give {root.hex()}"
        )
        self._strays()
        return LogCheck(size=self._head.size, root=root, files=tuple(self._files[path] for path in sorted(self._files)))

    def _note(self, path: str, reason: str) -> None:
        self._files[path] = FileCheck(path=path, ok=not reason, reason=reason)

    def _read(self, level: Level, number: int, width: int) -> bytes | None:
        path = tile_path(level, number, width)
        try:
            data = (self._folder / path).read_bytes()
        except OSError as error:
            self._note(path, f"cannot be read: {error.strerror}")
            return None
        self._note(path, "")
        return data

    def _stored(self, level: int, full: int, width: int) -> list[list[bytes] | None]:
        row: list[list[bytes] | None] = []
        for number, expected in _tiles(full, width):
            data = self._read(level, number, expected)
            if data is not None and len(data) != expected * merkle.HASH_BYTES:
                self._note(
                    tile_path(level, number, expected),
                    f"expected {expected * merkle.HASH_BYTES} bytes, got {len(data)}",
                )
                data = None
            row.append(None if data is None else parse_hashes(data))
        return row

    def _leaves(self, stored: list[list[list[bytes] | None]]) -> list[bytes]:
        """The leaf hashes that lead to the root; files that disagree with them are noted."""
        full, width = divmod(self._head.size, WIDTH)
        leaves: list[bytes] = []
        for number, expected in _tiles(full, width):
            computed = self._hash_entries(number, expected)
            kept = stored[0][number]
            entries_path, tile = tile_path("entries", number, expected), tile_path(0, number, expected)
            if computed is not None and computed == kept:
                leaves += computed
                continue
            if computed is not None and self._leads_up(stored, leaves, number, computed):
                leaves += computed
                self._note_first(tile, "does not hold the hashes of its entries")
            elif kept is not None and self._leads_up(stored, leaves, number, kept):
                leaves += kept
                self._note_first(entries_path, "entries do not have the hashes that were signed")
            else:
                leaves += computed or kept or [bytes(merkle.HASH_BYTES)] * expected
                self._note_first(tile, "disagrees with its entries, and neither leads to the signed root")
                self._note_first(entries_path, "disagrees with its hashes, and neither leads to the signed root")
        return leaves

    def _note_first(self, path: str, reason: str) -> None:
        if self._files[path].ok:
            self._note(path, reason)

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
        return [merkle.leaf_hash(entry) for entry in entries]

    def _leads_up(
        self, stored: list[list[list[bytes] | None]], before: list[bytes], number: int, row: list[bytes]
    ) -> bool:
        if len(row) < WIDTH:  # the right edge: only the signed root stands above it, and all leaves before are known
            return merkle.root([*before, *row]) == self._head.root
        tile, offset = divmod(number, WIDTH)
        above = stored[1][tile]
        return above is not None and above[offset] == merkle.fold(row)

    def _compare(self, level: int, stored: list[list[bytes] | None]) -> None:
        for number, part in enumerate(_parts(self._rows[level])):
            if stored[number] is not None and stored[number] != part:
                self._note(tile_path(level, number, len(part)), "does not hold the hashes of the tiles below it")

    def _strays(self) -> None:
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if name in self._files or name in NOT_TILES or path.name.startswith(".tmp-") or path.is_dir():
                continue
            self._note(name, "" if self._is_leftover(path, name) else "is not a file of this log")

    def _is_leftover(self, path: Path, name: str) -> bool:
        parts = name.split("/")
        if parts[0] != "tile" or len(parts) < 3 or not path.is_file():
            return False
        width = WIDTH
        if parts[-2].endswith(".p"):
            width = int(parts[-1]) if parts[-1].isdigit() else 0
            parts = [*parts[:-2], parts[-2].removesuffix(".p")]
        digits = "".join(part.removeprefix("x") for part in parts[2:])
        level: Level = "entries" if parts[1] == "entries" else int(parts[1]) if parts[1].isdigit() else -1
        if (
            not digits.isdigit()
            or level == -1
            or not 1 <= width <= WIDTH
            or tile_path(level, int(digits), width) != name
        ):
            return False
        row = self._rows[0 if level == "entries" else level] if (level == "entries" or level < len(self._rows)) else []
        if not self._rows:
            row = []
        signed = row[int(digits) * WIDTH : int(digits) * WIDTH + width]
        try:
            data = path.read_bytes()
            found = [merkle.leaf_hash(e) for e in parse_entries(data)] if level == "entries" else parse_hashes(data)
        except (OSError, ValueError):
            return False
        return len(found) == width and found[: len(signed)] == signed


def _tiles(full: int, width: int) -> list[tuple[int, int]]:
    """(number, width) of the tiles of a row."""
    return [(number, WIDTH) for number in range(full)] + ([(full, width)] if width else [])


def _parts(row: list[bytes]) -> list[list[bytes]]:
    return [row[offset : offset + WIDTH] for offset in range(0, len(row), WIDTH)]
