"""The parsers of a bundle: what lies on a medium that nobody verified yet, and what others wrote about its content."""

from __future__ import annotations

import json
from pathlib import Path

from appliance.base.digest import digest_bytes
from appliance.bundle import advisories, copyright_file, manifest, volume
from appliance.bundle.affected import SCHEMES, IncomparableError, judge
from appliance.bundle.volume import Piece, Volume
from tests.bundles import write
from tests.fuzz.registry import Loaded, Target

DIGEST = digest_bytes(b"x")


def load_manifest(folder: Path) -> Loaded:
    made = write(folder / "bundle")

    def parse(data: bytes) -> None:
        found = manifest.parse(data)
        assert manifest.render(found) == data
        assert found.size_bytes >= 0
        assert found.release

    return Loaded(parse=parse, seeds=[manifest.render(made)])


def load_volume(folder: Path) -> Loaded:
    pieces = [
        Piece(path="docs/index.html", name="docs/index.html", offset=0, size_bytes=7, digest=DIGEST),
        *(
            Piece(path="models/m.onnx", name=volume.piece_name("models/m.onnx", number), offset=(number - 1) * 5,
                  size_bytes=5, digest=DIGEST)
            for number in (1, 2)
        ),
    ]  # fmt: skip
    made = Volume(
        format="appliance-volume/1", bundle="demo", version="1.2.0", manifest=DIGEST, set=DIGEST, most_bytes=4 << 20,
        number=1, count=2, pieces=pieces,
    )  # fmt: skip

    def parse(data: bytes) -> None:
        assert volume.render(volume.parse(data)) == data

    return Loaded(parse=parse, seeds=[volume.render(made)])


def load_advisory(folder: Path) -> Loaded:
    """With the versions that the record has, in every ecosystem's order."""
    record = {
        "schema_version": "1.7.0", "id": "GHSA-1", "modified": "2026-03-01T10:00:00Z", "aliases": ["CVE-1"],
        "affected": [{
            "package": {"ecosystem": "PyPI", "name": "one"}, "versions": ["1.0", "1:2.3-4~deb12u1"],
            "ranges": [{"type": "ECOSYSTEM", "events": [
                {"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "v2.0.0-rc1"}, {"last_affected": "2.0.Final"}]}],
        }],
    }  # fmt: skip

    def parse(data: bytes) -> None:
        for each in advisories.parse(data, where="x").affected or ():
            for ecosystem in SCHEMES:
                for version in ("1.0", "1:1.0-1+b1", "v1.2.3+incompatible"):
                    try:
                        judge(version, each, ecosystem=ecosystem)
                    except IncomparableError:
                        continue

    return Loaded(parse=parse, seeds=[json.dumps(record).encode()])


def load_copyright(folder: Path) -> Loaded:
    """Every text gives words: nothing leaves at all."""
    text = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: x\n"
        "License: GPL-1+ or Artistic, and Expat\n Text.\n .\n More.\n\nLicense: Expat\n Text.\n"
    )
    plain = "The text is in /usr/share/common-licenses/GPL-2.\n"

    def parse(data: bytes) -> None:
        assert copyright_file.licence(data.decode("utf-8", "replace"))

    return Loaded(parse=parse, seeds=[text.encode(), plain.encode()], errors=())


BUNDLE_TARGETS = (
    Target(name="advisory", load=load_advisory),
    Target(name="bundle_manifest", load=load_manifest),
    Target(name="bundle_volume", load=load_volume),
    Target(name="copyright_file", load=load_copyright),
)
