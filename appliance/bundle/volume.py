"""``volume.json``: what lies on one volume of a split bundle, and where in the bundle it belongs.

Rules
1. The form is canonical JSON. It is not signed: it says how to put a bundle together, not whether to believe it.
2. A piece is a file of the bundle, or a part of one: bytes from `offset` on. A whole file lies on the volume under its
   own path; a part under the path and ``.piece-NNNN``, counted from 1.
3. `set` is the same on all volumes of one split. It is over the manifest, the greatest size of a volume, and the files
   that no manifest lists because they sign it.
4. A reader takes at most `manifest.MAX_BYTES`, and no name that `member_path` does not allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.digest import digest_json
from appliance.base.errors import ApplianceError
from appliance.bundle import codes, manifest
from appliance.bundle.lock import Digest
from appliance.bundle.member_path import fault_of

NAME = "volume.json"
MAX_VOLUMES = 999
_PIECE = ".piece-{:04d}"


class Piece(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`size_bytes` from `offset` on of the bundle's file `path`, in the volume's file `name`."""

    path: str
    name: str
    offset: Annotated[int, Meta(ge=0)]
    size_bytes: Annotated[int, Meta(ge=0)]
    digest: Digest


class Volume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    manifest: digest of the bundle's manifest.
    most_bytes: the size that was asked for.
    number: from 1 to `count`.
    """

    format: Literal["appliance-volume/1"]
    bundle: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z")]
    version: str
    manifest: Digest
    set: Digest
    most_bytes: Annotated[int, Meta(ge=1)]
    number: Annotated[int, Meta(ge=1, le=MAX_VOLUMES)]
    count: Annotated[int, Meta(ge=1, le=MAX_VOLUMES)]
    pieces: list[Piece]

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"volume {self.number} of {self.count}"


def folder_name(number: int) -> str:
    """``vol-001``."""
    return f"vol-{number:03d}"


def piece_name(path: str, number: int) -> str:
    """What the `number`-th part of `path` is called on a volume."""
    return path + _PIECE.format(number)


def set_of(manifest_digest: str, most_bytes: int, signatures: Mapping[str, str]) -> str:
    """The identity of a set of volumes; `signatures` are path -> digest of the files that are no members."""
    return digest_json({"manifest": manifest_digest, "most_bytes": most_bytes, "signatures": dict(signatures)})


def render(volume: Volume) -> bytes:
    return canonical(msgspec.to_builtins(volume))


def read(folder: Path) -> Volume:
    """The volume in `folder`; its files are not looked at.

    Raises:
        ApplianceError: APL-BUNDLE-041.
    """
    path = folder / NAME
    try:
        with path.open("rb") as file:
            data = file.read(manifest.MAX_BYTES + 1)
    except OSError as error:
        raise ApplianceError(codes.VOLUME_INVALID, f"cannot be read: {error.strerror}", where=str(path)) from error
    return parse(data, where=str(path))


def parse(data: bytes, *, where: str = NAME) -> Volume:
    """Raises ApplianceError: APL-BUNDLE-041, naming what is wrong with it."""
    try:
        if len(data) > manifest.MAX_BYTES:
            raise ValueError(f"expected at most {manifest.MAX_BYTES} bytes")
        volume = msgspec.convert(parse_canonical(data), Volume, strict=True)
        _check(volume)
    except ApplianceError as error:
        raise ApplianceError(codes.VOLUME_INVALID, error.message, where=where) from error
    except ValueError as error:
        raise ApplianceError(codes.VOLUME_INVALID, str(error), where=where) from error
    return volume


def _check(volume: Volume) -> None:
    if volume.number > volume.count:
        raise ValueError(f"number {volume.number} of {volume.count}")
    if len(volume.pieces) > manifest.MAX_MEMBERS * 2:
        raise ValueError(f"{len(volume.pieces)} pieces")
    names = [each.name for each in volume.pieces]
    if names != sorted(set(names)):
        raise ValueError("expected pieces in order of name, each name once")
    for each in volume.pieces:
        fault = fault_of(each.path) or fault_of(each.name)
        if fault or each.name == NAME:
            raise ValueError(f"{each.name[:200]!r}: {fault or 'cannot be a piece'}")
