"""A supervisord of the site's own: its configuration, its start and stop, and its answers over a Unix socket.

Debian's service of the same program is another instance and is not touched. Programs are never started by themselves:
`lifecycle` starts each when what it needs is ready. One that ends unasked is started again.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import signal
import socket
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.base import atomic, process
from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from appliance.deploy.servers.place import Place, Program

MARK = "APPLIANCE_SERVERS"  # environment variable of every server: the folder of its site's servers
SOCKET_PATH_BYTES = 90  # of 107 that the kernel takes; supervisord appends a number while it binds
START_S = 10.0
STOP_S = 60.0  # of one server; PostgreSQL writes a checkpoint, Kafka closes its logs
_POLL_S = 0.1
RUNNING = ("STARTING", "RUNNING", "BACKOFF", "STOPPING")
ENDED = ("EXITED", "FATAL", "BACKOFF")
_NOT_RUNNING, _ALREADY_STARTED = 70, 60  # fault codes of supervisord
SECTION = """\
[program:{name}]
command={command}
directory={folder}
environment={environment}
{user}autostart=false
autorestart=unexpected
startsecs=1
startretries=2
stopsignal={stop_signal}
stopwaitsecs=45
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""


@dataclass(frozen=True, kw_only=True)
class State:
    """What supervisord knows of a program; pid 0 when it does not run."""

    name: str
    state: str
    pid: int
    started_s: float
    text: str


def section(name: str, program: Program, place: Place) -> str:
    """The part of the configuration for one program."""
    variables = ",".join(f"{key}={_quoted(value)}" for key, value in program.environment)
    return SECTION.format(
        name=name,
        command=_percent(shlex.join(program.command)),
        folder=_percent(str(place.folder / name)),
        environment=_percent(variables),
        user=f"user={program.user}\n" if program.user else "",
        stop_signal=program.stop_signal,
        log=_percent(str(place.log(name))),
    )


def configuration(place: Place) -> str:
    home = _percent(str(place.folder / "supervisor"))
    quiet = ",".join(f'{key}="{value}"' for key, value in process.QUIET_ENVIRONMENT.items())
    return f"""\
[unix_http_server]
file={home}/socket
chmod=0600
[supervisord]
pidfile={home}/pid
logfile={home}/supervisord.log
logfile_maxbytes=5MB
childlogdir={home}
umask=077
environment={MARK}={_quoted(_percent(str(place.folder)))},{quiet}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files={home}/programs/*.conf
"""


def _quoted(value: str) -> str:
    if '"' in value or "\n" in value:
        raise ValueError(f"{value!r} cannot stand in the configuration")
    return f'"{value}"'


def _percent(text: str) -> str:
    """supervisord expands %(names)s in every value."""
    return text.replace("%", "%%")


class Supervisor:
    """The supervisord of one site."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._home = place.folder / "supervisor"

    def is_running(self) -> bool:
        try:
            self._call("getState")
        except OSError:
            return False
        return True

    def start(self) -> None:
        """Start it unless it runs.

        Raises:
            ApplianceError: APL-SERVERS-009 the path of its socket is too long, APL-SERVERS-010, APL-BASE-003.
        """
        if self.is_running():
            return
        length = len(os.fsencode(self._home / "socket"))
        if length > SOCKET_PATH_BYTES:
            message = f"the path of its socket has {length} bytes, expected at most {SOCKET_PATH_BYTES}"
            raise ApplianceError(codes.FOLDER_UNSUITABLE, message, where=str(self._home / "socket"))
        (self._home / "programs").mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in (self._home / "programs").glob("*.conf"):  # of an earlier run; each is written when it starts
            path.unlink()
        file = self._home / "supervisord.conf"
        atomic.write_bytes(file, configuration(self._place).encode(), mode=0o600)
        process.run([self._place.built("supervisor"), "-c", file], timeout_s=START_S, folder=self._place.folder)
        self._wait(self.is_running, "did not answer after its start")

    def states(self) -> dict[str, State]:
        """All programs that it knows, by name; empty when it does not run."""
        try:
            infos = self._call("getAllProcessInfo")
        except OSError:
            return {}
        return {
            each["name"]: State(
                name=each["name"],
                state=each["statename"],
                pid=each["pid"],
                started_s=float(each["start"]),
                text=each["spawnerr"] or each["description"],
            )
            for each in infos
        }

    def launch(self, name: str, program: Program) -> None:
        """Start a program by this configuration; it is not waited for.

        Raises:
            ApplianceError: APL-SERVERS-010.
        """
        file = self._home / "programs" / f"{name}.conf"
        log = self._place.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        text = section(name, program, self._place).encode()
        known = name in self.states()
        if known and file.exists() and file.read_bytes() == text:
            self._ask("startProcess", name, False)
            return
        atomic.write_bytes(file, text, mode=0o600)
        if known:
            self._ask("removeProcessGroup", name)
        self._ask("reloadConfig")
        self._ask("addProcessGroup", name)
        self._ask("startProcess", name, False)

    def halt(self, name: str) -> None:
        """Ask a program to end and wait for it; supervisord kills it after its patience. One that has ended is fine."""
        try:
            self._call("stopProcess", name, False)
        except xmlrpc.client.Fault as error:
            if error.faultCode != _NOT_RUNNING:
                raise self._silent(str(error)) from error
        except OSError as error:
            raise self._silent(str(error)) from error
        self._wait(lambda: self.states()[name].state not in RUNNING, f"{name} did not end", STOP_S)

    def stop(self) -> None:
        """End supervisord and all that it runs."""
        pid = self._pid()
        with contextlib.suppress(OSError):
            self._call("shutdown")
        self._wait(lambda: not self.is_running() and (pid is None or not _alive(pid)), "did not end", STOP_S)

    def end_lost(self) -> int:
        """End servers of this site that no supervisord holds any more; gives how many processes there were."""
        found = lost(self._place.folder)
        for number, patience_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
            for pid in lost(self._place.folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            end_s = time.monotonic() + patience_s
            while lost(self._place.folder) and time.monotonic() < end_s:
                time.sleep(_POLL_S)
        return len(found)

    def _pid(self) -> int | None:
        try:
            return int((self._home / "pid").read_text())
        except (OSError, ValueError):
            return None

    def _ask(self, method: str, *arguments: object) -> None:
        try:
            self._call(method, *arguments)
        except xmlrpc.client.Fault as error:
            if error.faultCode != _ALREADY_STARTED:
                raise self._silent(f"{method} {arguments}: {error.faultString}") from error
        except OSError as error:
            raise self._silent(str(error)) from error

    def _call(self, method: str, *arguments: object) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(self._home / "socket"))
        return getattr(proxy.supervisor, method)(*arguments)

    def _wait(self, done: Any, message: str, patience_s: float = START_S) -> None:
        end_s = time.monotonic() + patience_s
        while not done():
            if time.monotonic() > end_s:
                raise self._silent(message)
            time.sleep(_POLL_S)

    def _silent(self, message: str) -> ApplianceError:
        return ApplianceError(codes.SUPERVISOR_SILENT, message, where=str(self._home / "supervisord.log"))


def lost(folder: Path) -> list[int]:
    """Processes that carry the mark of this folder, or are one of ours and name a file of it in their command line.

    PostgreSQL and nginx overwrite their environment, so their command line tells. This process and those above it do
    not count.
    """
    ours = _ancestors()
    mark, prefix = f"{MARK}={folder}".encode(), os.fsencode(folder) + b"/"
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            variables = (path / "environ").read_bytes().split(b"\0")
            line = (path / "cmdline").read_bytes()
            program = (path / "exe").readlink().name
        except OSError:
            continue  # it has ended, is the kernel's, or another user's
        is_ours = program in ("postgres", "nginx") or b"/supervisord\0" in line
        if (mark in variables or (is_ours and prefix in line)) and int(path.name) not in ours:
            found.append(int(path.name))
    return found


def memory_bytes(pid: int) -> int:
    """Proportional memory of a process and all below it: pages that several share count once."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    total, open_pids = 0, [pid]
    while open_pids:
        each = open_pids.pop()
        open_pids += children.get(each, [])
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 1:
        found.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, which the standard library has no class for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=START_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
