"""Runs an append in a process of its own under strace, and lets one system call of it fail or kill it.

The process is forked from a server that has loaded everything, and made one append to another log; strace is attached
when it is about to begin, so that its calls are those of the append alone and the n-th call is the n-th each time.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.trust import keys, log_check, merkle
from appliance.trust.keys import FileKeys
from appliance.trust.tlog import TransparencyLog

ORIGIN = "log.test"
CALLS = (
    "openat", "write", "fsync", "fdatasync", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "unlink",
    "unlinkat", "rmdir", "link", "linkat", "fchmod", "fchmodat", "close", "flock", "ftruncate",
)  # fmt: skip
READS = ("newfstatat", "read", "getdents64")
ACKNOWLEDGED, FOREIGN, KILLED = "acknowledged", "foreign", "killed"
EXITS = {0: ACKNOWLEDGED, 2: "APL-BASE-002", 3: "APL-TRUST-002", -9: KILLED}
WITHIN_S = 60.0

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["appliance.trust.tlog", "tests.fault.trust.injection"])


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The `number`-th call of `call` (from 1) does not happen: strace's ``error=EIO``, or ``signal=KILL``."""

    call: str
    number: int
    what: str

    @property
    def option(self) -> str:
        return f"inject={self.call}:{self.what}:when={self.number}"


def make_template(folder: Path, entries: Sequence[bytes]) -> Path:
    """A log of `entries`, to be copied for each case."""
    FileKeys(folder / "keys").create("log", "ed25519")
    log = open_log(folder)
    log.create()
    log.append(entries)
    (folder / "log" / "lock").unlink()  # or all copies would share its lock
    return folder


def copy(template: Path, folder: Path) -> Path:
    """A copy by hard links: the log only ever replaces files."""
    shutil.copytree(template / "keys", folder / "keys")
    shutil.copytree(template / "log", folder / "log", copy_function=os.link)
    return folder


def open_log(folder: Path) -> TransparencyLog:
    return TransparencyLog(folder / "log", ORIGIN, FileKeys(folder / "keys").load("log"))


def traced_append(folder: Path, entries: Sequence[bytes], *options: str) -> tuple[str, list[str]]:
    """How the append ended, and its system calls in order; `options` are given to strace with -e."""
    here, there = _server.Pipe()
    process = _server.Process(target=_append, args=(there, folder, list(entries)))
    process.start()
    there.close()
    assert here.recv() == "ready"
    trace = folder / "trace"
    command = ["strace", "-o", str(trace), "-p", str(process.pid), "-e", "trace=" + ",".join((*CALLS, *READS))]
    for option in options:
        command += ["-e", option]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_tracer(process.pid, tracer)
        here.send("go")
        process.join(WITHIN_S)
        tracer.wait(WITHIN_S)
    finally:
        process.kill()
        tracer.kill()
        here.close()
    calls = re.findall(r"^(\w+)\(", trace.read_text(), re.MULTILINE)
    return EXITS.get(process.exitcode, FOREIGN), calls


def _append(parent: Connection, folder: Path, entries: list[bytes]) -> None:
    log = open_log(folder)
    other = TransparencyLog(folder / "other", ORIGIN, keys.generate("ed25519"))
    other.create()
    other.append([b"so that everything is loaded"] * 257)
    other.append([b"and cached"] * 257)
    parent.send("ready")
    parent.recv()
    try:
        log.append(entries)
        os._exit(0)
    except ApplianceError as error:
        os._exit(next((code for code, id in EXITS.items() if id == error.code.id), 99))
    finally:
        os._exit(99)  # any other error, without its traceback


def _wait_for_tracer(pid: int | None, tracer: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + WITHIN_S
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        assert tracer.poll() is None, "strace could not attach"
        assert time.monotonic() < end_s
        time.sleep(0.002)


def root_of(entries: Sequence[bytes]) -> bytes:
    return merkle.root(merkle.leaf_hashes(entries))


def state(folder: Path) -> tuple[int, bytes]:
    """Size and root of a log whose every file is right."""
    log = open_log(folder)
    found = log_check.check_log(log.folder, log.key)
    assert found.ok, found.bad
    return found.size, found.root
