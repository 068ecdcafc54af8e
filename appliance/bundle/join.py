"""Puts a bundle together from its volumes: every piece is copied once, to its place, and hashed while it is copied.

Rules
1. Until every volume was given, what is there lies in ``.tmp-<name>.d`` beside the target; the target appears complete,
   by rename, when each file has the size and digest that the manifest lists. Room is needed once.
2. Volumes are given together or one after another, in any order. What was taken is in a journal, written after the
   bytes are durable: a run that was killed goes on behind it.
3. A volume is looked at as a whole before a byte of it is taken: a file that is missing, changed in size, extra or not
   plain refuses all of it.
4. Nothing here says who released the bundle: verify what was joined.

The draft holds ``set`` (which volumes), ``journal`` (a line for each piece, ``VOLUME INDEX``), ``volumes/`` (the
volume.json of those that were taken whole) and ``bundle/``.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError, Code
from appliance.base.progress import Progress
from appliance.bundle import codes, manifest, release, volume
from appliance.bundle.forecast import CLUSTER_BYTES, require_room
from appliance.bundle.hashing import BLOCK_BYTES, hash_files
from appliance.bundle.manifest import Manifest
from appliance.bundle.settle import settle
from appliance.bundle.tree import list_folder
from appliance.bundle.volume import Piece, Volume

_JOURNAL_BYTES = 64 << 20  # of pieces, or so many of them, that are made durable together
_JOURNAL_PIECES = 256


@dataclass(frozen=True, kw_only=True)
class Joined:
    """`copied` bytes in this run; `files` of the whole bundle."""

    folder: Path
    manifest: str
    files: int
    copied: int


def draft_of(target: Path) -> Path:
    """Where an unfinished join of `target` lies."""
    return target.with_name(f".tmp-{target.name}.d")


def join(target: Path, folders: Sequence[Path], progress: Progress) -> Joined:
    """Take the volumes in `folders` into the bundle `target`, which is there when all were given.

    Raises:
        ApplianceError: APL-BUNDLE-044 others are missing yet: what was given is kept. -041 to -043, -045 to -048
            naming volume and file, -028 one cannot be read, -011 the target is something else, -049, APL-BASE-002,
            -006 another join of it is at work. There is no new `target` then, and what was good is kept.
    """
    given = read_set(folders)
    first = given[0][0]
    draft = draft_of(target)
    if target.exists():
        return _finished(target, draft, first)
    with atomic.exclusive(draft / "lock", wait=False):
        taking = _Taking(draft, first, progress)
        copied = 0
        for each, folder in given:
            if each.number not in taking.taken:
                copied += taking.take(each, folder)
        require_all(taking.taken.values(), str(draft))
        files = _finish(taking, target, progress)
    return Joined(folder=target, manifest=first.manifest, files=files, copied=copied)


def read_set(folders: Sequence[Path]) -> list[tuple[Volume, Path]]:
    """The volumes in these folders, in order of number.

    Raises:
        ApplianceError: APL-BUNDLE-041 one is none, -042 they are not of one set, -043 one was given twice.
    """
    given = sorted(((volume.read(each), each) for each in folders), key=lambda each: each[0].number)
    first = given[0][0]
    for each, folder in given:
        if _identity(each) != _identity(first):
            raise ApplianceError(
                codes.VOLUME_OTHER,
                f"{each.label} of {each.bundle} {each.version}, set {each.set[7:23]}; "
                f"the others are of {first.bundle} {first.version}, set {first.set[7:23]}",
                where=str(folder),
            )
    for (each, one), (other, two) in itertools.pairwise(given):
        if each.number == other.number:
            raise ApplianceError(codes.VOLUME_TWICE, f"{one} and {two} are both {each.label}", where=str(two))
    return given


def require_all(given: Collection[Volume], where: str) -> None:
    """Raises ApplianceError: APL-BUNDLE-044, not all volumes of the set are among these."""
    numbers, count = {each.number for each in given}, max(each.count for each in given)
    missing = [number for number in range(1, count + 1) if number not in numbers]
    if missing:
        told = ", ".join(map(str, missing[:20])) + (" and more" if len(missing) > 20 else "")
        raise ApplianceError(codes.VOLUMES_MISSING, f"of {count} volumes these are missing: {told}", where=where)


def compose(taken: Iterable[Volume]) -> dict[str, list[tuple[Volume, Piece]]]:
    """File of the bundle -> the pieces that make it up, in order and without a gap.

    Raises:
        ApplianceError: APL-BUNDLE-048.
    """
    composed: dict[str, list[tuple[Volume, Piece]]] = {}
    for each in taken:
        for piece in each.pieces:
            composed.setdefault(piece.path, []).append((each, piece))
    for path, pieces in composed.items():
        pieces.sort(key=lambda found: (found[1].offset, found[0].number))
        end = 0
        for _, piece in pieces:
            if piece.offset != end:
                raise ApplianceError(
                    codes.VOLUMES_DISAGREE, f"expected a piece at byte {end}, got one at {piece.offset}", where=path
                )
            end += piece.size_bytes
    return composed


def _identity(each: Volume) -> tuple[object, ...]:
    return each.set, each.manifest, each.most_bytes, each.count, each.bundle, each.version


def _finished(target: Path, draft: Path, first: Volume) -> Joined:
    """The target is there: that of these volumes, by an earlier run, or something else."""
    try:
        made = release.read_manifest(target)
    except ApplianceError:
        made = None
    if made is None or manifest.digest(made) != first.manifest:
        raise ApplianceError(codes.TARGET_EXISTS, f"{target} exists and is not this bundle", where=str(target))
    if not (draft / "bundle").exists():  # a kill between the rename and this
        atomic.remove_tree(draft)
    return Joined(folder=target, manifest=first.manifest, files=len(list_folder(target).sizes), copied=0)


class _Taking:
    """The unfinished join in `draft`. `taken` are the volumes that are in it whole."""

    def __init__(self, draft: Path, first: Volume, progress: Progress) -> None:
        self.draft = draft
        self.bundle = draft / "bundle"
        self._progress = progress
        self._begin(first)
        self.taken = {
            each.number: each
            for each in (
                volume.parse(path.read_bytes(), where=str(path))
                for path in sorted((draft / "volumes").glob("[0-9]*.json"))
            )
        }
        self._done = self._read_journal()

    def _begin(self, first: Volume) -> None:
        path = self.draft / "set"
        mine = " ".join(map(str, _identity(first))).encode() + b"\n"
        if not path.exists():
            atomic.write_bytes(path, mine)
        found = path.read_bytes()
        if found != mine:
            other = found.decode("utf-8", "replace").split()
            raise ApplianceError(
                codes.VOLUME_OTHER,
                f"volumes of {' '.join(other[-2:])}, set {other[0][7:23] if other else ''}, were begun with here; "
                f"these are of {first.bundle} {first.version}, set {first.set[7:23]}",
                where=str(self.draft),
            )
        for name in ("bundle", "volumes"):
            atomic.make_folder(self.draft / name)

    def _read_journal(self) -> set[tuple[int, int]]:
        path = self.draft / "journal"
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:  # a line that a kill cut short could be read as another one
            os.truncate(path, len(whole))
        return {(int(number), int(index)) for number, index in (line.split() for line in whole.splitlines())}

    def take(self, each: Volume, folder: Path) -> int:
        """Copy what is missing of a volume; gives the bytes."""
        _check_files(each, folder)
        todo = [(index, piece) for index, piece in enumerate(each.pieces) if (each.number, index) not in self._done]
        size = sum(piece.size_bytes for _, piece in todo)
        require_room(self.bundle, size + CLUSTER_BYTES * len(todo), len(todo))
        self._progress.begin(f"join {each.label}", size)
        try:
            with (self.draft / "journal").open("ab") as journal:
                waiting: list[tuple[int, Piece]] = []
                held = 0
                for index, piece in todo:
                    self._copy(each, piece, folder)
                    waiting.append((index, piece))
                    held += piece.size_bytes
                    if held >= _JOURNAL_BYTES or len(waiting) >= _JOURNAL_PIECES:
                        self._note(each.number, waiting, journal)
                        waiting, held = [], 0
                self._note(each.number, waiting, journal)
            atomic.write_bytes(self.draft / "volumes" / f"{each.number:03d}.json", volume.render(each))
        except OSError as error:
            where = str(error.filename or self.draft)
            raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=where) from error
        self.taken[each.number] = each
        return size

    def _copy(self, each: Volume, piece: Piece, folder: Path) -> None:
        target = self.bundle / piece.path
        target.parent.mkdir(parents=True, exist_ok=True)
        hasher, left = hashlib.sha256(), piece.size_bytes
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "wb", closefd=True) as out:
            out.seek(piece.offset)
            try:
                source = os.fdopen(os.open(folder / piece.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", 0)
            except OSError as error:
                raise _fault(codes.UNREADABLE, f"cannot be read: {error.strerror}", each, piece.name) from error
            with source:
                while left:
                    try:
                        block = source.read(min(BLOCK_BYTES, left))
                    except OSError as error:
                        raise _fault(codes.UNREADABLE, f"cannot be read: {error.strerror}", each, piece.name) from error
                    if not block:
                        raise _fault(codes.PIECE_CHANGED, f"it ends {left} bytes before its size", each, piece.name)
                    hasher.update(block)
                    out.write(block)
                    left -= len(block)
                    self._progress.advance(len(block))
        found = PREFIX + hasher.hexdigest()
        if found != piece.digest:
            raise _fault(codes.PIECE_CHANGED, f"expected {piece.digest}, got {found}", each, piece.name)

    def _note(self, number: int, pieces: Sequence[tuple[int, Piece]], journal: BinaryIO) -> None:
        """Make these pieces durable, and only then write down that they are there."""
        for path in dict.fromkeys(self.bundle / piece.path for _, piece in pieces):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        for folder in dict.fromkeys((self.bundle / piece.path).parent for _, piece in pieces):
            atomic.fsync_folder(folder)
        journal.write(b"".join(b"%d %d\n" % (number, index) for index, _ in pieces))
        journal.flush()
        os.fsync(journal.fileno())


def _check_files(each: Volume, folder: Path) -> None:
    """Rule 3."""
    listing = list_folder(folder)
    for fault in listing.faults:
        code = codes.UNREADABLE if fault.code is codes.UNREADABLE else codes.PIECE_EXTRA
        raise _fault(code, fault.detail, each, fault.path)
    wanted = {piece.name: piece.size_bytes for piece in each.pieces}
    for name, size in wanted.items():
        there = listing.sizes.get(name)
        if there is None:
            raise _fault(codes.PIECE_MISSING, f"expected {size} bytes", each, name)
        if there != size:
            raise _fault(codes.PIECE_CHANGED, f"expected {size} bytes, got {there}", each, name)
    for name in listing.sizes:
        if name not in wanted and name != volume.NAME:
            raise _fault(codes.PIECE_EXTRA, "volume.json does not list it", each, name)


def _finish(taking: _Taking, target: Path, progress: Progress) -> int:
    """Check that what was taken is the bundle, and give it its name; gives the number of files."""
    expected = {path: [piece for _, piece in found] for path, found in compose(taking.taken.values()).items()}
    made = release.read_manifest(taking.bundle)
    _check_bundle(taking, made, expected, progress)
    try:
        settle(taking.bundle, made)
        taking.bundle.rename(target)
        atomic.fsync_folder(target.parent)
    except OSError as error:
        raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(target)) from error
    with contextlib.suppress(OSError):  # what is left is removed by the next run
        atomic.remove_tree(taking.draft)
    return len(expected)


def _check_bundle(taking: _Taking, made: Manifest, composed: dict[str, list[Piece]], progress: Progress) -> None:
    first = next(iter(taking.taken.values()))
    found = manifest.digest(made)
    if found != first.manifest:
        raise ApplianceError(codes.VOLUMES_DISAGREE, f"expected {first.manifest}, got {found}", where=manifest.NAME)
    members = {each.path: each for each in made.members}
    signatures = {path: pieces for path, pieces in composed.items() if path not in members and path != manifest.NAME}
    for path, pieces in signatures.items():
        if not manifest.is_signature(path) or len(pieces) != 1:
            raise ApplianceError(codes.VOLUMES_DISAGREE, "no manifest lists it", where=path)
    if volume.set_of(found, first.most_bytes, {path: each[0].digest for path, each in signatures.items()}) != first.set:
        raise ApplianceError(codes.VOLUMES_DISAGREE, "other signatures lie beside the manifest than when it was split")
    sizes = list_folder(taking.bundle).sizes
    to_hash = {}
    for path, member in members.items():
        pieces = composed.get(path, [])
        size = sum(piece.size_bytes for piece in pieces)
        if not pieces or size != member.size_bytes or sizes.get(path) != size:
            told = f"expected {member.size_bytes} bytes, got {size if pieces else 'no piece'}"
            raise ApplianceError(codes.VOLUMES_DISAGREE, told, where=path)
        if len(pieces) > 1:
            to_hash[path] = size
        elif pieces[0].digest != member.digest:
            told = f"expected {member.digest}, got {pieces[0].digest}"
            raise ApplianceError(codes.VOLUMES_DISAGREE, told, where=path)
    for path in sizes:
        if path not in composed:
            raise ApplianceError(codes.VOLUMES_DISAGREE, "no volume lists it", where=path)
    progress.begin("check files that were cut", sum(to_hash.values()))
    for each in hash_files(taking.bundle, to_hash, progress):
        if each.fault or each.digest != members[each.path].digest:
            told = each.fault or f"expected {members[each.path].digest}, got {each.digest}"
            raise ApplianceError(codes.VOLUMES_DISAGREE, told, where=each.path)


def _fault(code: Code, detail: str, each: Volume, name: str) -> ApplianceError:
    return ApplianceError(code, detail, where=f"{each.label}: {name}")
