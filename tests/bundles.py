"""A small bundle for tests: plain files in the layout of a real one, signed by a builder of a releasing site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.base.digest import digest_bytes
from appliance.base.progress import NoProgress
from appliance.bundle import manifest, own_parts, release
from appliance.bundle.manifest import Manifest, Member, Part
from appliance.trust import keys, rotation
from appliance.trust.ceremony import role_identity
from appliance.trust.signer import Signer
from tests.unit.trust.trusting import TrustingSite, make_site

BUILDER = "builder/ci"
FILES: Mapping[str, tuple[bytes, bool, Part]] = {
    "apt/dists/appliance/Release": (b"Suite: appliance\n", False, "apt"),
    "apt/dists/appliance/main/binary-amd64/Packages": (b"Package: tree\n", False, "apt"),
    "apt/pool/tree_2.1.0-1_amd64.deb": (b"!<arch>\n" + bytes(5000), False, "apt"),
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
            started_at="2026-03-01T11:00:00Z",
            clock=self.site.clock,
            progress=NoProgress(),
        )

    def make(self, folder: Path, **changes: object) -> Path:
        """A signed bundle in the new folder; see `write`."""
        write(folder, **changes)  # type: ignore[arg-type]
        self.sign(folder)
        return folder


def make_releaser(folder: Path) -> Releaser:
    site, builder = make_site(folder), BuilderKey()
    enclave = site.signer().enclave
    rotation.enroll(
        site.trust, enclave.log(), builder.key.public, role="builder", identity=role_identity("north", BUILDER),
        store=site.store, now=site.later(),
    )  # fmt: skip
    return Releaser(site=site, builder=builder)


def write(folder: Path, *, version: str = "1.2.0", files: Mapping[str, tuple[bytes, bool, Part]] = FILES) -> Manifest:
    """An unsigned bundle in the new folder."""
    small = own_parts.small_files(bundle="demo", version=version, lock=b"{}\n")
    content = {**files, **small}
    for path, data in {**{path: data for path, (data, _, _) in content.items()}, **SIGNATURES}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    made = Manifest(
        format="appliance-bundle/1",
        bundle="demo",
        version=version,
        made_at="2026-03-01T10:00:00Z",
        architecture="amd64",
        lock=digest_bytes(b"{}\n"),
        source=digest_bytes(b"source"),
        members=[
            Member(path=path, size_bytes=len(data), digest=digest_bytes(data), executable=executable, part=part)
            for path, (data, executable, part) in sorted(content.items())
        ],
    )
    (folder / manifest.NAME).write_bytes(manifest.render(made))
    return made
