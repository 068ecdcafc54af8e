"""Boots a root folder as a machine of its own by systemd-nspawn, and takes its power.

Rules
1. The machine is in a network namespace that exists already, in mount and process namespaces that go with it, and in a
   control group of its own: two machines in one control group would end each other's services.
2. kill -9 of its supervisor is a power cut: the kernel ends every process of the machine at once. The same happens when
   whoever started it dies, if killed too. What the machine wrote and did not sync is still there, unlike after a power
   cut of hardware: the kernel goes on. Torn writes are a matter for ``tests/fault``.
3. It shares the kernel: no modules, clock, audit or AppArmor of its own, and no limits of memory or processor time
   where this machine has the controllers of cgroup v1.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.testbed import NAMESPACES, hierarchies

REBOOTED = 133  # exit status of a supervisor that is to be started again: EXIT_FORCE_RESTART of systemd
POWEROFF, REBOOT = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5  # as systemd(1) has them
INIT = ("systemd", "init")
# $1 overlay, $2 its options, $3 control group; then the supervisor.
BOOT = """\
mkdir -p "$3"
echo 0 > "$3/cgroup.procs"
mount -t overlay overlay -o "$2" "$1"
shift 3
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a machine is made of.

    Attributes:
        name: of machine and control group.
        lower: the root that is never written; `folder` takes what is.
        media: folder here -> place in the machine, read only.
    """

    name: str
    namespace: str
    lower: Path
    folder: Path
    media: Sequence[tuple[Path, str]] = ()


class Machine:
    """A machine that runs, from its construction on. Start it from a thread that outlives it: it dies with that."""

    def __init__(self, parts: Parts) -> None:
        (group, *_) = sorted(hierarchies(), key=lambda path: (path / "cgroup.controllers").exists(), reverse=True)
        layers = {"lowerdir": parts.lower, "upperdir": parts.folder / "upper", "workdir": parts.folder / "work"}
        merged = parts.folder / "root"
        for folder in (layers["upperdir"], layers["workdir"], merged):
            folder.mkdir(parents=True, exist_ok=True)
        options = ",".join(f"{key}={value}" for key, value in layers.items())
        self.console = parts.folder / "console"
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),  # of the next, when this process dies
                    *("unshare", "--mount", "--propagation", "private", "--pid", "--mount-proc"),
                    *("--fork", "--kill-child=KILL"),
                    *("sh", "-euc", BOOT, "sh", str(merged), options, str(group / parts.name)),
                    *("systemd-nspawn", "--quiet", "--boot", f"--directory={merged}", f"--machine={parts.name}"),
                    *("--register=no", "--keep-unit"),  # there may be no systemd here to register with
                    f"--network-namespace-path={NAMESPACES / parts.namespace}",
                    "--capability=CAP_NET_ADMIN",  # the machine's own firewall
                    *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),  # nothing of this machine's
                    "--console=read-only",
                    *(f"--bind-ro={source}:{target}" for source, target in parts.media),
                ],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # the machine sets sysctls of its network
                },
            )  # fmt: skip

    def init(self) -> int | None:
        """The machine's first process as this machine numbers it; None: it does not run, or not yet."""
        found = [init for supervisor in _children(self._process.pid) for init in _children(supervisor)]
        # Before it is systemd it has not entered all its namespaces.
        return next((pid for pid in found if _command(pid) in INIT), None)

    def signal(self, number: int) -> None:
        """Send a signal to the machine's first process."""
        if (pid := self.init()) is None:
            raise ProcessLookupError("the machine does not run")
        os.kill(pid, number)

    def power_cut(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def ended(self, timeout_s: float = 0) -> int | None:
        """Exit status of its supervisor; None: it still runs after that time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in listed.stdout.split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it has just ended
        return ""
