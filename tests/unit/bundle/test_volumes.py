"""Volumes: no greater than asked for, the same bytes again, joined to the same bundle, and every fault has its name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import codes, forecast, join, volume, volumes
from appliance.bundle.verify import BundleQuestion, verify_bundle
from tests.bundles import DEB, Releaser, flip
from tests.volumes import FAULTS, LARGE, MOST, contents, split


@pytest.fixture(scope="module")
def pristine(large_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return split(large_bundle, tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def media(pristine: list[Path], tmp_path: Path) -> list[Path]:
    """Copies that may be spoilt."""
    return [Path(shutil.copytree(each, tmp_path / "media" / each.name)) for each in pristine]


def joined(target: Path, folders: list[Path]) -> join.Joined:
    return join.join(target, folders, NoProgress())


class TestSplit:
    def test_a_round_trip_gives_the_bundle_that_was_released(
        self, media_releaser: Releaser, large_bundle: Path, pristine: list[Path], tmp_path: Path
    ) -> None:
        done = joined(tmp_path / "out", pristine)
        assert contents(tmp_path / "out") == contents(large_bundle)
        assert done.copied == sum(path.stat().st_size for path in large_bundle.rglob("*") if path.is_file())
        question = BundleQuestion(root_digest=media_releaser.root_digest)
        assert verify_bundle(tmp_path / "out", question, NoProgress())[0].ok
        assert os.access(tmp_path / "out/servers/minio/minio", os.X_OK)
        assert sorted(tmp_path.iterdir()) == [tmp_path / "out"]

    def test_no_volume_is_greater_than_asked_for(self, pristine: list[Path]) -> None:
        assert len(pristine) > 3
        for each in pristine:
            assert sum(path.stat().st_size for path in each.rglob("*") if path.is_file()) <= MOST

    def test_the_first_one_tells_what_to_do(self, pristine: list[Path]) -> None:
        there = contents(pristine[0])
        assert {"START-HERE.txt", "verify.sh", "verify.pyz", "manifest.json", "apt/appliance.gpg"} <= set(there)
        assert any(name.startswith("trust/") for name in there)

    def test_files_lie_whole_and_under_their_names_where_they_fit(
        self, large_bundle: Path, pristine: list[Path]
    ) -> None:
        there = {name for each in pristine for name in contents(each)}
        assert set(contents(large_bundle)) - there == {LARGE}

    def test_the_same_bytes_whenever_and_wherever(
        self, large_bundle: Path, pristine: list[Path], tmp_path: Path
    ) -> None:
        other = Path(shutil.copytree(large_bundle, tmp_path / "elsewhere"))
        mask = os.umask(0o077)
        try:
            again = split(other, tmp_path / "again")
        finally:
            os.umask(mask)
        for one, two in zip(pristine, again, strict=True):
            assert contents(one) == contents(two)
            stats = [[(each.stat().st_mode, each.stat().st_mtime) for each in sorted(root.rglob("*"))]
                     for root in (one, two)]  # fmt: skip
            assert stats[0] == stats[1]

    def test_one_volume_alone(self, large_bundle: Path, pristine: list[Path], tmp_path: Path) -> None:
        (alone,) = split(large_bundle, tmp_path / "stick", only=2)
        assert (alone.name, contents(alone)) == ("vol-002", contents(pristine[1]))

    def test_a_rerun_makes_what_is_missing(self, large_bundle: Path, tmp_path: Path) -> None:
        split(large_bundle, tmp_path / "all")
        shutil.rmtree(tmp_path / "all/vol-002")
        done = volumes.split(large_bundle, tmp_path / "all", MOST, NoProgress())
        assert done.made == (2,)
        assert len(done.kept) == done.count - 1

    @pytest.mark.parametrize("most", [1, 40_000, 1_000_000])
    def test_a_size_that_is_too_small_names_the_least_one(self, large_bundle: Path, tmp_path: Path, most: int) -> None:
        with pytest.raises(ApplianceError) as caught:
            split(large_bundle, tmp_path / "all", most)
        assert caught.value.code is codes.VOLUME_SIZE
        assert not (tmp_path / "all").exists()
        least = int(caught.value.message.split()[4])
        assert most < least <= MOST
        split(large_bundle, tmp_path / "all", least)

    def test_a_stick_that_keeps_no_modes(
        self, large_bundle: Path, pristine: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As FAT does: a mode that it cannot keep is refused."""

        def refuse(path: object, *rest: object, **options: object) -> None:
            raise PermissionError(1, "Operation not permitted", str(path))

        monkeypatch.setattr(os, "chmod", refuse)
        monkeypatch.setattr(Path, "chmod", refuse)
        again = split(large_bundle, tmp_path / "stick")
        assert [contents(each) for each in again] == [contents(each) for each in pristine]

    def test_another_split_is_not_written_over(self, large_bundle: Path, tmp_path: Path) -> None:
        split(large_bundle, tmp_path / "all")
        before = contents(tmp_path)
        with pytest.raises(ApplianceError) as caught:
            split(large_bundle, tmp_path / "all", MOST + (1 << 20))
        assert caught.value.code is codes.TARGET_EXISTS
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("path", [DEB, LARGE])
    def test_a_bundle_that_was_changed_is_not_split(self, large_bundle: Path, tmp_path: Path, path: str) -> None:
        bundle = Path(shutil.copytree(large_bundle, tmp_path / "demo"))
        flip(bundle / path)
        with pytest.raises(ApplianceError) as caught:
            split(bundle, tmp_path / "all")
        assert (caught.value.code, caught.value.where) == (codes.MEMBER_CHANGED, path)
        assert not list((tmp_path / "all").glob(".tmp-*"))

    def test_room_is_asked_for_first(self, large_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(forecast, "room_at", lambda target: forecast.Room(free_bytes=1_000_000, free_files=10))
        with pytest.raises(ApplianceError) as caught:
            split(large_bundle, tmp_path / "all")
        assert (caught.value.code, caught.value.code.exit_code) == (codes.NO_ROOM, 4)
        assert not (tmp_path / "all").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("25GB", 25 * 10**9), ("4GiB", 4 << 30), ("700MB", 7 * 10**8), ("12345", 12345), ("1B", 1)],
)
def test_sizes(text: str, size: int) -> None:
    assert volumes.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "4 GB", "4gb", "1.5GB", "GB", "04GB", "1e9"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        volumes.parse_size(text)


class TestJoin:
    @pytest.mark.parametrize("name", FAULTS)
    def test_one_fault_is_named_and_nothing_is_accepted(
        self, media: list[Path], large_bundle: Path, pristine: list[Path], tmp_path: Path, name: str
    ) -> None:
        spoil, code, place = FAULTS[name]
        given = list(media)
        spoil(given)
        with pytest.raises(ApplianceError) as caught:
            joined(tmp_path / "out", given)
        assert caught.value.code.id == code, caught.value
        assert place in (caught.value.where or "")
        assert not (tmp_path / "out").exists()
        assert {each.name for each in tmp_path.iterdir()} <= {"media", ".tmp-out.d"}
        if code == codes.VOLUMES_DISAGREE.id:  # these volumes were lies: what they left is of no use
            shutil.rmtree(tmp_path / ".tmp-out.d")
        joined(tmp_path / "out", pristine)
        assert contents(tmp_path / "out") == contents(large_bundle)

    def test_one_after_another_in_any_order(
        self, pristine: list[Path], large_bundle: Path, tmp_path: Path, seed: int
    ) -> None:
        import random

        order = random.Random(seed).sample(pristine, len(pristine))
        for position, each in enumerate(order[:-1], start=1):
            with pytest.raises(ApplianceError) as caught:
                joined(tmp_path / "out", [each])
            assert caught.value.code is codes.VOLUMES_MISSING
            assert len(caught.value.message.rpartition(": ")[2].split(", ")) == len(order) - position
            assert not (tmp_path / "out").exists()
        joined(tmp_path / "out", [order[-1]])
        assert contents(tmp_path / "out") == contents(large_bundle)

    def test_a_volume_that_was_taken_is_not_read_again(self, media: list[Path], tmp_path: Path) -> None:
        with pytest.raises(ApplianceError):
            joined(tmp_path / "out", media[:1])
        shutil.rmtree(media[0] / "trust")
        joined(tmp_path / "out", media)

    def test_again_when_it_is_done(self, pristine: list[Path], tmp_path: Path) -> None:
        joined(tmp_path / "out", pristine)
        assert joined(tmp_path / "out", pristine[:1]).copied == 0

    def test_a_target_that_is_something_else(self, pristine: list[Path], tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        with pytest.raises(ApplianceError) as caught:
            joined(tmp_path / "out", pristine)
        assert caught.value.code is codes.TARGET_EXISTS
        assert list((tmp_path / "out").iterdir()) == []

    @pytest.mark.parametrize("when", ["together", "later"])
    @pytest.mark.parametrize("other", ["another bundle", "another size"])
    def test_a_volume_of_another_set(
        self, media_releaser: Releaser, large_bundle: Path, pristine: list[Path], tmp_path: Path, other: str, when: str
    ) -> None:
        bundle, most = large_bundle, MOST + (1 << 20)
        if other == "another bundle":
            bundle, most = media_releaser.make(tmp_path / "newer", version="1.3.0"), MOST
        wrong = split(bundle, tmp_path / "wrong", most)
        if when == "later":
            with pytest.raises(ApplianceError):
                joined(tmp_path / "out", pristine[:1])
        with pytest.raises(ApplianceError) as caught:
            joined(tmp_path / "out", [*(pristine[1:] if when == "together" else []), wrong[0]])
        assert caught.value.code is codes.VOLUME_OTHER
        assert not (tmp_path / "out").exists()

    def test_two_joins_at_once(self, pristine: list[Path], tmp_path: Path) -> None:
        from appliance.base import atomic

        with atomic.exclusive(tmp_path / ".tmp-out.d" / "lock"), pytest.raises(ApplianceError) as caught:
            joined(tmp_path / "out", pristine)
        assert caught.value.code.id == "APL-BASE-006"

    def test_a_journal_that_was_cut_short_is_read_to_its_last_line(self, pristine: list[Path], tmp_path: Path) -> None:
        with pytest.raises(ApplianceError):
            joined(tmp_path / "out", pristine[:1])
        with (tmp_path / ".tmp-out.d/journal").open("ab") as journal:
            journal.write(b"2 0")
        joined(tmp_path / "out", pristine)


def test_the_form_is_read_as_it_is_written(pristine: list[Path]) -> None:
    for each in pristine:
        assert volume.render(volume.read(each)) == (each / "volume.json").read_bytes()
