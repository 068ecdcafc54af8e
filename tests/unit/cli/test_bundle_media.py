"""The commands of media as an operator calls them: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.bundle import forecast
from appliance.cli.main import run
from tests.bundles import make_releaser, write
from tests.volumes import contents, files


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "demo"
    write(folder, files=files())
    return folder


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    capsys.readouterr()
    code = run(["bundle", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_split_and_join_with_one_drive(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = ask(capsys, "split", bundle, tmp_path / "all", "--size", "3MB")
    assert (code, told["made"]) == (0, list(range(1, told["count"] + 1)))
    for number in range(1, told["count"]):
        code, said = ask(capsys, "join", tmp_path / "out", tmp_path / "all" / f"vol-{number:03d}")
        assert (code, said["error"]["code"]) == (1, "APL-BUNDLE-044")
    code, said = ask(capsys, "join", tmp_path / "out", tmp_path / "all" / f"vol-{told['count']:03d}")
    assert (code, said["files"]) == (0, len(contents(bundle)))
    assert contents(tmp_path / "out") == contents(bundle)


def test_a_size_that_is_none_is_wrong_use(bundle: Path, tmp_path: Path) -> None:
    assert run(["bundle", "split", str(bundle), str(tmp_path / "all"), "--size", "4 GB"]) == 2


def test_a_forecast_with_room_and_without(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, told = ask(capsys, "forecast", bundle, "--target", tmp_path, "--medium-mb-per-s", "10")
    assert code == 0
    assert told["time_s"] == pytest.approx(told["read"] / 1e7)
    assert told["free"] > told["installed"]
    assert ask(capsys, "forecast", bundle, "--measure", bundle)[1]["medium_bytes_per_s"] > 0
    monkeypatch.setattr(forecast, "room_at", lambda target: forecast.Room(free_bytes=1, free_files=1))
    code, told = ask(capsys, "forecast", bundle, "--target", tmp_path)
    assert (code, told["error"]["code"]) == (4, "APL-BUNDLE-049")
    assert run(["bundle", "forecast", str(bundle), "--measure", str(bundle), "--medium-mb-per-s", "1"]) == 2


def test_volumes_are_verified_as_they_lie(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releaser = make_releaser(tmp_path / "releaser")
    bundle = releaser.make(tmp_path / "demo", files=files())
    ask(capsys, "split", bundle, tmp_path / "all", "--size", "3MB")
    root = ("--root-digest", releaser.root_digest)
    assert ask(capsys, "verify", tmp_path / "all", *root)[0] == 0
    given = sorted((tmp_path / "all").iterdir())
    assert ask(capsys, "verify", *given, *root)[1]["verified"]
    code, told = ask(capsys, "verify", *given[1:], *root)
    assert (code, told["error"]["code"]) == (1, "APL-BUNDLE-044")
    assert run(["bundle", "verify", str(bundle), str(given[0]), *root]) == 2
    assert run(["bundle", "verify", str(tmp_path / "all"), *root, "--resume", str(tmp_path / "r")]) == 2
    assert run(["bundle", "verify", str(bundle), *root, "--resume", str(tmp_path / "r")]) == 0
    assert not (tmp_path / "r").exists()
