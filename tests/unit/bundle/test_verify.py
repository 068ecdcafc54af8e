"""`bundle.verify`: what was released is accepted whole, anything else is named with its code; nothing is written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from appliance.base.canonical import canonical
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import codes, manifest, verify
from appliance.bundle.verify import BundleQuestion, VerifiedBundle
from appliance.trust.verdict import Verdict
from tests.bundles import DEB, FAULTS, FILES, SIGNATURES, Releaser, flip, make_releaser, write


@pytest.fixture(scope="module")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return make_releaser(tmp_path_factory.mktemp("releaser"))


@pytest.fixture(scope="module")
def released(releaser: Releaser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return releaser.make(tmp_path_factory.mktemp("medium") / "demo")


@pytest.fixture
def medium(released: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(released, tmp_path / "demo"))


def judge(releaser: Releaser, folder: Path, memory: Path | None = None) -> tuple[Verdict, VerifiedBundle | None]:
    question = BundleQuestion(root_digest=releaser.root_digest, memory=memory)
    return verify.verify_bundle(folder, question, NoProgress())


def broken(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Step, code and file of each link that does not hold."""
    return [(each.kind, each.detail[:14], each.path) for each in verdict.broken]


def test_a_released_bundle_is_verified_whole(releaser: Releaser, released: Path) -> None:
    verdict, bundle = judge(releaser, released)
    assert verdict.ok, verdict.text()
    assert bundle is not None
    assert [each.kind for each in verdict.links if each.name == "bundle"] == ["manifest", "release", "layout", "member"]
    assert bundle.manifest.version == "1.2.0"
    assert f"{len(bundle.manifest.members)} files" in verdict.text()
    assert any("no later release" in each for each in verdict.not_established)


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_is_named(releaser: Releaser, medium: Path, tmp_path: Path, name: str) -> None:
    if name == "a device" and os.geteuid() != 0:
        pytest.skip("only root makes device nodes")
    change, expected = FAULTS[name]
    change(medium)
    before = sorted((tmp_path / "memory").rglob("*"))
    verdict, bundle = judge(releaser, medium, tmp_path / "memory")
    assert bundle is None
    found = broken(verdict)
    if name == "the manifest flipped":  # a byte of a digest, or of what makes it canonical
        assert found[0][0] in ("release", "manifest")
    else:
        assert found == expected, verdict.text()
    assert sorted((tmp_path / "memory").rglob("*")) == before == []


def test_a_flipped_byte_of_any_member_is_named(releaser: Releaser, medium: Path) -> None:
    for member in (each for each in manifest.parse((medium / manifest.NAME).read_bytes()).members if each.size_bytes):
        path = medium / member.path
        data = path.read_bytes()
        flip(path, member.size_bytes // 2)
        assert broken(judge(releaser, medium)[0]) == [("member", codes.MEMBER_CHANGED.id, member.path)]
        path.write_bytes(data)
    assert judge(releaser, medium)[0].ok


def test_ten_million_claimed_entries_cost_no_memory(releaser: Releaser, medium: Path) -> None:
    member = {"digest": f"sha256:{'0' * 64}", "executable": False, "part": "docs", "path": "d", "size_bytes": 0}
    (medium / manifest.NAME).write_bytes(canonical({"members": [member] * 1_000_000}))
    verdict, bundle = judge(releaser, medium)
    assert bundle is None
    assert broken(verdict) == [("manifest", codes.MANIFEST_INVALID.id, "manifest.json")]


class TestOlder:
    def test_what_was_verified_is_remembered_and_again_accepted(
        self, releaser: Releaser, released: Path, tmp_path: Path
    ) -> None:
        for _ in range(2):
            assert judge(releaser, released, tmp_path)[0].ok
        assert (tmp_path / "releases.json").is_file()

    @pytest.mark.parametrize(
        ("version", "files", "ok"),
        [("1.2.1", FILES, True), ("1.10.0", FILES, True), ("1.1.9", FILES, False), ("0.9.0", FILES, False),
         ("1.2.0", {**FILES, "docs/more.html": (b"", False, "docs")}, False)],
    )  # fmt: skip
    def test_versions(
        self, releaser: Releaser, released: Path, tmp_path: Path, version: str, files: dict, ok: bool
    ) -> None:
        memory = tmp_path / "memory"
        assert judge(releaser, released, memory)[0].ok
        other = tmp_path / "other"
        write(other, version=version, files=files)
        releaser.sign(other)
        known = (memory / "releases.json").read_bytes()
        verdict, _ = judge(releaser, other, memory)
        assert verdict.ok is ok, verdict.text()
        if not ok:
            assert broken(verdict) == [("older", codes.ROLLED_BACK.id, "")]
            assert (memory / "releases.json").read_bytes() == known

    def test_an_older_log_is_refused(self, releaser: Releaser, released: Path, tmp_path: Path) -> None:
        newer = releaser.make(tmp_path / "newer", version="1.3.0")
        assert judge(releaser, newer, tmp_path / "memory")[0].ok
        verdict, _ = judge(releaser, released, tmp_path / "memory")
        assert verdict.step == "rollback"

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"demo":{"version":"x","manifest":"y"}}'])
    def test_a_memory_that_cannot_be_read(
        self, releaser: Releaser, released: Path, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "releases.json").write_bytes(content)
        assert broken(judge(releaser, released, tmp_path)[0])[0][:2] == ("older", codes.ROLLED_BACK.id)
        assert (tmp_path / "releases.json").read_bytes() == content


class TestCopy:
    def test_the_bytes_that_were_released(self, releaser: Releaser, medium: Path, tmp_path: Path) -> None:
        bundle = judge(releaser, medium)[1]
        assert bundle is not None
        bundle.copy("servers/minio/minio", tmp_path / "minio")
        assert (tmp_path / "minio").read_bytes() == FILES["servers/minio/minio"][0]
        assert (tmp_path / "minio").stat().st_mode & 0o777 == 0o755

    def test_a_medium_that_changes_after_it_was_verified(
        self, releaser: Releaser, medium: Path, tmp_path: Path
    ) -> None:
        bundle = judge(releaser, medium)[1]
        assert bundle is not None
        flip(medium / DEB)
        with pytest.raises(ApplianceError) as caught:
            bundle.copy(DEB, tmp_path / "tree.deb")
        assert caught.value.code is codes.MEMBER_CHANGED
        assert not (tmp_path / "tree.deb").exists()


def test_signing_twice_gives_one_statement(releaser: Releaser, medium: Path) -> None:
    before = len(list(releaser.site.trust.glob("bundles/*")))
    assert releaser.sign(medium).witnessed
    assert len(list(releaser.site.trust.glob("bundles/*"))) == before
    assert judge(releaser, medium)[0].ok


def test_a_bundle_that_was_built_anew_is_signed_whole_by_the_same_statement(
    releaser: Releaser, released: Path, tmp_path: Path
) -> None:
    before = len(list(releaser.site.trust.glob("bundles/*")))
    write(tmp_path / "anew")
    for path in SIGNATURES:
        (tmp_path / "anew" / path).unlink(missing_ok=True)
    releaser.sign(tmp_path / "anew")
    assert len(list(releaser.site.trust.glob("bundles/*"))) == before
    assert all((tmp_path / "anew" / path).read_bytes() == (released / path).read_bytes() for path in SIGNATURES)
    assert judge(releaser, tmp_path / "anew")[0].ok


def test_no_bundle_here(releaser: Releaser, tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as caught:
        judge(releaser, tmp_path)
    assert caught.value.code is codes.NO_BUNDLE
