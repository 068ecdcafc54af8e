"""``manifest.json``: every file of a bundle, with its size and digest. Its own digest is what is signed.

Rules
1. The form is canonical JSON (`base.canonical`), so one content has one digest.
2. `members` are all files of the bundle in order of path, except the manifest itself and what lies under
   `SIGNATURES`: a second builder has other keys, and makes the same members.
3. A reader takes at most `MAX_BYTES` and `MAX_MEMBERS`, and believes nothing of it before the signature holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.lock import Digest
from appliance.bundle.member_path import case_clash, fault_of

NAME = "manifest.json"
SIGNATURES = ("trust/", "apt/dists/appliance/InRelease", "apt/dists/appliance/Release.gpg", "apt/appliance.gpg")
"""What a builder signs with, by name or as a folder: not members, the same nowhere."""
MAX_BYTES = 64 << 20
MAX_MEMBERS = 200_000
Part = Literal["start", "verifier", "apt", "wheels", "servers", "models", "ansible", "docs", "sbom", "lock"]


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file. `executable` is what an installation makes of it; a medium may forget modes."""

    path: str
    size_bytes: Annotated[int, Meta(ge=0)]
    digest: Digest
    executable: bool
    part: Part


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    version: of the product, ``MAJOR.MINOR.PATCH``; it grows with every release, and a host refuses a lower one than
        it has seen, or another bundle of the same.
    made_at: the instant of the lock.
    lock: digest of the lock, which is a member.
    source: digest of the repository's tree that our own parts were made from.
    """

    format: Literal["appliance-bundle/1"]
    bundle: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z")]
    version: Annotated[str, Meta(pattern=r"^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\Z")]
    made_at: str
    architecture: str
    lock: Digest
    source: Digest
    members: list[Member]

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.members)

    @property
    def release(self) -> tuple[int, ...]:
        """The version as it is compared."""
        return release_of(self.version)


def render(manifest: Manifest) -> bytes:
    return canonical(msgspec.to_builtins(manifest))


def digest(manifest: Manifest) -> str:
    return digest_bytes(render(manifest))


def parse(data: bytes, *, where: str = NAME) -> Manifest:
    """Raises ApplianceError: APL-BUNDLE-020, naming what is wrong with it."""
    if len(data) > MAX_BYTES:
        raise ApplianceError(
            codes.MANIFEST_INVALID, f"expected at most {MAX_BYTES} bytes, got {len(data)}", where=where
        )
    try:
        manifest = msgspec.convert(parse_canonical(data), Manifest, strict=True)
    except msgspec.ValidationError as error:
        raise ApplianceError(codes.MANIFEST_INVALID, str(error), where=where) from error
    except ApplianceError as error:
        raise ApplianceError(codes.MANIFEST_INVALID, error.message, where=where) from error
    fault = _fault(manifest.members)
    if fault:
        raise ApplianceError(codes.MANIFEST_INVALID, fault, where=where)
    return manifest


def release_of(version: str) -> tuple[int, ...]:
    """``(1, 10, 0)`` of ``1.10.0``."""
    return tuple(map(int, version.split(".")))


def is_signature(path: str) -> bool:
    return any(path == each or (each.endswith("/") and path.startswith(each)) for each in SIGNATURES)


def _fault(members: Sequence[Member]) -> str:
    if len(members) > MAX_MEMBERS:
        return f"expected at most {MAX_MEMBERS} members, got {len(members)}"
    paths = [each.path for each in members]
    if paths != sorted(set(paths)):
        return "expected members in order of path, each path once"
    for path in paths:
        fault = fault_of(path)
        if fault or is_signature(path) or path == NAME:
            return f"{path[:200]!r}: {fault or 'cannot be a member'}"
    clash = case_clash(paths)
    if clash:
        return f"{clash[0]} and {clash[1]} differ in case only"
    return ""
