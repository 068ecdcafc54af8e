"""A small bundle for tests: plain files in the layout of a real one, signed by a builder of a releasing site."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.base.digest import digest_bytes
from appliance.base.progress import NoProgress
from appliance.bundle import codes, manifest, own_parts, release
from appliance.bundle.manifest import Manifest, Member, Part
from appliance.trust import keys, rotation
from appliance.trust.ceremony import role_identity
from appliance.trust.signer import Signer
from tests.unit.trust.trusting import TrustingSite, make_site

BUILDER = "builder/ci"
DEB = "apt/pool/tree_2.1.0-1_amd64.deb"
FILES: Mapping[str, tuple[bytes, bool, Part]] = {
    "apt/dists/appliance/Release": (b"Suite: appliance\n", False, "apt"),
    "apt/dists/appliance/main/binary-amd64/Packages": (b"Package: tree\n", False, "apt"),
    DEB: (b"!<arch>\n" + bytes(5000), False, "apt"),
    "docs/index.html": (b"<!doctype html>\n", False, "docs"),
    "models/empty.bin": (b"", False, "models"),
    "sbom/bundle.cdx.json": (b"{}\n", False, "sbom"),
    "servers/minio/minio": (b"\x7fELF" + bytes(70_000), True, "servers"),
    "wheels/appliance-1.2.0-py3-none-any.whl": (b"PK\x03\x04" + bytes(3000), False, "wheels"),
}
SIGNATURES = {
    "apt/appliance.gpg": b"a key",
    "apt/dists/appliance/InRelease": b"a signed file\n",
    "apt/dists/appliance/Release.gpg": b"a signature\n",
}


class BuilderKey:
    """The key of a build machine, which holds no role of the site."""

    def __init__(self) -> None:
        self.key = keys.generate("p256")

    def sign(self, role: str, data: bytes) -> bytes:
        assert role == BUILDER
        return self.key.sign(data)

    def key_id(self, role: str) -> str:
        assert role == BUILDER
        return keys.key_id(self.key.public)


@dataclass(kw_only=True)
class Releaser:
    """Who releases: a site with an enrolled builder."""

    site: TrustingSite
    builder: BuilderKey

    @property
    def root_digest(self) -> str:
        return self.site.root_digest

    def sign(self, folder: Path) -> release.Released:
        enclave = self.site.signer().enclave
        self.site.later()
        return release.sign(
            folder,
            signer=Signer(enclave, enclave.log(), self.builder, self.site.clock),
            anchor=self.site.anchor,
            builder=BUILDER,
            sign_packages=write_signatures,
            started_at="2026-03-01T11:00:00Z",
            clock=self.site.clock,
            progress=NoProgress(),
        )

    def make(self, folder: Path, **changes: object) -> Path:
        """A signed bundle in the new folder; see `write`."""
        write(folder, **changes)  # type: ignore[arg-type]
        self.sign(folder)
        return folder


def write_signatures(folder: Path) -> None:
    for path, data in SIGNATURES.items():
        (folder / path).write_bytes(data)


def make_releaser(folder: Path) -> Releaser:
    site, builder = make_site(folder), BuilderKey()
    enclave = site.signer().enclave
    rotation.enroll(
        site.trust, enclave.log(), builder.key.public, role="builder", identity=role_identity("north", BUILDER),
        store=site.store, now=site.later(),
    )  # fmt: skip
    return Releaser(site=site, builder=builder)


def write(
    folder: Path,
    *,
    version: str = "1.2.0",
    files: Mapping[str, tuple[bytes, bool, Part]] = FILES,
    lock: bytes = b"{}\n",
) -> Manifest:
    """An unsigned bundle in the new folder."""
    small = own_parts.small_files(bundle="demo", version=version, lock=lock)
    content = {**files, **small}
    for path, (data, _, _) in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    made = Manifest(
        format="appliance-bundle/1",
        bundle="demo",
        version=version,
        made_at="2026-03-01T10:00:00Z",
        architecture="amd64",
        lock=digest_bytes(lock),
        source=digest_bytes(b"source"),
        members=[
            Member(path=path, size_bytes=len(data), digest=digest_bytes(data), executable=executable, part=part)
            for path, (data, executable, part) in sorted(content.items())
        ],
    )
    (folder / manifest.NAME).write_bytes(manifest.render(made))
    return made


def flip(path: Path, place: int = 100) -> None:
    data = bytearray(path.read_bytes())
    data[min(place, len(data) - 1)] ^= 1
    path.write_bytes(data)


def linked(folder: Path, path: str, to: str) -> None:
    (folder / path).unlink()
    (folder / path).symlink_to(to)


def hard_linked(folder: Path) -> None:
    os.link(folder / DEB, folder.parent / "another name")


def socket_in(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "docs" / "s"))


def sparse(folder: Path) -> None:
    with (folder / "servers/minio/minio").open("ab") as file:
        file.truncate(1 << 40)


def swap(folder: Path) -> None:
    one, other = folder / DEB, folder / "wheels/appliance-1.2.0-py3-none-any.whl"
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


FAULTS: Mapping[str, tuple[Callable[[Path], object], list[tuple[str, str, str]]]] = {
    "a byte of a package flipped": (
        lambda folder: flip(folder / DEB), [("member", codes.MEMBER_CHANGED.id, DEB)]),
    "a byte of a program flipped": (
        lambda folder: flip(folder / "servers/minio/minio", 69_000),
        [("member", codes.MEMBER_CHANGED.id, "servers/minio/minio")]),
    "a byte of the signed Release flipped": (
        lambda folder: flip(folder / "apt/dists/appliance/InRelease", 3),
        [("member", codes.MEMBER_CHANGED.id, "apt/dists/appliance/InRelease")]),
    "the signed index taken away": (
        lambda folder: (folder / "apt/dists/appliance/InRelease").unlink(),
        [("layout", codes.MEMBER_MISSING.id, "apt/dists/appliance/InRelease")],
    ),
    "the key of the packages exchanged": (
        lambda folder: (folder / "apt/appliance.gpg").write_bytes(b"other"),
        [("member", codes.MEMBER_CHANGED.id, "apt/appliance.gpg")]),
    "a file cut short": (
        lambda folder: os.truncate(folder / DEB, 100), [("member", codes.MEMBER_CHANGED.id, DEB)]),
    "a file that grew": (
        lambda folder: os.truncate(folder / DEB, 9_000), [("member", codes.MEMBER_CHANGED.id, DEB)]),
    "an empty file that is none": (
        lambda folder: (folder / "models/empty.bin").write_bytes(b"x"),
        [("member", codes.MEMBER_CHANGED.id, "models/empty.bin")]),
    "a terabyte of nothing": (sparse, [("member", codes.MEMBER_CHANGED.id, "servers/minio/minio")]),
    "two files swapped": (
        swap,
        [("member", codes.MEMBER_CHANGED.id, DEB),
         ("member", codes.MEMBER_CHANGED.id, "wheels/appliance-1.2.0-py3-none-any.whl")]),
    "a file is missing": (
        lambda folder: (folder / DEB).unlink(), [("layout", codes.MEMBER_MISSING.id, DEB)]),
    "a file that nobody lists": (
        lambda folder: (folder / "apt/pool/evil.deb").write_bytes(b"!"),
        [("layout", codes.MEMBER_EXTRA.id, "apt/pool/evil.deb")]),
    "a hidden file": (
        lambda folder: (folder / ".autorun").write_bytes(b"!"), [("layout", codes.NAME_REFUSED.id, ".autorun")]),
    "a name that is an option": (
        lambda folder: (folder / "docs/--force").write_bytes(b"!"),
        [("layout", codes.NAME_REFUSED.id, "docs/--force")]),
    "a name with a line break": (
        lambda folder: (folder / "docs/a\nb").write_bytes(b"!"), [("layout", codes.NAME_REFUSED.id, "docs/a\nb")]),
    "two names that differ in case": (
        lambda folder: (folder / "docs/INDEX.html").write_bytes(b"!"),
        [("layout", codes.MEMBER_EXTRA.id, "docs/INDEX.html"), ("layout", codes.NAME_REFUSED.id, "docs/index.html")]),
    "a symbolic link to the same bytes": (
        lambda folder: linked(folder, "docs/index.html", "../sbom/bundle.cdx.json"),
        [("layout", codes.NOT_PLAIN.id, "docs/index.html")]),
    "a link out of the medium": (
        lambda folder: linked(folder, "docs/index.html", "/etc/passwd"),
        [("layout", codes.NOT_PLAIN.id, "docs/index.html")]),
    "a file with a second name": (hard_linked, [("layout", codes.NOT_PLAIN.id, DEB)]),
    "a pipe that would hang a reader": (
        lambda folder: os.mkfifo(folder / "docs/p"), [("layout", codes.NOT_PLAIN.id, "docs/p")]),
    "a device": (
        lambda folder: os.mknod(folder / "docs/zero", 0o20666, os.makedev(1, 5)),
        [("layout", codes.NOT_PLAIN.id, "docs/zero")]),
    "a socket": (socket_in, [("layout", codes.NOT_PLAIN.id, "docs/s")]),
    "a folder in the place of a file": (
        lambda folder: ((folder / DEB).unlink(), (folder / DEB).mkdir()),
        [("layout", codes.MEMBER_MISSING.id, DEB)]),
    "the manifest flipped": (
        lambda folder: flip(folder / manifest.NAME, 200), [("release", codes.NOT_RELEASED.id, "manifest.json")]),
    "a file that nobody reads among the evidence": (
        lambda folder: (folder / "trust/x y").write_bytes(b"!"), [("pack", codes.NAME_REFUSED.id, "trust/x y")]),
}  # fmt: skip
"""What -> how it is done to a bundle, and the steps, codes and files that its verdict names."""
