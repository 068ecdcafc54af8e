"""The transparency log: an append-only list of entries under a signed Merkle root, kept as plain files.

Layout: ``checkpoint``, ``tile/...`` (see `appliance.trust.tiles`) and ``lock``.

Rules
1. One writer at a time: a commit holds the kernel lock on ``lock`` from reading the checkpoint to replacing it. Threads
   that append at once share a commit (`appliance.trust.group_commit`).
2. The checkpoint is written last. Before it, every tile of the new tree is on the disk; so after a crash there is the
   old tree or the new one, and a tile wider than the checkpoint says is a leftover, removed by the next commit.
   Tiles are made durable `BATCH` at a time, in order: past so many absent ones there is no leftover.
3. Before the log signs a greater tree, it recomputes the signed root from the tiles that it builds on, and their
   entries: a damaged log does not grow.
4. An append reads only the right edge, one tile per level; opening reads nothing.
5. A partial tile is kept while the published checkpoint needs it and removed once a fuller one has taken its place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.trust import codes, log_check, merkle, notes
from appliance.trust.edge import Edge
from appliance.trust.edge import read as read_edge
from appliance.trust.fsck import LogCheck
from appliance.trust.group_commit import GroupCommit
from appliance.trust.keys import SigningKey
from appliance.trust.tiles import HEIGHT, WIDTH, Tree, check_lengths, tile_path

CHECKPOINT = "checkpoint"
BATCH = 8  # tiles made durable together


class TransparencyLog:
    """The log in `folder`, named `origin`; `signer` holds the log's Ed25519 key."""

    def __init__(self, folder: Path, origin: str, signer: SigningKey) -> None:
        self.folder = folder
        self.key = notes.log_key(origin, signer.public)
        self._signer = signer
        self._seen: notes.Checkpoint | None = None
        self._edge: tuple[bytes, Edge] | None = None  # of the tree that this note signs
        self._group = GroupCommit(self.writing)

    def create(self) -> None:
        """Write the checkpoint of the empty log, if there is no log yet.

        Raises:
            ApplianceError: APL-BASE-002.
        """
        with atomic.exclusive(self.folder / "lock"):
            if not (self.folder / CHECKPOINT).exists():
                self._publish(0, merkle.EMPTY_ROOT)

    def append(self, entries: Sequence[bytes]) -> range:
        """Add entries durably, one after the other; gives their indexes. Never inside `writing`.

        Raises:
            ApplianceError: APL-TRUST-001 an entry is too large, APL-TRUST-002 or -003 the log is damaged,
                APL-BASE-002 it cannot be written. Nothing was added; only when the very last sync fails, after the
                checkpoint was replaced, may all of it have been.
        """
        check_lengths(entries)  # here, so that it is this caller's error and not its group's
        return self._group.append(tuple(entries))

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
        seen = self._seen  # one look: another thread may put an older one there meanwhile
        if seen is None or seen.note != note:
            seen = self._seen = notes.open_checkpoint(note, self.key, where=str(path))
        return seen

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

    def fsck(self, *, progress: Progress | None = None) -> LogCheck:
        """Recompute the whole tree from the entries and compare every file."""
        return log_check.check_log(self.folder, self.key, progress=progress)

    def _publish(self, size: int, root: bytes) -> notes.Checkpoint:
        # Opened before it is published: a signer that fails silently must not leave a log that nobody can open.
        signed = notes.open_checkpoint(notes.sign_checkpoint(self._signer, self.key, size, root), self.key)
        atomic.write_bytes(self.folder / CHECKPOINT, signed.note)
        self._seen = signed
        return signed

    def _edge_of(self, head: notes.Checkpoint) -> Edge:
        # Rule 3. What the last commit of this object left needs no hashing again, when the files still hold it.
        known = self._edge
        if known is not None and known[0] == head.note and known[1].is_stored(self.folder):
            return known[1]
        edge = read_edge(Tree(folder=self.folder, size=head.size))
        if not edge.is_sound(head.root):
            raise ApplianceError(
                codes.LOG_BROKEN,
                f"the newest tiles do not give the signed root of {head.size} entries",
                where=str(self.folder),
            )
        return edge


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
        check_lengths(entries)
        folder = self._log.folder
        try:
            old = self._log._edge_of(head)
            _remove_leftovers(folder, old)
            tiles, new = old.grow(entries)
            files = [(folder / name, data) for name, data in tiles]
            for at in range(0, len(files), BATCH):
                atomic.write_files(files[at : at + BATCH])
            published = self._log._publish(new.size, new.root())
        except OSError as error:
            raise ApplianceError(
                base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(folder)
            ) from error
        self._log._edge = (published.note, new)
        _remove_narrower(folder, old, new)
        return range(old.size, new.size)


def _remove_leftovers(folder: Path, edge: Edge) -> None:
    # Tiles of a commit that did not reach its checkpoint; the last one first, so that whoever is stopped here leaves no
    # gap that hides the rest.
    found: list[Path] = []
    below = WIDTH  # leftover tiles of the level below
    for level, number, width in edge.tiles():
        # The next tile stands over those that fill up this one: written before it, and all but a batch durable.
        goes_on = level in ("entries", 0) or below >= WIDTH - width - BATCH
        below, missing = 0, 0
        while missing < BATCH:
            leftovers = _leftovers(f"{folder}/{tile_path(level, number)}", width)
            found += leftovers
            below += bool(leftovers)
            if not goes_on:
                break
            missing = 0 if leftovers else missing + 1
            number, width = number + 1, 0
    for path in reversed(found):
        path.rmdir() if path.suffix == ".p" else path.unlink()


def _leftovers(full: str, width: int) -> list[Path]:
    """The forms of a tile but for the partial one of `width`, after the folder that holds them where that goes too."""
    found = []
    if _is_there(full):
        found.append(Path(full))
    if _is_there(f"{full}.p"):
        folder = Path(f"{full}.p")
        found += [folder] * (width == 0)
        found += [path for path in folder.iterdir() if path.name != str(width)]
    return found


def _is_there(path: str) -> bool:
    # Not `exists`, which takes every error for absence: what cannot be seen cannot be removed.
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _remove_narrower(folder: Path, old: Edge, new: Edge) -> None:
    # Rule 5. A failure here leaves a file too many and harms nothing: the new tree is published.
    with contextlib.suppress(OSError):
        for level, number, width in old.tiles():
            if not width:
                continue
            row = new.size if level == "entries" else new.size >> (HEIGHT * level)
            path = folder / tile_path(level, number, width)
            if row // WIDTH > number:
                shutil.rmtree(path.parent)
            elif row % WIDTH != width:
                path.unlink(missing_ok=True)
