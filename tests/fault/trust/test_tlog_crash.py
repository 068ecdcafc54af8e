"""After any fault the log is the old tree or the new one, and goes on."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import appliance
from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.keys import FileKeys
from appliance.trust.tlog import TransparencyLog

WRITER = """
import sys
from pathlib import Path
from appliance.trust.keys import FileKeys
from appliance.trust.tlog import TransparencyLog
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log = TransparencyLog(folder / "log", "log.test", FileKeys(folder / "keys").load("log"))
number = 0
while number != count:
    size = number % 7 + 1 if number % 5 else 130
    log.append([f"{name} {number} {index} {size}".encode() for index in range(size)])
    number += 1
    print(number, flush=True)
"""


def start_writer(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(appliance.__file__).parents[1])},
    )


def open_log(folder: Path) -> TransparencyLog:
    return TransparencyLog(folder / "log", "log.test", FileKeys(folder / "keys").load("log"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FileKeys(tmp_path / "keys").create("log", "ed25519")
    open_log(tmp_path).create()
    return tmp_path


def batches(log: TransparencyLog, name: str) -> list[int]:
    """Numbers of the batches of a writer, each found whole."""
    found: list[int] = []
    rows = [entry.decode().split() for entry in log.entries() if entry.startswith(name.encode())]
    while rows:
        number, size = int(rows[0][1]), int(rows[0][3])
        assert [row[1:] for row in rows[:size]] == [[str(number), str(index), str(size)] for index in range(size)]
        rows = rows[size:]
        found.append(number)
    return found


def test_kill_at_random_moments(folder: Path) -> None:
    chance = random.Random(7)
    for attempt in range(12):
        name = f"w{attempt}"
        writer = start_writer(folder, name, -1)
        assert writer.stdout is not None
        writer.stdout.readline()  # it is at work
        time.sleep(chance.random() * 0.04)
        writer.send_signal(signal.SIGKILL)
        told = [1, *map(int, writer.stdout.read().split())]
        writer.wait()
        log = open_log(folder)
        check = log.fsck()
        assert check.ok, check.bad
        done = batches(log, name)
        assert done == list(range(len(done)))
        assert len(done) - told[-1] in (0, 1)  # everything that was reported, and at most the one that was not
    open_log(folder).append([b"and on"])
    assert open_log(folder).fsck().ok


def test_two_processes_append_at_once(folder: Path) -> None:
    writers = [start_writer(folder, name, 40) for name in ("left", "right")]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    log = open_log(folder)
    assert log.fsck().ok
    assert batches(log, "left") == batches(log, "right") == list(range(40))


class Failing:
    """Lets `calls` system calls through and fails the next one, once."""

    def __init__(self, patch: pytest.MonkeyPatch, calls: int, number: int) -> None:
        self.left = calls
        self.number = number
        for module, name in ((os, "fsync"), (os, "replace"), (os, "mkdir"), (os, "unlink"), (os, "fchmod")):
            patch.setattr(module, name, self.wrap(getattr(module, name)))

    def wrap(self, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                raise OSError(self.number, os.strerror(self.number))
            return real(*arguments, **options)

        return call


def code_of(call: Callable[[], object]) -> str:
    """The code of its error; empty when there is none."""
    try:
        call()
    except ApplianceError as error:
        return error.code.id
    return ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("before", [0, 254, 300])
def test_an_error_at_every_call(tmp_path: Path, before: int, number: int) -> None:
    """ENOSPC, EIO or EROFS at the first, second, ... system call of an append."""
    key = keys.generate("ed25519")
    log = TransparencyLog(tmp_path, "log.test", key)
    log.create()
    log.append([b"%d" % index for index in range(before)])
    expected = list(log.entries())
    for calls in range(200):
        batch = [b"batch %d.%d" % (calls, index) for index in range(3)]
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, calls, number)
            code = code_of(lambda batch=batch: log.append(batch))
        entries = list(TransparencyLog(tmp_path, "log.test", key).entries())
        assert entries in (expected, expected + batch)
        assert code in ("", "APL-BASE-002")
        assert code or entries == expected + batch
        assert log.fsck().ok, log.fsck().bad
        expected = entries
        if failing.left >= 0:
            return
    pytest.fail("an append makes more than 200 calls")
