"""The transparency log: an append-only list of entries under a signed Merkle root, kept as plain files.

Layout: ``checkpoint``, ``tile/...`` (see `appliance.trust.tiles`) and ``lock``.

Rules
1. One writer at a time: an append holds the kernel lock on ``lock`` from reading the checkpoint to replacing it.
2. The checkpoint is written last. Before it, every tile of the new tree is on the disk; so after a crash there is the
   old tree or the new one, and a tile wider than the checkpoint says is a leftover, removed by the next append.
3. Before the log signs a greater tree, it recomputes the signed root from the tiles that it builds on, and their
   entries: a damaged log does not grow.
4. An append reads only the right edge, one tile per level; opening reads nothing.
5. A partial tile is kept while the published checkpoint needs it and removed once a fuller one has taken its place.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.errors import ApplianceError
from appliance.trust import codes, log_check, merkle, notes
from appliance.trust.keys import SigningKey
from appliance.trust.tiles import HEIGHT, WIDTH, Level, Tree, pack_entries, shape, tile_path

CHECKPOINT = "checkpoint"


class TransparencyLog:
    """The log in `folder`, named `origin`; `signer` holds the log's Ed25519 key."""

    def __init__(self, folder: Path, origin: str, signer: SigningKey) -> None:
        self.folder = folder
        self.key = notes.log_key(origin, signer.public)
        self._signer = signer
        self._seen: notes.Checkpoint | None = None

    def create(self) -> None:
        """Write the checkpoint of the empty log, if there is no log yet.

        Raises:
            ApplianceError: APL-BASE-002.
        """
        with atomic.exclusive(self.folder / "lock"):
            if not (self.folder / CHECKPOINT).exists():
                self._publish(0, merkle.EMPTY_ROOT)

    def append(self, entries: Sequence[bytes]) -> range:
        """Add entries durably; gives their indexes.

        Raises:
            ApplianceError: APL-TRUST-001 an entry is too large, APL-TRUST-002 or -003 the log is damaged,
                APL-BASE-002 it cannot be written. Nothing was added; only when the very last sync fails, after the
                checkpoint was replaced, may all of it have been.
        """
        with self.writing() as writer:
            return writer.append(entries)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """Hold the log, for an entry that depends on those before it."""
        with atomic.exclusive(self.folder / "lock"):
            yield Writer(self)

    def checkpoint(self) -> notes.Checkpoint:
        """The published tree head, its signature verified.

        Raises:
            ApplianceError: APL-TRUST-002 it is missing, APL-TRUST-003 it is not by the log.
        """
        path = self.folder / CHECKPOINT
        try:
            note = path.read_bytes()
        except OSError as error:
            raise ApplianceError(
                codes.LOG_BROKEN, f"the checkpoint cannot be read: {error.strerror}", where=str(path)
            ) from error
        if self._seen is None or self._seen.note != note:
            self._seen = notes.open_checkpoint(note, self.key, where=str(path))
        return self._seen

    def tree(self) -> Tree:
        """The published tree; it stays what it is while others append."""
        return Tree(folder=self.folder, size=self.checkpoint().size)

    def size(self) -> int:
        return self.checkpoint().size

    def entry(self, index: int) -> bytes:
        return self.tree().entry(index)

    def entries(self, start: int = 0) -> Iterator[bytes]:
        return self.tree().entries(start)

    def root(self, size: int | None = None) -> bytes:
        return self.tree().root(size)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        return self.tree().inclusion(index, size)

    def consistency(self, first: int, second: int | None = None) -> list[bytes]:
        return self.tree().consistency(first, second)

    def fsck(self) -> log_check.LogCheck:
        """Recompute the whole tree from the entries and compare every file."""
        return log_check.check_log(self.folder, self.key)

    def _publish(self, size: int, root: bytes) -> None:
        atomic.write_bytes(self.folder / CHECKPOINT, notes.sign_checkpoint(self._signer, self.key, size, root))


class Writer:
    """The log while its lock is held."""

    def __init__(self, log: TransparencyLog) -> None:
        self._log = log

    @property
    def tree(self) -> Tree:
        return self._log.tree()

    def checkpoint(self) -> notes.Checkpoint:
        return self._log.checkpoint()

    def append(self, entries: Sequence[bytes]) -> range:
        """See `TransparencyLog.append`."""
        head = self._log.checkpoint()
        if not entries:
            return range(head.size, head.size)
        pack_entries(list(entries))  # refuses before anything is touched
        old = Tree(folder=self._log.folder, size=head.size)
        _check_edge(old, head)
        try:
            _remove_leftovers(old)
            self._write(old, list(entries))
            new = Tree(folder=self._log.folder, size=head.size + len(entries))
            self._log._publish(new.size, new.root())
        except OSError as error:
            raise ApplianceError(
                base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(self._log.folder)
            ) from error
        _remove_narrower(old, new)
        return range(old.size, new.size)

    def _write(self, old: Tree, entries: list[bytes]) -> None:
        number, width = divmod(old.size, WIDTH)
        row = (old.bundle(number) if width else []) + entries
        for offset in range(0, len(row), WIDTH):
            part = row[offset : offset + WIDTH]
            self._put("entries", number + offset // WIDTH, len(part), pack_entries(part))
        level, added = 0, [merkle.leaf_hash(entry) for entry in entries]
        while added:
            number, width = divmod(old.size >> (HEIGHT * level), WIDTH)
            row = (old.hashes(level, number) if width else []) + added
            added = []
            for offset in range(0, len(row), WIDTH):
                part = row[offset : offset + WIDTH]
                self._put(level, number + offset // WIDTH, len(part), b"".join(part))
                if len(part) == WIDTH:
                    added.append(merkle.fold(part))
            level += 1

    def _put(self, level: Level, number: int, width: int, data: bytes) -> None:
        path = self._log.folder / tile_path(level, number, width)
        _make_folder(path.parent)
        atomic.write_bytes(path, data)


def _check_edge(tree: Tree, head: notes.Checkpoint) -> None:
    # Rule 3. The root needs the last tile of every level; the last bundle is what the next one is copied from.
    number, width = divmod(tree.size, WIDTH)
    sound = tree.root() == head.root
    if sound and width:
        sound = [merkle.leaf_hash(entry) for entry in tree.bundle(number)] == tree.hashes(0, number)
    if not sound:
        raise ApplianceError(
            codes.LOG_BROKEN,
            f"the newest tiles do not give the signed root of {tree.size} entries",
            where=str(tree.folder),
        )


def _make_folder(folder: Path) -> None:
    # A new name is durable only when the folder above it was synced.
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        atomic.fsync_folder(folder.parent)


def _edges(tree: Tree) -> Iterator[tuple[Level, int, int]]:
    """(level, number, width) of the tile that the next entry changes; the width is what is signed of it."""
    yield "entries", tree.size // WIDTH, tree.size % WIDTH
    levels = max((level for level, _, _ in shape(tree.size)), default=-1)
    for level in range(levels + 2):
        row = tree.size >> (HEIGHT * level)
        yield level, row // WIDTH, row % WIDTH


def _remove_leftovers(tree: Tree) -> None:
    # Tiles of an append that did not reach its checkpoint. Found from the edge on: they were written in that order.
    for level, number, width in _edges(tree):
        while True:
            full = tree.folder / tile_path(level, number)
            folder = full.with_name(f"{full.name}.p")
            found = full.exists() or (width == 0 and folder.exists())
            full.unlink(missing_ok=True)
            if width == 0 and folder.exists():
                shutil.rmtree(folder)
            for path in folder.glob("*") if width else ():
                if path.name != str(width):
                    path.unlink()
            if not found:
                break
            number, width = number + 1, 0


def _remove_narrower(old: Tree, new: Tree) -> None:
    # Rule 5. A failure here leaves a file too many and harms nothing: the new tree is published.
    with contextlib.suppress(OSError):
        for level, number, width in _edges(old):
            if not width:
                continue
            row = new.size if level == "entries" else new.size >> (HEIGHT * level)
            if row // WIDTH > number:
                shutil.rmtree((old.folder / tile_path(level, number, width)).parent)
            elif row % WIDTH != width:
                (old.folder / tile_path(level, number, width)).unlink(missing_ok=True)
