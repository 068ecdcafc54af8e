"""Splits a bundle into volumes of a given size: folders of plain files that a scanner can look at, one by one.

Rules
1. The same bundle and size give the same volumes, byte for byte.
2. What a reader needs first is on the first volume: the manifest and what signs it, START-HERE.txt, the verifiers.
3. Every other file, in order of path, goes whole onto the first volume with room. One that is greater than a volume is
   cut into pieces, from an empty volume on; others fill the room behind the last of them.
4. A volume is no greater than asked for, on a file system with clusters of `CLUSTER_BYTES` too.
5. A volume appears complete, by rename. A rerun keeps those that are there and makes the others.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes, manifest, release, volume
from appliance.bundle.forecast import CLUSTER_BYTES, require_room
from appliance.bundle.hashing import BLOCK_BYTES, hash_file
from appliance.bundle.manifest import Manifest
from appliance.bundle.member_path import fault_of
from appliance.bundle.settle import settle
from appliance.bundle.volume import MAX_VOLUMES, Piece, Volume

_RECORD_BYTES = 320  # of one piece in volume.json, beside its two names
_SIZE = re.compile(r"([1-9]\d{0,15})(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_UNITS = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a part of a file of the bundle is to lie: in the file `name` of a volume."""

    path: str
    name: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Split:
    """What a run made; `kept` were there."""

    count: int
    made: tuple[int, ...]
    kept: tuple[int, ...]
    size_bytes: int


@dataclass(kw_only=True)
class _Room:
    """A volume that is being filled."""

    free: int
    cluster: int
    places: list[Place] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)

    def cost(self, path: str, size: int) -> int:
        return _clusters(size, self.cluster) + _record(path) + self.cluster * len(_folders(path) - self.folders)

    def put(self, place: Place) -> None:
        self.free -= self.cost(place.name, place.size_bytes)
        self.folders |= _folders(place.name)
        self.places.append(place)


def parse_size(text: str) -> int:
    """Bytes of ``4GB`` (4 x 10^9), ``4GiB`` (4 x 2^30) or ``4000000000``.

    Raises:
        ValueError: it is none of these.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a size such as 4GB, 25GB or a number of bytes, got {text!r}")
    unit = match[2] or ""
    return int(match[1]) * int((1024 if "i" in unit else 1000) ** _UNITS[unit[:1]])


def plan(
    sizes: Mapping[str, int], first: Iterable[str], most_bytes: int, *, cluster: int = CLUSTER_BYTES
) -> list[list[Place]]:
    """What lies on each volume, in order of name. Pure.

    Args:
        sizes: path -> bytes of all files of the bundle.
        first: those that must be whole on the first volume.

    Raises:
        ApplianceError: APL-BUNDLE-040.
    """
    leading = sorted(first)
    rooms = [_Room(free=most_bytes - cluster, cluster=cluster)]  # a cluster is for volume.json itself, beside records
    for path in leading:
        rooms[0].put(Place(path=path, name=path, offset=0, size_bytes=sizes[path]))
    if rooms[0].free < 0:
        least = most_bytes - rooms[0].free
        raise ApplianceError(codes.VOLUME_SIZE, f"the first volume needs {least} bytes, {most_bytes} were given")
    for path in sorted(set(sizes) - set(leading)):
        size = sizes[path]
        empty = _Room(free=most_bytes - cluster, cluster=cluster)
        if empty.cost(path, size) > empty.free:
            _cut(rooms, path, size, most_bytes, cluster)
            continue
        room = next((each for each in rooms if each.cost(path, size) <= each.free), None)
        if room is None:
            rooms.append(room := empty)
        room.put(Place(path=path, name=path, offset=0, size_bytes=size))
        if len(rooms) > MAX_VOLUMES:
            break
    if len(rooms) > MAX_VOLUMES:
        raise ApplianceError(codes.VOLUME_SIZE, f"more than {MAX_VOLUMES} volumes of {most_bytes} bytes are needed")
    names = [place.name for room in rooms for place in room.places]
    if len(set(names)) != len(names) or volume.NAME in names:
        raise ApplianceError(codes.VOLUME_SIZE, "a file of the bundle has the name of a piece of another one")
    return [sorted(room.places, key=lambda place: place.name) for room in rooms]


def _cut(rooms: list[_Room], path: str, size: int, most_bytes: int, cluster: int) -> None:
    offset, number = 0, 0
    while offset < size and len(rooms) <= MAX_VOLUMES:
        number += 1
        name = volume.piece_name(path, number)
        room = _Room(free=most_bytes - cluster, cluster=cluster)
        payload = (room.free - room.cost(name, 0)) // cluster * cluster
        if payload <= 0 or fault_of(name):
            raise ApplianceError(
                codes.VOLUME_SIZE, fault_of(name) or f"{most_bytes} bytes hold no piece of it", where=path
            )
        part = min(payload, size - offset)
        room.put(Place(path=path, name=name, offset=offset, size_bytes=part))
        rooms.append(room)
        offset += part


def split(folder: Path, target: Path, most_bytes: int, progress: Progress, *, only: int | None = None) -> Split:
    """Write the volumes of the bundle in `folder` as ``vol-001`` and so on into the folder `target`.

    Args:
        only: the number of the one volume to write; all when left out.

    Raises:
        ApplianceError: APL-BUNDLE-011 another volume has the name of one, -020 to -025 and -028 `folder` is no bundle
            that could be verified, -029 it is none, -040, -049, APL-BASE-002. No half volume is left by its name.
    """
    made = release.read_manifest(folder)
    sizes = release.listed_files(folder, made)
    parts = {each.path: each.part for each in made.members}
    signatures = [path for path in sizes if path not in parts and path != manifest.NAME]
    leading = {manifest.NAME, *signatures, *(path for path, part in parts.items() if part in ("start", "verifier"))}
    planned = plan(sizes, leading, most_bytes)
    if only is not None and not 1 <= only <= len(planned):
        raise ApplianceError(codes.VOLUME_SIZE, f"there are volumes 1 to {len(planned)}, not {only}")
    hashed = {path: hash_file(folder, path, sizes[path], lambda _: None) for path in signatures}
    for path, each in hashed.items():
        if each.fault:
            raise ApplianceError(codes.UNREADABLE, each.fault, where=path)
    digest = manifest.digest(made)
    identity = volume.set_of(digest, most_bytes, {path: each.digest for path, each in hashed.items()})
    known = {each.path: each.digest for each in made.members} | {path: each.digest for path, each in hashed.items()}
    writer = _Writer(
        folder=folder, target=target, made=made, identity=identity, most_bytes=most_bytes,
        digests=known | {manifest.NAME: digest},
        sizes=sizes, progress=progress,
    )  # fmt: skip
    wanted = [number for number in range(1, len(planned) + 1) if only in (None, number)]
    kept = tuple(number for number in wanted if writer.has(number, len(planned)))
    todo = [number for number in wanted if number not in kept]
    places = [place for number in todo for place in planned[number - 1]]
    needed = sum(_clusters(place.size_bytes, CLUSTER_BYTES) + _record(place.name) for place in places)
    require_room(target, needed, len(places) + len(todo))
    progress.begin("split", sum(place.size_bytes for place in places))
    for number in todo:
        writer.write(number, planned)
    return Split(count=len(planned), made=tuple(todo), kept=kept, size_bytes=sum(place.size_bytes for place in places))


@dataclass(kw_only=True)
class _Writer:
    folder: Path
    target: Path
    made: Manifest
    identity: str
    most_bytes: int
    digests: Mapping[str, str]
    sizes: Mapping[str, int]
    progress: Progress
    running: dict[str, tuple[Any, int]] = field(default_factory=dict)  # cut file -> hasher, bytes of it so far

    def has(self, number: int, count: int) -> bool:
        """Whether this very volume is there already; raises APL-BUNDLE-011 when another one is."""
        place = self.target / volume.folder_name(number)
        if not os.path.lexists(place):
            return False
        try:
            there = volume.read(place)
            same = (there.set, there.number, there.count) == (self.identity, number, count)
        except ApplianceError:
            same = False
        if not same:
            raise ApplianceError(codes.TARGET_EXISTS, f"{place} is not this volume", where=str(place))
        return True

    def write(self, number: int, planned: list[list[Place]]) -> None:
        place = self.target / volume.folder_name(number)
        draft = self.target / f".tmp-{place.name}.d"
        try:
            atomic.remove_tree(draft)
            atomic.make_folder(draft)
            pieces = [self._piece(each, draft) for each in planned[number - 1]]
            written = Volume(
                format="appliance-volume/1",
                bundle=self.made.bundle,
                version=self.made.version,
                manifest=self.digests[manifest.NAME],
                set=self.identity,
                most_bytes=self.most_bytes,
                number=number,
                count=len(planned),
                pieces=pieces,
            )
            (draft / volume.NAME).write_bytes(volume.render(written))
            settle(draft, self.made)
            draft.rename(place)
            atomic.fsync_folder(self.target)
        except OSError as error:
            atomic.remove_tree(draft)
            where = str(error.filename or place)
            raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=where) from error
        except BaseException:
            atomic.remove_tree(draft)
            raise

    def _piece(self, place: Place, draft: Path) -> Piece:
        path = draft / place.name
        path.parent.mkdir(parents=True, exist_ok=True)
        hasher, left = hashlib.sha256(), place.size_bytes
        whole, before = self.running.get(place.path) or (hashlib.sha256(), 0)
        if place.size_bytes == self.sizes[place.path]:
            whole = hasher  # one piece is the whole: its bytes are hashed once
        with path.open("wb") as out:
            try:
                source = (self.folder / place.path).open("rb", buffering=0)
            except OSError as error:
                raise _unreadable(place.path, error) from error
            with source:
                source.seek(place.offset)
                while left:
                    try:
                        block = source.read(min(BLOCK_BYTES, left))
                    except OSError as error:
                        raise _unreadable(place.path, error) from error
                    if not block:
                        raise ApplianceError(
                            codes.MEMBER_CHANGED, f"it ends {left} bytes before its size", where=place.path
                        )
                    hasher.update(block)
                    if before == place.offset and whole is not hasher:
                        whole.update(block)
                    out.write(block)
                    left -= len(block)
                    self.progress.advance(len(block))
        digest, expected = PREFIX + hasher.hexdigest(), self.digests[place.path]
        if before == place.offset:  # else a piece before it lay on a volume that was kept: the join finds out
            before += place.size_bytes
            self.running[place.path] = (whole, before)
            found = PREFIX + whole.hexdigest()
            if before == self.sizes[place.path] and found != expected:
                raise ApplianceError(codes.MEMBER_CHANGED, f"expected {expected}, got {found}", where=place.path)
        return Piece(path=place.path, name=place.name, offset=place.offset, size_bytes=place.size_bytes, digest=digest)


def _unreadable(path: str, error: OSError) -> ApplianceError:
    return ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=path)


def _clusters(size: int, cluster: int) -> int:
    return -(-size // cluster) * cluster


def _record(path: str) -> int:
    return _RECORD_BYTES + 2 * len(path)


def _folders(path: str) -> set[str]:
    parts = path.split("/")
    return {"/".join(parts[:end]) for end in range(1, len(parts))}
