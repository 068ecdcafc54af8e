"""Volumes that are verified as they lie: the verdict is that of the bundle, and names the bundle's files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import codes, volume_set
from appliance.bundle.verify import BundleQuestion, verify_medium
from appliance.trust.verdict import Verdict
from tests.bundles import DEB, Releaser, flip
from tests.volumes import CUT, FAULTS, LARGE, exchange, linked, split, with_file


@pytest.fixture(scope="module")
def pristine(large_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine")
    split(large_bundle, folder)
    return folder


@pytest.fixture
def media(pristine: Path, tmp_path: Path) -> list[Path]:
    shutil.copytree(pristine, tmp_path / "media")
    return volume_set.folders_of([tmp_path / "media"])


def judge(releaser: Releaser, folders: list[Path], memory: Path | None = None) -> Verdict:
    question = BundleQuestion(root_digest=releaser.root_digest, memory=memory)
    return verify_medium(volume_set.open_set(folders), question, NoProgress())


def test_all_volumes_are_the_bundle(media_releaser: Releaser, media: list[Path], tmp_path: Path) -> None:
    verdict = judge(media_releaser, media[::-1], tmp_path / "memory")
    assert verdict.ok, verdict.text()
    assert (tmp_path / "memory/releases.json").is_file()


SPOILT: dict[str, tuple[Callable[[list[Path]], object], list[tuple[str, str, str]]]] = {
    "a byte of a whole file": (
        lambda all_: flip(with_file(all_[0], DEB)), [("member", codes.MEMBER_CHANGED.id, DEB)]),
    "a byte of a piece": (
        lambda all_: flip(with_file(all_[0], CUT)), [("member", codes.MEMBER_CHANGED.id, LARGE)]),
    "two pieces swapped": (
        lambda all_: exchange(with_file(all_[0], CUT), with_file(all_[0], f"{LARGE}.piece-0002")),
        [("member", codes.MEMBER_CHANGED.id, LARGE)]),
    "a piece cut short": (
        lambda all_: os.truncate(with_file(all_[0], CUT), 10), [("member", codes.MEMBER_CHANGED.id, LARGE)]),
    "a piece is missing": (
        lambda all_: with_file(all_[0], CUT).unlink(), [("layout", codes.MEMBER_MISSING.id, LARGE)]),
    "a file is missing": (
        lambda all_: with_file(all_[0], DEB).unlink(), [("layout", codes.MEMBER_MISSING.id, DEB)]),
    "a file more": (
        lambda all_: (all_[2] / "evil.bin").write_bytes(b"!"), [("layout", codes.MEMBER_EXTRA.id, "evil.bin")]),
    "a piece is a link": (
        lambda all_: linked(with_file(all_[0], CUT)),
        [("layout", codes.NOT_PLAIN.id, CUT), ("layout", codes.MEMBER_MISSING.id, LARGE)]),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_is_named_as_in_a_bundle(
    media_releaser: Releaser, media: list[Path], tmp_path: Path, what: str
) -> None:
    spoil, expected = SPOILT[what]
    spoil(media)
    verdict = judge(media_releaser, media, tmp_path / "memory")
    assert sorted((each.kind, each.detail[:14], each.path) for each in verdict.broken) == sorted(expected)
    assert not (tmp_path / "memory").exists()


@pytest.mark.parametrize("what", FAULTS)
def test_no_spoilt_set_is_accepted(media_releaser: Releaser, media: list[Path], what: str) -> None:
    """Each fault that a join refuses, this refuses too: by a verdict, or before it."""
    given = list(media)
    FAULTS[what][0](given)
    try:
        verdict = judge(media_releaser, given)
    except ApplianceError as error:
        if not error.code.id.startswith("APL-BUNDLE-04"):
            raise
        return
    assert not verdict.ok


def test_what_are_volumes(media: list[Path], large_bundle: Path, tmp_path: Path) -> None:
    assert volume_set.folders_of([tmp_path / "media"]) == media
    assert volume_set.folders_of(media[:2]) == media[:2]
    assert volume_set.folders_of([large_bundle]) == []
    assert volume_set.folders_of([large_bundle, media[0]]) == []
