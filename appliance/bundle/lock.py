"""The lock of a bundle, ``bundles/<name>.lock.json``: every input from elsewhere, pinned by digest.

What our own repository gives (our wheel, documentation, Ansible, verifiers) is not in it: the manifest says which tree
that was. No host name of a registry stands in a lock.

Rules
1. Inputs are in order of path, each path once; `path` is where the file lies in the bundle (`member_path`).
2. `wanted_by` says why a file is there: ``role:nginx``, ``environment:runtime``, ``server:kafka`` (a name in the
   declaration), or ``deb:libssl3`` (another input of that kind and name). Following it ends at the declaration.
3. `base` are the Debian packages that a host has before anything is installed; they are in no bundle.
4. The form is JSON with a key a line, sorted, so that a difference can be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.member_path import case_clash, fault_of

FORMAT = "appliance-bundle-lock/1"
Kind = Literal["deb", "wheel", "server", "model", "data"]
Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]


class Package(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Debian package: one of the base, or the source package of an input."""

    name: str
    version: str


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file from elsewhere.

    Attributes:
        name, version: of the package, distribution, server or model that the file is of; a server has many files.
        path: in the bundle.
        licence: SPDX expression where the origin gives one, else its own words; empty when it says nothing.
        origin: where it comes from in words that hold at any mirror: ``Debian bookworm main``, ``PyPI``,
            ``Go github.com/minio/minio``.
        source: of a Debian package the source package that it was built from: advisories name that one.
    """

    kind: Kind
    name: str
    version: str
    path: str
    size_bytes: Annotated[int, Meta(ge=0)]
    digest: Digest
    executable: bool = False
    licence: str = ""
    origin: str
    source: Package | msgspec.UnsetType = msgspec.UNSET
    wanted_by: Annotated[list[str], Meta(min_length=1)]


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`made_at` (RFC 3339, seconds, UTC) is the only instant that a bundle tells: every date in it is this one."""

    format: Literal["appliance-bundle-lock/1"]
    bundle: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z")]
    made_at: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
    architecture: Literal["amd64"]
    base: list[Package]
    inputs: list[Input]


def parse(data: bytes, *, where: str) -> Lock:
    """Raises ApplianceError: APL-BUNDLE-002, naming the key or input."""
    try:
        lock = msgspec.json.decode(data, type=Lock)
    except msgspec.DecodeError as error:
        raise ApplianceError(codes.LOCK_INVALID, str(error), where=where) from error
    fault = _fault(lock)
    if fault:
        raise ApplianceError(codes.LOCK_INVALID, fault, where=where)
    return lock


def load(path: Path) -> Lock:
    """Raises ApplianceError: APL-BUNDLE-002."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ApplianceError(codes.LOCK_INVALID, f"cannot be read: {error.strerror}", where=str(path)) from error
    return parse(data, where=str(path))


def render(lock: Lock) -> bytes:
    """``parse(render(lock)) == lock``."""
    return msgspec.json.format(msgspec.json.encode(lock, order="sorted"), indent=1) + b"\n"


def _fault(lock: Lock) -> str:
    paths = [each.path for each in lock.inputs]
    if paths != sorted(set(paths)):
        return "expected inputs in order of path, each path once"
    for each in lock.inputs:
        fault = fault_of(each.path)
        if fault:
            return f"{each.path[:200]!r}: {fault}"
    clash = case_clash(paths)
    return f"{clash[0]} and {clash[1]} differ in case only" if clash else ""
