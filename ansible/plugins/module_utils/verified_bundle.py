"""A bundle that was verified and copied to this host: what its manifest and its lock say, and its files by digest.

Rules
1. It runs with the host's own Python and nothing but the standard library.
2. The manifest is believed when it has the digest that the caller was given; every other file when it has the digest
   that the manifest says, of the very bytes that are used.
3. Nothing of the bundle is changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK_BYTES = 1 << 20
OWN_WHEEL = "wheels/appliance-"


class BundleError(Exception):
    """The bundle is not what was verified, or has not what is asked of it. The message is for the operator."""


@dataclass(frozen=True)
class Wheel:
    name: str
    version: str
    digest: str  # sha256:...
    path: str

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version} --hash={self.digest}"


@dataclass(frozen=True)
class VerifiedBundle:
    """`digests`: of every member, by path; `executable`: which of them are programs."""

    folder: Path
    manifest_digest: str
    bundle: str
    digests: dict[str, str]
    executable: frozenset[str]

    def read(self, path: str) -> bytes:
        """Raises BundleError: the file is not what was verified."""
        return b"".join(self.blocks(path))

    def blocks(self, path: str) -> Iterator[bytes]:
        """The bytes of a member. Whoever keeps them must take all: the last step compares their digest."""
        wanted = self.digests.get(path)
        if wanted is None:
            raise BundleError(f"{path}: the manifest does not list it")
        hasher = hashlib.sha256()
        with _opened(self.folder / path) as file:
            while block := file.read(BLOCK_BYTES):
                hasher.update(block)
                yield block
        found = f"sha256:{hasher.hexdigest()}"
        if found != wanted:
            raise BundleError(f"{path}: expected {wanted}, got {found}; copy the bundle again")

    def copy(self, path: str, target: Path) -> None:
        """`target` is new; its folder is made. Raises BundleError."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for block in self.blocks(path):
                file.write(block)
        target.chmod(0o755 if path in self.executable else 0o644)

    def below(self, folder: str) -> list[str]:
        """Paths of the members below `folder`, in order. Raises BundleError: there are none."""
        found = sorted(path for path in self.digests if path.startswith(f"{folder}/"))
        if not found:
            raise BundleError(f"{folder}: the bundle {self.bundle} has none")
        return found

    def wheels(self, environment: str, *, own: bool) -> list[Wheel]:
        """Those that an environment consists of. `own`: our own wheel, which the lock does not name, as well.

        Raises:
            BundleError: the bundle has no such environment.
        """
        locked = json.loads(self.read(f"{self.bundle}.lock.json"))["inputs"]
        found = [
            Wheel(name=each["name"], version=each["version"], digest=each["digest"], path=each["path"])
            for each in locked
            if each["kind"] == "wheel" and f"environment:{environment}" in each["wanted_by"]
        ]
        if not found:
            raise BundleError(f"the bundle {self.bundle} has no environment {environment}")
        if own:
            found += [
                Wheel(name="appliance", version=path.split("-")[1], digest=digest, path=path)
                for path, digest in self.digests.items()
                if path.startswith(OWN_WHEEL)
            ]
        return found


def load(folder: Path, manifest_digest: str) -> VerifiedBundle:
    """Raises BundleError: the manifest is another one, or there is none."""
    with _opened(folder / "manifest.json") as file:
        data = file.read()
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != manifest_digest:
        raise BundleError(f"{folder / 'manifest.json'}: expected {manifest_digest}, got {found}")
    manifest = json.loads(data)
    return VerifiedBundle(
        folder=folder,
        manifest_digest=found,
        bundle=manifest["bundle"],
        digests={each["path"]: each["digest"] for each in manifest["members"]},
        executable=frozenset(each["path"] for each in manifest["members"] if each["executable"]),
    )


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
