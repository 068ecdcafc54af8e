"""Media taken in as people do it, on a machine without a site."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.main import run
from tests.unit.trust.tuf.conftest import TARGETS, Medium

Command = Callable[..., tuple[int, Any]]


@pytest.fixture
def medium(tmp_path: Path) -> Medium:
    made = Medium(folder=tmp_path / "medium", state=tmp_path / "state")
    made.create()
    return made


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> tuple[int, Any]:
        code = run(["trust", *map(str, words), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_init_refresh_download(medium: Medium, command: Command, tmp_path: Path) -> None:
    code, verdict = command("media-init", medium.folder, "state", "--root-digest", medium.pinned)
    assert (code, verdict["versions"]["root"], verdict["witnessed_time"]) == (0, 1, None)
    old = shutil.copytree(medium.folder, tmp_path / "old")
    medium.update(new=b"{}")
    code, verdict = command("media-refresh", medium.folder, "state", "--witnessed-time", "2026-03-01T12:00:00Z")
    assert (code, sorted(verdict["targets"])) == (0, ["new.json", *TARGETS])
    assert command("media-download", medium.folder, "state", "trust-config.json", "taken.json")[0] == 0
    assert (tmp_path / "taken.json").read_bytes() == TARGETS["trust-config.json"]
    code, refusal = command("media-refresh", old, "state")
    assert (code, refusal["error"]["code"]) == (3, "APL-TUF-001")


def test_nothing_is_believed_by_itself(medium: Medium, command: Command, tmp_path: Path) -> None:
    code, refusal = command("media-refresh", medium.folder, "state")
    assert (code, refusal["error"]["code"]) == (2, "APL-TUF-016")
    code, refusal = command("media-init", medium.folder, "state", "--root-digest", "sha256:" + "0" * 64)
    assert (code, refusal["error"]["code"]) == (3, "APL-TUF-005")
    assert list((tmp_path / "state").glob("*.json")) == []


def test_text_says_what_is_not_established(medium: Medium, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["trust", "media-init", str(medium.folder), str(tmp_path / "s"), "--root-digest", medium.pinned]
    assert run([*words, "--witnessed-time", "noon"]) == 2
    assert run(words) == 0
    assert "NOT established: expiry, for no witnessed time is known" in capsys.readouterr().out
