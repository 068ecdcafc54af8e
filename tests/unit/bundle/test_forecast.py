"""Time and room, told before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle import codes, forecast, release
from appliance.bundle.manifest import Manifest
from tests.bundles import write


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    return write(tmp_path / "demo")


def test_what_is_told_follows_from_the_manifest_alone(made: Manifest) -> None:
    found = forecast.forecast(made, medium_bytes_per_s=made.size_bytes / 10)
    assert found.time_s == pytest.approx(10)
    assert found.read == made.size_bytes
    assert found.joined >= made.size_bytes
    assert found.installed - found.joined == int(made.size_bytes * 0.1)
    assert found.image > made.size_bytes
    assert forecast.forecast(made).time_s is None


@pytest.mark.parametrize(
    ("free_bytes", "free_files", "told"),
    [(99, 10, "100 bytes are needed, 99 are free"), (100, 9, "10 files are needed, 9 are free"), (100, 10, "")],
)
def test_room_is_bytes_and_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_bytes: int, free_files: int, told: str
) -> None:
    room = forecast.Room(free_bytes=free_bytes, free_files=free_files)
    monkeypatch.setattr(forecast, "room_at", lambda target: room)
    if not told:
        forecast.require_room(tmp_path, 100, 10)
        return
    with pytest.raises(ApplianceError) as caught:
        forecast.require_room(tmp_path, 100, 10)
    assert (caught.value.code, caught.value.message) == (codes.NO_ROOM, told)


def test_room_of_a_folder_that_is_not_there_yet_is_that_of_the_one_above(tmp_path: Path) -> None:
    assert forecast.room_at(tmp_path / "a/b/c").free_files > 0
    assert forecast.room_at(tmp_path / "a/b/c").free_bytes > 0


def test_a_medium_is_measured_by_reading(made: Manifest, tmp_path: Path) -> None:
    assert forecast.measure(tmp_path / "demo", most_bytes=50_000) > 1000


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_nothing_to_measure_by(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ApplianceError) as caught:
        forecast.measure(tmp_path / name)
    assert caught.value.code is codes.UNREADABLE


def test_the_first_volume_is_enough(tmp_path: Path, large_bundle: Path) -> None:
    from tests.volumes import split

    first, *_ = split(large_bundle, tmp_path / "all")
    assert release.read_manifest(first) == release.read_manifest(large_bundle)
