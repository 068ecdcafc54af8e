"""The log check names the file that was altered, for every byte of every file."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.trust import keys, log_check
from appliance.trust.tlog import TransparencyLog

KEY = keys.generate("ed25519")


def make_log(folder: Path, size: int) -> TransparencyLog:
    log = TransparencyLog(folder, "log.test", KEY)
    log.create()
    log.append([b"entry %d" % index for index in range(size)])
    return log


def files_of(log: TransparencyLog) -> list[Path]:
    return sorted(path for path in log.folder.rglob("*") if path.is_file() and path.name != "lock")


def flip(path: Path, position: int) -> bytes:
    data = path.read_bytes()
    path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    return data


def assert_named(log: TransparencyLog, path: Path) -> None:
    name = path.relative_to(log.folder).as_posix()
    assert [bad.path for bad in log.fsck().bad] == [name]


@pytest.mark.parametrize("size", [0, 1, 5])
def test_every_flipped_byte_of_a_small_log_is_found_in_its_file(tmp_path: Path, size: int) -> None:
    log = make_log(tmp_path, size)
    assert log.fsck().ok
    for path in files_of(log):
        for position in range(path.stat().st_size):
            data = flip(path, position)
            assert_named(log, path)
            path.write_bytes(data)
    assert log.fsck().ok


@pytest.mark.parametrize("size", [256, 300, 513, 700])
def test_flipped_bytes_of_every_file_of_a_larger_log(tmp_path: Path, size: int) -> None:
    log = make_log(tmp_path, size)
    paths = files_of(log)
    assert {path.relative_to(tmp_path).parts[1] for path in paths if "tile" in path.parts} >= {"0", "1", "entries"}
    for path in paths:
        length = path.stat().st_size
        for position in sorted({0, 1, length // 3, length // 2, length - 1}):
            data = flip(path, position)
            assert_named(log, path)
            path.write_bytes(data)


@pytest.mark.parametrize("size", [3, 300])
def test_missing_and_cut_files(tmp_path: Path, size: int) -> None:
    log = make_log(tmp_path, size)
    for path in files_of(log):
        data = path.read_bytes()
        path.unlink()
        assert_named(log, path)
        path.write_bytes(data[:-1])
        assert_named(log, path)
        path.write_bytes(data)
    assert log.fsck().ok


def test_altered_entries_with_matching_tiles_break_the_checkpoint(tmp_path: Path) -> None:
    """Somebody who rewrites entries and tiles alike still lacks the log's key."""
    log = make_log(tmp_path / "a", 5)
    other = TransparencyLog(tmp_path / "b", "log.test", keys.generate("ed25519"))
    other.create()
    other.append([b"other %d" % index for index in range(5)])
    for path in files_of(other):
        if path.name != "checkpoint":
            (log.folder / path.relative_to(other.folder)).write_bytes(path.read_bytes())
    bad = log.fsck().bad
    assert [file.path for file in bad] == ["checkpoint"]
    assert "signs the root" in bad[0].reason


def test_two_altered_files_are_both_named(tmp_path: Path) -> None:
    log = make_log(tmp_path, 700)
    flip(tmp_path / "tile/entries/000", 10)
    flip(tmp_path / "tile/0/001", 10)
    assert [bad.path for bad in log.fsck().bad] == ["tile/0/001", "tile/entries/000"]


def test_foreign_files_are_named(tmp_path: Path) -> None:
    log = make_log(tmp_path, 3)
    (tmp_path / "tile/0/notes.txt").write_text("x")
    assert [bad.path for bad in log.fsck().bad] == ["tile/0/notes.txt"]


def test_a_leftover_must_agree_with_the_signed_part(tmp_path: Path) -> None:
    log = make_log(tmp_path, 3)
    wider = tmp_path / "tile/entries/000.p/4"
    signed = (tmp_path / "tile/entries/000.p/3").read_bytes()
    wider.write_bytes(signed + b"\0\1x")
    assert log.fsck().ok
    wider.write_bytes(b"\0\1y" + signed)
    assert [bad.path for bad in log.fsck().bad] == ["tile/entries/000.p/4"]


class TestVerifyEntry:
    def test_gives_a_proof(self, tmp_path: Path) -> None:
        log = make_log(tmp_path, 300)
        proof = log_check.verify_entry(tmp_path, log.key, b"entry 270")
        assert (proof.index, proof.size, proof.root) == (270, 300, log.root())

    def test_an_absent_entry(self, tmp_path: Path) -> None:
        log = make_log(tmp_path, 3)
        with pytest.raises(ApplianceError, match="none of the 3 entries") as caught:
            log_check.verify_entry(tmp_path, log.key, b"never written")
        assert caught.value.code.id == "APL-TRUST-011"

    @pytest.mark.parametrize("name", ["tile/entries/000", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"])
    def test_an_altered_file_on_the_way_is_named(self, tmp_path: Path, name: str) -> None:
        log = make_log(tmp_path, 300)
        flip(tmp_path / name, 5)
        with pytest.raises(ApplianceError) as caught:
            log_check.verify_entry(tmp_path, log.key, b"entry 0")
        assert caught.value.code.id == "APL-TRUST-002"
        assert caught.value.where == str(tmp_path / name)
