"""All volumes of a bundle, looked at as the bundle that they make up, without joining them.

Rules
1. What a volume says of itself only tells where the pieces are. What they are is judged by `verify`, by the manifest.
2. A file that is no piece is a file of the bundle by its name, so that the verdict names it as one that nobody lists.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.digest import PREFIX
from appliance.base.progress import Progress
from appliance.bundle import join, volume
from appliance.bundle.hashing import BLOCK_BYTES, Hashed, hash_files
from appliance.bundle.tree import Listing, list_folder


@dataclass(frozen=True, kw_only=True)
class VolumeSet:
    """A `verify.Medium`. `places` are the files that make up each file of the bundle, with their bytes, in order."""

    folder: Path
    listing: Listing
    places: Mapping[str, Sequence[tuple[Path, str, int]]]

    def list(self) -> Listing:
        return self.listing

    def hash(self, sizes: Mapping[str, int], progress: Progress) -> Iterator[Hashed]:
        whole: dict[Path, dict[str, int]] = {}
        for path, size in sizes.items():
            if self._is_whole(path):
                whole.setdefault(self.places[path][0][0], {})[path] = size
        for folder, some in whole.items():
            yield from hash_files(folder, some, progress)
        for path in sorted(sizes):
            if not self._is_whole(path):
                yield self._hash_cut(path, progress)

    def _is_whole(self, path: str) -> bool:
        return len(self.places[path]) == 1 and self.places[path][0][1] == path

    def _hash_cut(self, path: str, progress: Progress) -> Hashed:
        hasher, read = hashlib.sha256(), 0
        try:
            for folder, name, size in self.places[path]:
                handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                with os.fdopen(handle, "rb", buffering=0) as file:
                    left = size + 1  # one more: a piece that grows meanwhile is another one
                    while left and (block := file.read(min(BLOCK_BYTES, left))):
                        hasher.update(block)
                        left -= len(block)
                        read += len(block)
                        progress.advance(len(block))
        except OSError as error:
            return Hashed(path=path, digest="", size_bytes=read, fault=f"cannot be read: {error.strerror}")
        return Hashed(path=path, digest=PREFIX + hasher.hexdigest(), size_bytes=read, fault="")


def folders_of(given: Sequence[Path]) -> list[Path]:
    """The folders of volumes among these: those themselves, or ``vol-NNN`` below the only one; empty when none is."""
    if all((each / volume.NAME).is_file() for each in given):
        return list(given)
    if len(given) == 1 and given[0].is_dir():
        return sorted(each for each in given[0].glob("vol-*") if (each / volume.NAME).is_file())
    return []


def open_set(folders: Sequence[Path]) -> VolumeSet:
    """The bundle that these volumes make up; no file of it is opened.

    Raises:
        ApplianceError: APL-BUNDLE-041 to -044 they are not the volumes of one set, each once; -048 they overlap or
            leave a gap; -028 one cannot be read.
    """
    given = join.read_set(folders)
    join.require_all([each for each, _ in given], str(given[0][1]))
    listing = Listing()
    there: dict[tuple[int, str], int] = {}
    names = {(each.number, piece.name) for each, _ in given for piece in each.pieces}
    places: dict[str, list[tuple[Path, str, int]]] = {}
    for each, folder in given:
        found = list_folder(folder)
        listing.faults += found.faults
        for name, size in found.sizes.items():
            if (each.number, name) in names:
                there[each.number, name] = size
            elif name != volume.NAME:
                listing.sizes[name] = size
                places[name] = [(folder, name, size)]
    by_number = {each.number: folder for each, folder in given}
    for path, pieces in join.compose(each for each, _ in given).items():
        at = [(by_number[each.number], piece.name, there.get((each.number, piece.name), -1)) for each, piece in pieces]
        if all(size >= 0 for _, _, size in at):
            listing.sizes[path] = sum(size for _, _, size in at)
            places[path] = at
    return VolumeSet(folder=given[0][1], listing=listing, places=places)
