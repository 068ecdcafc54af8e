"""Kills writers of a log with -9 at random moments, and holds the log against what they were told.

Each round two processes of several threads append to one log; both are killed, at once or one after the other. A
thread notes every acknowledged append in a file of its process, by one write: a kill does not undo that.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.trust.keys import FileKeys
from appliance.trust.tiles import WIDTH, shape
from appliance.trust.tlog import TransparencyLog
from tests.fault.trust.injection import open_log

PROCESSES = 2
THREADS = 4  # of each
NEW_LOG_AT = 20_000  # entries; then the next round begins another log, so that checking stays short
LONGEST_S = 0.08  # between the first acknowledgement and the kill
WITHIN_S = 60.0

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["tests.fault.trust.kills"])


@dataclass(kw_only=True)
class Figures:
    """What was seen over all rounds."""

    kills: int = 0
    logs: int = 0
    acknowledged_entries: int = 0
    acknowledged_appends: int = 0
    unacknowledged_appends_kept: int = 0
    rounds_that_cut_a_commit_short: int = 0
    leftovers_at_the_end: int = 0
    entries_checked: int = 0


def prove(folder: Path, *, seed: int, kills: int) -> Mapping[str, Any]:
    """Kill so many writers; gives the figures, or raises AssertionError."""
    chance, figures, current = random.Random(seed), Figures(), None
    while figures.kills < kills:
        if current is None or open_log(current).size() > NEW_LOG_AT:
            figures.logs += 1
            current = make_log(folder / f"{figures.logs:03d}")
        log = open_log(current)
        size, root, before = log.size(), log.root(), leftovers(log)
        kill_writers(current, figures.kills, chance)
        figures.kills += PROCESSES
        check = log.fsck()
        assert check.ok, f"seed {seed}, kill {figures.kills}: {check.bad}"
        assert log.root(size) == root, f"seed {seed}, kill {figures.kills}: what was signed before is another tree"
        judge(current, size, figures, f"seed {seed}, kill {figures.kills}")
        figures.rounds_that_cut_a_commit_short += leftovers(log) > before
        figures.entries_checked += check.size
        assert log.append([b"and on"]) == range(check.size, check.size + 1)
        assert log.fsck().ok, f"seed {seed}, kill {figures.kills}"
        figures.leftovers_at_the_end = leftovers(log)
    return asdict(figures)


def make_log(folder: Path) -> Path:
    FileKeys(folder / "keys").create("log", "ed25519")
    open_log(folder).create()
    return folder


def kill_writers(folder: Path, number: int, chance: random.Random) -> None:
    """Start writers, wait until each has been told of an append, and kill them."""
    told = [folder / f"told.{process}" for process in range(PROCESSES)]
    for path in told:
        path.unlink(missing_ok=True)
    writers = [
        _server.Process(target=_write, args=(folder, path, f"{number + process}"), daemon=True)
        for process, path in enumerate(told)
    ]
    for writer in writers:
        writer.start()
    end_s = time.monotonic() + WITHIN_S
    while not all(path.exists() and path.stat().st_size for path in told):
        assert time.monotonic() < end_s
        assert all(writer.is_alive() for writer in writers)
        time.sleep(0.001)
    time.sleep(chance.random() * LONGEST_S)
    at_once = chance.random() < 0.5
    for writer in chance.sample(writers, len(writers)):
        writer.kill()
        if not at_once:
            time.sleep(chance.random() * LONGEST_S)
    for writer in writers:
        writer.join(WITHIN_S)
        assert writer.exitcode == -9, "a writer ended by itself"


def _write(folder: Path, told: Path, name: str) -> None:
    log = open_log(folder)
    notes = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    threads = [
        threading.Thread(target=_append_for_ever, args=(log, notes, f"{name}.{index}"), daemon=True)
        for index in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _append_for_ever(log: TransparencyLog, notes: int, name: str) -> None:
    number = 0
    while True:
        indexes = log.append(batch(name, number))
        os.write(notes, f"{name} {number} {indexes.start}\n".encode())
        number += 1


def batch(name: str, number: int) -> list[bytes]:
    """What the thread `name` appends as its `number`-th: a few entries, or enough to pass a tile."""
    size = 130 if number % 9 == 5 else number % 7 + 1
    return [f"{name} {number} {index} {size}".encode() for index in range(size)]


def judge(folder: Path, before: int, figures: Figures, where: str) -> None:
    """Every acknowledged append is where its writer was told; of each thread at most one more, and whole."""
    entries = list(open_log(folder).entries(before))
    acknowledged: dict[str, int] = {}
    for process in range(PROCESSES):
        for line in (folder / f"told.{process}").read_text().splitlines():
            name, number, start = line.split()
            expected = batch(name, int(number))
            at = int(start) - before
            assert entries[at : at + len(expected)] == expected, f"{where}: an acknowledged append is lost: {line}"
            acknowledged[name] = acknowledged.get(name, 0) + 1
            figures.acknowledged_appends += 1
            figures.acknowledged_entries += len(expected)
    found: dict[str, int] = {}
    while entries:
        name, number, _, _ = entries[0].decode().split()
        assert int(number) == found.get(name, 0), f"{where}: appends of a thread out of order"
        expected = batch(name, int(number))
        assert entries[: len(expected)] == expected, f"{where}: half an append"
        entries = entries[len(expected) :]
        found[name] = int(number) + 1
    for name, count in found.items():
        more = count - acknowledged.get(name, 0)
        assert more in (0, 1), f"{where}: {name} was told of {acknowledged.get(name, 0)} appends, the log has {count}"
        figures.unacknowledged_appends_kept += more


def leftovers(log: TransparencyLog) -> int:
    """Files beyond those of the tree: what commits that were cut short have left."""
    tiles = [full + (width > 0) for _, full, width in shape(log.size())]
    needed = 2 + sum(tiles) + -(-log.size() // WIDTH)  # with the checkpoint and the lock
    return sum(path.is_file() for path in log.folder.rglob("*")) - needed
