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


def test_a_narrower_tile_that_was_not_removed_is_a_leftover(tmp_path: Path) -> None:
    log = make_log(tmp_path, 300)
    hashes = (tmp_path / "tile/0/000").read_bytes()
    (tmp_path / "tile/0/000.p").mkdir()
    (tmp_path / "tile/0/000.p/7").write_bytes(hashes[: 7 * 32])
    assert log.fsck().ok
    (tmp_path / "tile/0/000.p/7").write_bytes(hashes[32 : 8 * 32])
    assert [bad.path for bad in log.fsck().bad] == ["tile/0/000.p/7"]


@pytest.mark.parametrize(
    "name",
    ["tile/0/0", "tile/0/x000/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/\u0663", "tile/9/000", "tile/x"],
)
def test_names_of_another_spelling_are_foreign(tmp_path: Path, name: str) -> None:
    log = make_log(tmp_path, 3)
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).write_bytes(b"")
    assert [bad.path for bad in log.fsck().bad] == [name]


class Steps:
    """Records what a progress line would show."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int | None]] = []
        self.done = 0

    def begin(self, what: str, total: int | None) -> None:
        self.begun.append((what, total))

    def advance(self, amount: int) -> None:
        self.done += amount


def test_long_work_tells_where_it_is(tmp_path: Path) -> None:
    log = make_log(tmp_path, 700)
    checking, reading = Steps(), Steps()
    log.fsck(progress=checking)
    log_check.verified_entries(tmp_path, log.key, progress=reading)
    assert (checking.begun, checking.done) == ([("recomputing the log", 700)], 700)
    assert (reading.begun, reading.done) == ([("verifying the log", 700)], 700)


class TestReplay:
    """No entry is handed out before it was verified against the signed root."""

    @pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 700, 65_536, 66_000])
    def test_gives_every_entry_with_its_index(self, tmp_path: Path, size: int) -> None:
        log = make_log(tmp_path, size)
        replayed = list(log_check.replay(tmp_path, log.checkpoint()))
        assert replayed == [(index, b"entry %d" % index) for index in range(size)]

    def test_reads_the_tree_of_its_checkpoint_while_the_log_grows(self, tmp_path: Path) -> None:
        log = make_log(tmp_path, 300)
        replayed = log_check.replay(tmp_path, log.checkpoint())
        first = next(replayed)
        for _ in range(3):
            log.append([b"later"] * 200)
        assert [first, *replayed] == [(index, b"entry %d" % index) for index in range(300)]

    @pytest.mark.parametrize(
        ("name", "before"),
        [
            ("tile/entries/000", 0),
            ("tile/entries/001", 256),
            ("tile/entries/002.p/188", 512),
            ("tile/0/002.p/188", 0),  # the right edge is read first
            ("tile/1/000.p/2", 0),
        ],
    )
    def test_stops_before_the_first_entry_that_is_not_proven(self, tmp_path: Path, name: str, before: int) -> None:
        log = make_log(tmp_path, 700)
        data = (tmp_path / name).read_bytes()
        for position in {1, 2, len(data) // 2, len(data) - 1}:
            flip(tmp_path / name, position)
            out = []
            with pytest.raises(ApplianceError) as caught:
                out.extend(log_check.replay(tmp_path, log.checkpoint()))
            assert caught.value.code.id == "APL-TRUST-002"
            assert len(out) == before
            with pytest.raises(ApplianceError) as caught:
                log_check.verified_entries(tmp_path, log.key)
            assert caught.value.where == str(tmp_path / name)
            (tmp_path / name).write_bytes(data)

    def test_a_middle_tile_above_the_entries_is_verified_too(self, tmp_path: Path) -> None:
        """Level 1 is full here: its tile stands below the right edge."""
        log = make_log(tmp_path, 65_600)
        flip(tmp_path / "tile/1/000", 40)
        with pytest.raises(ApplianceError, match="tile/1/000: does not hold the hashes that were signed"):
            next(log_check.replay(tmp_path, log.checkpoint()))

    def test_hides_no_entry_that_was_swapped_for_another(self, tmp_path: Path) -> None:
        log = make_log(tmp_path, 300)
        path = tmp_path / "tile/entries/000"
        path.write_bytes(path.read_bytes().replace(b"entry 7", b"entry 8", 1))
        with pytest.raises(ApplianceError, match="tile/entries/000: entries do not have the hashes"):
            next(log_check.replay(tmp_path, log.checkpoint()))


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
