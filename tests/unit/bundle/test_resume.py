"""`bundle verify --resume`: what was hashed is not read again, what changed is, and the end leaves nothing behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import codes, hashing, verify
from appliance.bundle.verify import BundleQuestion
from appliance.trust.verdict import Verdict
from tests.bundles import DEB, Releaser, flip
from tests.volumes import LARGE


class Stops(NoProgress):
    """Interrupts after so many bytes of the bundle's files; counts them."""

    def __init__(self, after: int = 1 << 60) -> None:
        self.after, self.read, self.hashing = after, 0, False

    def begin(self, what: str, total: int | None) -> None:
        self.hashing = what == "verify files"

    def advance(self, amount: int) -> None:
        if self.hashing:
            self.read += amount
            if self.read > self.after:
                raise KeyboardInterrupt


@pytest.fixture
def medium(large_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(large_bundle, tmp_path / "demo"))


@pytest.fixture
def ask(media_releaser: Releaser, medium: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    real = hashing.hash_files
    monkeypatch.setattr(verify, "hash_files", lambda *rest: real(*rest, workers=1))  # in order of name

    def verdict(progress: Stops, resume: str = "record") -> Verdict:
        question = BundleQuestion(root_digest=media_releaser.root_digest, resume=tmp_path / resume)
        return verify.verify_bundle(medium, question, progress)[0]

    return verdict


def interrupted(ask: Callable, after: int = 8_000_000) -> int:
    stops = Stops(after)
    with pytest.raises(KeyboardInterrupt):
        ask(stops)
    return stops.read


def whole(medium: Path) -> int:
    return sum(path.stat().st_size for path in medium.rglob("*") if path.is_file() and "trust" not in path.parts)


def test_it_goes_on_where_it_was_interrupted(ask: Callable, medium: Path, tmp_path: Path) -> None:
    interrupted(ask)
    assert (tmp_path / "record").stat().st_mode & 0o777 == 0o600
    again = Stops()
    verdict = ask(again)
    assert verdict.ok, verdict.text()
    assert again.read < whole(medium) - 7_000_000
    assert any("interrupted run hashed" in each for each in verdict.not_established)


def test_what_ended_leaves_no_record(ask: Callable, medium: Path, tmp_path: Path) -> None:
    verdict = ask(Stops())
    assert verdict.ok
    assert not any("interrupted" in each for each in verdict.not_established)
    assert not (tmp_path / "record").exists()


def keep_times(path: Path, change: Callable[[Path], object]) -> None:
    status = path.stat()
    change(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "flipped, with the old time": lambda path: keep_times(path, flip),
    "exchanged for another file": lambda path: (
        path.with_name("new").write_bytes(path.read_bytes()[:-1] + b"?"), path.with_name("new").replace(path)),
}  # fmt: skip


@pytest.mark.parametrize("how", CHANGES)
def test_what_changed_since_is_hashed_again(ask: Callable, medium: Path, how: str) -> None:
    interrupted(ask)
    CHANGES[how](medium / LARGE)
    verdict = ask(Stops())
    assert [(each.detail[:14], each.path) for each in verdict.broken] == [(codes.MEMBER_CHANGED.id, LARGE)]


def test_a_file_that_did_not_hold_is_hashed_again(ask: Callable, medium: Path, tmp_path: Path) -> None:
    flip(medium / DEB)
    interrupted(ask)
    assert DEB not in (tmp_path / "record").read_text()
    assert not ask(Stops()).ok


def test_another_bundle_begins_anew(ask: Callable, medium: Path, tmp_path: Path) -> None:
    interrupted(ask)
    lines = (tmp_path / "record").read_bytes().splitlines(keepends=True)
    (tmp_path / "record").write_bytes(b'"sha256:%s"\n' % (b"0" * 64) + b"".join(lines[1:]))
    again = Stops()
    assert ask(again).ok
    assert again.read == whole(medium) - (medium / "manifest.json").stat().st_size


@pytest.mark.parametrize(
    "tail", [b'["docs/index.html", "sha', b"[]\n", b"{}\n", b"null\n", b"\xff\n", b'["a", 1, 2]\n']
)
def test_lines_that_are_none_say_nothing(ask: Callable, tmp_path: Path, tail: bytes) -> None:
    interrupted(ask)
    with (tmp_path / "record").open("ab") as record:
        record.write(tail)
    interrupted(ask, 1_000)
    assert ask(Stops()).ok


@pytest.mark.parametrize("how", ["writable by others", "a link"])
def test_a_record_that_others_could_write_is_refused(ask: Callable, tmp_path: Path, how: str) -> None:
    interrupted(ask)
    if how == "a link":
        (tmp_path / "record").rename(tmp_path / "elsewhere")
        (tmp_path / "record").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "record").chmod(0o666)
    with pytest.raises(ApplianceError) as caught:
        ask(Stops())
    assert caught.value.code.id in (codes.UNREADABLE.id, "APL-BASE-002")
