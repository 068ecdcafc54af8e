"""Reads a transparency log from its files alone, believing nothing but the checkpoint's signature.

Rules
1. `replay` hands out every entry, each verified before; `verify_entry` proves one; `check_log` judges every file.
2. An error names the file that is wrong (see `appliance.trust.fsck` for how it is found out).
3. Memory does not grow with the log, but for `verified_entries`, which is for callers who need all entries at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.trust import codes, merkle, notes
from appliance.trust.fsck import FileCheck, Fsck, LogCheck
from appliance.trust.tiles import HEIGHT, WIDTH, Tree


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
        raise _blame(folder, head) or ApplianceError(
            codes.NOT_IN_LOG, f"none of the {head.size} entries is this one", where=str(folder)
        )
    path = tree.inclusion(index)
    leads_up = merkle.is_included(merkle.leaf_hash(entry), index, head.size, path, head.root)
    if tree.entry(index) != entry or tree.root() != head.root or not leads_up:
        raise _blame(folder, head) or ApplianceError(
            codes.LOG_BROKEN, f"entry {index} does not lead to the signed root", where=str(folder)
        )
    return Inclusion(index=index, size=head.size, root=head.root, path=tuple(path))


def replay(folder: Path, head: notes.Checkpoint, *, progress: Progress | None = None) -> Iterator[tuple[int, bytes]]:
    """(index, entry) of every entry below `head`, oldest first, each verified before it is handed out.

    One pass, from the top down. The right edge of the tree must give the signed root; every other tile must give the
    hash that a tile above it holds (RFC 6962 section 2.1: a tile of 256 hashes is a perfect subtree), and 256 entries
    the hash that their tile of level 1 holds. A pass from the bottom up would learn only at its end whether what it had
    handed out was signed; a second pass to close that gap would read files that may have changed since the first.
    The tiles above level 0 have one hash for 256 entries and more, so this costs no more than the recomputation.

    In memory are 256 entries and some 50 tiles. The log may grow meanwhile: what is read is the tree below `head`.

    Raises:
        ApplianceError: APL-TRUST-002 the log is damaged, naming the file. What was handed out before stays true.
    """
    progress = progress or NoProgress()
    progress.begin("verifying the log", head.size)
    verified = _Verified(folder, head)
    for number in range(-(-head.size // WIDTH)):
        bundle = verified.bundle(number)
        yield from enumerate(bundle, start=number * WIDTH)
        progress.advance(len(bundle))


class _Verified:
    """The tiles of a tree, each verified against the one above it."""

    def __init__(self, folder: Path, head: notes.Checkpoint) -> None:
        self._tree = Tree(folder=folder, size=head.size)
        self._known: dict[int, tuple[int, list[bytes]]] = {}  # per level the last tile: number and hashes
        # The root is made of all hashes of the partial tiles at the right edge, and of nothing else.
        if self._tree.root() != head.root:
            raise _blame(folder, head) or ApplianceError(
                codes.LOG_BROKEN, f"the tiles do not give the signed root of {head.size} entries", where=str(folder)
            )

    def bundle(self, number: int) -> list[bytes]:
        entries = self._tree.bundle(number)
        leaves = merkle.leaf_hashes(entries)
        if len(leaves) < WIDTH:
            sound = leaves == self._hashes(0, number)
        else:
            sound = merkle.fold(leaves) == self._parent(0, number)
        if not sound:
            raise self._tree.broken("entries", number, len(leaves), "entries do not have the hashes that were signed")
        return entries

    def _parent(self, level: int, number: int) -> bytes:
        above, offset = divmod(number, WIDTH)
        return self._hashes(level + 1, above)[offset]

    def _hashes(self, level: int, number: int) -> list[bytes]:
        known = self._known.get(level)
        if known is not None and known[0] == number:
            return known[1]
        row = self._tree.hashes(level, number)
        is_edge = number == self._tree.size >> (HEIGHT * (level + 1))
        if not is_edge and merkle.fold(row) != self._parent(level, number):
            raise self._tree.broken(level, number, len(row), "does not hold the hashes that were signed")
        self._known[level] = (number, row)
        return row


def verified_entries(folder: Path, key: notes.LogKey, *, progress: Progress | None = None) -> list[bytes]:
    """All entries of the published tree, verified.

    Raises:
        ApplianceError: APL-TRUST-002 or -003 the log is damaged, naming the file.
    """
    head, _ = open_log(folder, key)
    return [entry for _, entry in replay(folder, head, progress=progress)]


def _blame(folder: Path, head: notes.Checkpoint) -> ApplianceError | None:
    bad = Fsck(folder, head, NoProgress()).run().bad
    if not bad:
        return None
    return ApplianceError(codes.LOG_BROKEN, f"{bad[0].path}: {bad[0].reason}", where=str(folder / bad[0].path))


def check_log(folder: Path, key: notes.LogKey, *, progress: Progress | None = None) -> LogCheck:
    """Recompute everything; never raises for a damaged log."""
    try:
        head, _ = open_log(folder, key)
    except ApplianceError as error:
        return LogCheck(size=0, root=b"", files=(FileCheck(path="checkpoint", ok=False, reason=str(error)),))
    return Fsck(folder, head, progress or NoProgress()).run()
