"""What one run of tests makes on the machine: namespaces, control groups, a folder. All of it goes at the end.

Rules
1. Everything bears the name ``appliance-e2e-<id>-...``; the id is new in each run.
2. A run holds the lock of its id, which the kernel lets go when the process dies. Whoever begins a run removes first
   what runs left behind whose lock nobody holds: those that were killed.
3. Nothing of the machine's own network is touched: no interface, route, address or rule is made in its namespace.

Needs root.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from appliance.base.atomic import exclusive
from appliance.base.errors import ApplianceError
from tests.e2e.root import CHECKOUT

PREFIX = "appliance-e2e"
RUNS = Path("/run") / PREFIX  # one folder per run: goes with a reboot, as do namespaces and control groups
NAMESPACES = Path("/run/netns")
GONE_S = 20  # in which the processes of a namespace have to be gone after kill -9


class Testbed:
    """The context of one run.

    Attributes:
        folder: on disk; what hosts write is here.
    """

    __test__ = False  # pytest takes each Test... for a test

    def __init__(self) -> None:
        self.id = secrets.token_hex(3)
        self.folder = CHECKOUT / "build" / "e2e" / self.id
        self._held = contextlib.ExitStack()

    def name(self, part: str) -> str:
        return f"{PREFIX}-{self.id}-{part}"

    def __enter__(self) -> Testbed:
        if os.geteuid() != 0:
            raise PermissionError("test hosts need namespaces and mounts, and so root")
        with exclusive(RUNS / "lock"):  # nobody takes a run that is just beginning for one that has died
            for left in RUNS.glob("*/lock"):
                _remove_if_dead(left.parent)
            self._held.enter_context(exclusive(RUNS / self.id / "lock"))
            (RUNS / self.id / "folder").write_text(str(self.folder))
        self.folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        remove(self.id)
        self._held.close()

    def namespace(self, part: str) -> str:
        """Make a network namespace that forwards nothing; gives its name."""
        name = self.name(part)
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        # A new namespace takes over the IPv4 settings of the machine, which may be a router.
        forwarding = "net.ipv4.conf.all.forwarding=0", "net.ipv6.conf.all.forwarding=0"
        command("ip", "netns", "exec", name, "sysctl", "--quiet", "--write", *forwarding)
        return name


def command(*words: str, input: str | None = None) -> str:
    """Run one of the machine's programs; gives what it printed. What it said is a note of the error."""
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, input=input, timeout=60).stdout
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr)
        raise


def ip(*words: str) -> str:
    return command("ip", *words)


def remove(id: str) -> None:
    """Remove everything that the run `id` made; what is gone already is no error."""
    mine = f"{PREFIX}-{id}-"
    namespaces = [path.name for path in NAMESPACES.glob(f"{mine}*")]
    groups = [top for each in hierarchies() for top in each.glob(f"{mine}*")]
    _kill(namespaces, groups)
    for name in namespaces:
        ip("netns", "delete", name)
    for top in groups:
        _remove_groups(top)
    record = RUNS / id
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree((record / "folder").read_text())
    shutil.rmtree(record, ignore_errors=True)


def hierarchies() -> Sequence[Path]:
    """Where a host's control groups appear: in cgroup v2, and in systemd's hierarchy of v1 where there are both."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [
        Path(place)
        for _, place, kind, options, *_ in mounts
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(","))
    ]


def _remove_if_dead(record: Path) -> None:
    try:
        with exclusive(record / "lock", wait=False):
            remove(record.name)
    except ApplianceError as error:
        if error.code.id != "APL-BASE-006":  # held: it is alive
            raise


def _kill(namespaces: Sequence[str], groups: Sequence[Path]) -> None:
    """Kill whatever is in them. A machine's first process takes all others with it, but not its supervisor outside."""
    end = time.monotonic() + GONE_S
    while pids := [*_in_namespaces(namespaces), *_in_groups(groups)]:
        if time.monotonic() > end:
            raise TimeoutError(f"processes {pids} of {', '.join(namespaces)} outlive kill -9 by {GONE_S} s")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _in_namespaces(namespaces: Sequence[str]) -> list[int]:
    return [int(pid) for name in namespaces for pid in ip("netns", "pids", name).split()]


def _in_groups(groups: Sequence[Path]) -> list[int]:
    # 0 stands for a process that cannot be seen from here: there is none, as this is no pid namespace of its own.
    return [int(pid) for top in groups for each in top.rglob("cgroup.procs") for pid in each.read_text().split()]


def _remove_groups(top: Path) -> None:
    for folder in sorted((path for path in [top, *top.rglob("*")] if path.is_dir()), reverse=True):
        folder.rmdir()
