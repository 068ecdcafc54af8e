"""What this host has verified before: per bundle the highest release. Kept in the host's memory folder.

A memory that cannot be read is an error: a rollback would go unnoticed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.bundle import codes, manifest
from appliance.bundle.manifest import Manifest

NAME = "releases.json"


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest` is the digest of its manifest."""

    version: str
    manifest: str


def check(memory: Path, found: Manifest, digest: str) -> str:
    """Says what was seen before.

    Raises:
        ApplianceError: APL-BUNDLE-027 the bundle is older or another one, or the memory cannot be read.
    """
    before = read(memory).get(found.bundle)
    if before is None:
        return "none was seen before"
    told = f"{before.version} was seen before"
    if found.release < manifest.release_of(before.version):
        raise ApplianceError(codes.ROLLED_BACK, f"this is {found.version}, {told}")
    if found.version == before.version and digest != before.manifest:
        raise ApplianceError(codes.ROLLED_BACK, f"{told}, with another manifest: {before.manifest}")
    return told


def remember(memory: Path, found: Manifest, digest: str) -> None:
    """Raises ApplianceError: APL-BASE-002, APL-BUNDLE-027."""
    known = read(memory)
    known[found.bundle] = Release(version=found.version, manifest=digest)
    atomic.write_bytes(memory / NAME, msgspec.json.encode(known, order="sorted") + b"\n")


def read(memory: Path) -> dict[str, Release]:
    """Raises ApplianceError: APL-BUNDLE-027, it cannot be read."""
    path = memory / NAME
    try:
        known = msgspec.json.decode(path.read_bytes(), type=dict[str, Release])
        for each in known.values():
            manifest.release_of(each.version)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ApplianceError(codes.ROLLED_BACK, f"the memory cannot be read: {error}", where=str(path)) from error
    return known
