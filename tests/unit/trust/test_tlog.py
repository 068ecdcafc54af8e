"""The log as a writer and its readers see it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.trust import keys, merkle
from appliance.trust.tiles import tile_path
from appliance.trust.tlog import TransparencyLog

KEY = keys.generate("ed25519")


@pytest.fixture
def log(tmp_path: Path) -> TransparencyLog:
    made = TransparencyLog(tmp_path / "log", "log.test", KEY)
    made.create()
    return made


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (999, 256, "tile/0/999"),
        (1000, 256, "tile/0/x001/000"),
        (1_234_067, 256, "tile/0/x001/x234/067"),
        (1_234_067, 8, "tile/0/x001/x234/067.p/8"),
    ],
)
def test_tile_names_of_the_specification(number: int, width: int, path: str) -> None:
    assert tile_path(0, number, width) == path


def test_an_empty_log_has_a_signed_checkpoint(log: TransparencyLog) -> None:
    assert (log.size(), log.root(), log.checkpoint().root) == (0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)


def test_create_leaves_a_log_as_it_is(log: TransparencyLog) -> None:
    log.append([b"a"])
    log.create()
    assert log.size() == 1


def test_two_writers_see_each_other(log: TransparencyLog) -> None:
    other = TransparencyLog(log.folder, "log.test", KEY)
    assert [log.append([b"a"]), other.append([b"b", b"c"]), log.append([b"d"])] == [
        range(0, 1),
        range(1, 3),
        range(3, 4),
    ]
    assert list(other.entries()) == [b"a", b"b", b"c", b"d"]


def test_a_reader_keeps_its_tree_while_others_append(log: TransparencyLog) -> None:
    log.append([b"%d" % index for index in range(250)])
    tree = log.tree()
    root = log.root()
    for index in range(20):
        log.append([b"later %d" % index])
    assert not (log.folder / tile_path(0, 0, 250)).exists()
    assert (tree.root(), tree.entry(249), len(list(tree.entries()))) == (root, b"249", 250)
    with pytest.raises(IndexError):
        tree.entry(250)
    with pytest.raises(IndexError):
        next(tree.entries(-1))


def test_large_entries_are_refused_before_anything_is_written(log: TransparencyLog) -> None:
    log.append([b"x" * 65_535])
    with pytest.raises(ApplianceError, match="65536 bytes, at most 65535") as caught:
        log.append([b"fine", b"x" * 65_536])
    assert (caught.value.code.id, log.size()) == ("APL-TRUST-001", 1)


@pytest.mark.parametrize("name", ["tile/entries/000.p/3", "tile/0/000.p/3"])
def test_a_damaged_log_does_not_grow(log: TransparencyLog, name: str) -> None:
    log.append([b"a", b"b", b"c"])
    path = log.folder / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ApplianceError) as caught:
        log.append([b"d"])
    assert (caught.value.code.id, log.size()) == ("APL-TRUST-002", 3)


def test_a_foreign_checkpoint_stops_everything(log: TransparencyLog) -> None:
    stranger = TransparencyLog(log.folder, "log.test", keys.generate("ed25519"))
    with pytest.raises(ApplianceError) as caught:
        stranger.append([b"a"])
    assert caught.value.code.id == "APL-TRUST-003"


def test_a_missing_checkpoint_is_named(log: TransparencyLog) -> None:
    (log.folder / "checkpoint").unlink()
    with pytest.raises(ApplianceError) as caught:
        log.size()
    assert (caught.value.code.id, caught.value.where) == ("APL-TRUST-002", str(log.folder / "checkpoint"))


def test_opening_and_appending_do_not_replay(log: TransparencyLog) -> None:
    log.append([b"%d" % index for index in range(10_000)])
    began = time.perf_counter()
    TransparencyLog(log.folder, "log.test", KEY).root()
    opened_s = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(10):
        log.append([b"small"])
    appended_s = (time.perf_counter() - began) / 10
    assert opened_s < 0.2  # measured 1 ms, 20 ms promised; the slack is for loaded machines
    assert appended_s < 0.1  # measured 3 ms, 10 ms promised
