"""The steps of a pack, by the tables of `cases` and where a table does not do."""

from __future__ import annotations

import datetime as dt
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.base.canonical import canonical
from appliance.trust import ceremony
from appliance.trust.verifier.pack import Seen
from tests.unit.trust.verifier.cases import EARLIER, FILES, LOGGED, SIGNED, VIEWS
from tests.unit.trust.verifier.conftest import Made, judge, refused
from tests.unit.trust.verifier.pack_maker import (
    CUSTODIANS,
    IDENTITY,
    NOW,
    POST_QUANTUM,
    Pack,
    Site,
    bundle_paths,
)


def test_a_good_pack_holds_as_folder_and_as_tar(made: Made, tmp_path: Path) -> None:
    verdict, seen = judge(made.folder, made.root_digest)
    assert (verdict.refused, seen) == (
        None,
        Seen(origin="log.north.appliance.internal", size=11, root=made.site.log.root()),
    )
    assert "newest time 2026-03-01T12:00:00Z, witnessed by ann, ben" in verdict.established
    packed = tmp_path / "pack.tar"
    with tarfile.open(packed, "w") as archive:
        for path in sorted(made.folder.iterdir()):
            archive.add(path, path.name)
    assert judge(packed, made.root_digest) == (verdict, seen)


def test_the_verdict_says_what_it_could_not_judge(site: Site, tmp_path: Path) -> None:
    site.model()
    pinned = Pack(site=site, signers=(*CUSTODIANS[:2], POST_QUANTUM), rotations=1).write(tmp_path / "pack")
    verdict, _ = judge(tmp_path / "pack", pinned)
    assert verdict.refused is None
    assert {"ML-DSA signature of the root", "ML-DSA signature of the targets"} <= set(verdict.not_established)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_refused(made: Made, tmp_path: Path, name: str) -> None:
    change, step = FILES[name]
    pack = made.copy(tmp_path / "pack")
    change(pack)
    assert refused(pack, made.root_digest) == step


def add_member(archive: tarfile.TarFile, name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    archive.addfile(member)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/etc/passwd", tarfile.REGTYPE),
        ("../outside", tarfile.REGTYPE),
        ("log/checkpoint", tarfile.REGTYPE),  # a second one
        ("log", tarfile.REGTYPE),  # a file where a folder is
        ("docs/link", tarfile.SYMTYPE),
        ("docs/link", tarfile.LNKTYPE),
        ("docs/device", tarfile.CHRTYPE),
        ("docs/sparse", tarfile.GNUTYPE_SPARSE),
        ("./docs/dot", tarfile.REGTYPE),
    ],
)
def test_hostile_tar_members_are_refused(made: Made, tmp_path: Path, name: str, kind: bytes) -> None:
    packed = tmp_path / "pack.tar"
    with tarfile.open(packed, "w") as archive:
        for path in sorted(made.folder.iterdir()):
            archive.add(path, path.name)
        add_member(archive, name, kind, "target")
    assert refused(packed, made.root_digest) == "pack"


@pytest.mark.parametrize("data", [b"", b"not a tar file", b"\x1f\x8b\x08", bytes(10_240)])
def test_what_is_no_tar_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "pack.tar").write_bytes(data)
    assert refused(tmp_path / "pack.tar", "sha256:" + "0" * 64) == "pack"


@pytest.mark.parametrize("name", VIEWS)
def test_what_an_auditor_is_shown(made: Made, tmp_path: Path, name: str) -> None:
    change, step = VIEWS[name]
    pinned = Pack(site=made.site, **change(made.site)).write(tmp_path / "pack")
    assert refused(tmp_path / "pack", pinned) == step


def test_the_newest_witnessed_time_is_that_of_a_quorum(made: Made, tmp_path: Path) -> None:
    note = made.site.cosigned(["ann"], NOW + dt.timedelta(days=9999))
    checkpoint = note + made.site.cosigned(["ben", "cem"], EARLIER)[len(made.site.log.checkpoint().note) :]
    pinned = Pack(site=made.site, checkpoint=checkpoint).write(tmp_path / "pack")
    verdict, _ = judge(tmp_path / "pack", pinned)
    assert "newest time 2026-03-01T11:00:00Z, witnessed by ann, ben, cem" in verdict.established


def test_history(made: Made) -> None:
    root = made.site.log.root
    seen = Seen(origin="log.north.appliance.internal", size=8, root=root(8))
    assert refused(made.folder, made.root_digest, seen=seen) is None
    assert refused(made.folder, made.root_digest, seen=Seen(origin=seen.origin, size=12, root=root(7))) == "rollback"
    assert refused(made.folder, made.root_digest, seen=Seen(origin=seen.origin, size=8, root=root(7))) == "fork"
    assert refused(made.folder, made.root_digest, seen=Seen(origin="log.other", size=8, root=root(7))) == "fork"


def test_freshness_is_judged_at_the_witnessed_time(made: Made) -> None:
    assert refused(made.folder, made.root_digest, not_older_than=NOW) is None
    assert refused(made.folder, made.root_digest, not_older_than=NOW + dt.timedelta(seconds=1)) == "fresh"


@pytest.mark.parametrize("name", LOGGED)
def test_entries_of_the_log(site: Site, tmp_path: Path, name: str) -> None:
    change, step = LOGGED[name]
    site.model()
    change(site)
    pinned = Pack(site=site).write(tmp_path / "pack")
    assert refused(tmp_path / "pack", pinned) == step


@pytest.mark.parametrize("name", SIGNED)
def test_who_signed_what(site: Site, tmp_path: Path, name: str) -> None:
    change, step = SIGNED[name]
    change(site)
    pinned = Pack(site=site, artifacts={}).write(tmp_path / "pack")
    assert refused(tmp_path / "pack", pinned) == step


def test_two_approvals_of_one_person_count_once(site: Site, tmp_path: Path) -> None:
    site.model()
    site.approve(reason="first")
    site.approve(reason="second")
    site.stage()
    rule = {"scope": "live", "threshold": 2, "approvers": [f"{IDENTITY}*"]}
    pinned = Pack(site=site, policy=site.policy(approvals=[rule])).write(tmp_path / "pack")
    assert refused(tmp_path / "pack", pinned) == "approval"
    site.approve(role="operator")
    pinned = Pack(site=site, policy=site.policy(approvals=[rule])).write(tmp_path / "more")
    assert refused(tmp_path / "more", pinned) is None


def test_a_bundle_of_a_fork_is_refused(made: Made, tmp_path: Path) -> None:
    """The same keys, another history: every check but that against the pack's own tree holds."""
    other = tmp_path / "site"
    fork = Site(other)
    fork.enclave = ceremony.open_enclave(made.site.enclave.folder)
    fork.log = type(made.site.log)(other / "fork", made.site.log.key.origin, fork.enclave.log_signer)
    fork.log.create()
    fork.log.append([b"another beginning"] * 3)
    fork.signer = type(made.site.signer)(fork.enclave, fork.log, made.site.keys, fork.clock)
    pack = made.copy(tmp_path / "pack")
    bundle = fork.model(b"other package")
    (path,) = [each for each in bundle_paths(fork.enclave.folder) if each.read_bytes() == bundle]
    path.rename(pack / "bundles" / path.name)
    assert refused(pack, made.root_digest) == "prefix"


def test_a_bundle_whose_certificate_was_not_logged_is_refused(site: Site, tmp_path: Path) -> None:
    site.model()
    site.signer._log = Hiding(site.log)  # type: ignore[assignment]
    site.model(b"other")
    pinned = Pack(site=site).write(tmp_path / "pack")
    assert refused(tmp_path / "pack", pinned) == "entry"


class Hiding:
    """A log whose operator keeps certificates to themselves."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def append(self, entries: Sequence[bytes]) -> Any:
        return self._log.append(entries[1:])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def test_only_one_bundle(made: Made) -> None:
    name = bundle_paths(made.folder)[0].name.partition(".")[0]
    verdict, _ = judge(made.folder, made.root_digest, only=name)
    assert verdict.refused is None
    assert "artifacts and approvals: only one bundle was asked for" in verdict.not_established
    assert refused(made.folder, made.root_digest, only="0" * 64) == "format"


def test_a_great_log(site: Site, tmp_path: Path) -> None:
    """Over two levels of tiles."""
    site.model()
    site.log.append([canonical({"kind": "audit", "n": number}) for number in range(700)])
    site.model(b"other")
    pinned = Pack(site=site).write(tmp_path / "pack")
    assert refused(tmp_path / "pack", pinned) is None
    tile = tmp_path / "pack/log/tile/1/000.p/2"
    data = bytearray(tile.read_bytes())
    data[0] ^= 1
    tile.write_bytes(data)
    assert refused(tmp_path / "pack", pinned) == "tree"


def test_a_bundle_that_names_a_member_twice_is_refused(made: Made, tmp_path: Path) -> None:
    pack = made.copy(tmp_path / "pack")
    path = bundle_paths(pack)[0]
    path.write_bytes(path.read_bytes().replace(b'{"mediaType"', b'{"mediaType":1,"mediaType"', 1))
    assert refused(pack, made.root_digest) == "format"
