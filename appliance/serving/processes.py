"""Starts, finds and stops the gateway and the model services of a site, and other programs of ours.

Rules
1. One record file per process, ``<folder>/<name>.json`` (``serving/processes`` unless told): pid, the kernel's start
   time of that pid, port, and what it serves. A record whose pid is gone, or belongs to a younger process,
   counts as not running: pids are reused.
2. Everything listens on 127.0.0.1. A process is started only after its port was found free, and counts as started
   only when it answers its readiness path.
3. Processes outlive the command that started them, and are stopped by their own record only. The record is written
   before the readiness is waited for; whoever finds it waits as well.
4. A kill between start and record leaves a process without one. It carries its name in its environment (`MARK`), and
   the next start under that name, or `stop_all`, ends it.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from appliance.base import atomic, process
from appliance.base.errors import ApplianceError
from appliance.config.site import Site
from appliance.serving import codes

GATEWAY = "gateway"
MARK = "APPLIANCE_PROCESS"  # environment variable: name and folder of the record
READY_PATH = "/readyz"
READY_WITHIN_S = 60.0
_POLL_S = 0.05
PORTS_TRIED = 64


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One started process.

    Attributes:
        started_ticks: field 22 of /proc/PID/stat, clock ticks since boot.
        serves: artifact id of a model service, empty for the gateway.
    """

    name: str
    pid: int
    started_ticks: int
    port: int
    serves: str
    log: str


class Processes:
    """The processes of one site whose records are in one folder; `stop_all` stops these and no others."""

    def __init__(self, site: Site, folder: Path | None = None) -> None:
        self._site = site
        self._folder = folder or site.serving / "processes"

    def running(self, name: str) -> ProcessRecord | None:
        """The record of a process that runs now."""
        try:
            record = msgspec.json.decode((self._folder / f"{name}.json").read_bytes(), type=ProcessRecord)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return record if _started_ticks(record.pid) == record.started_ticks else None

    def all_running(self) -> tuple[ProcessRecord, ...]:
        names = sorted(path.stem for path in self._folder.glob("*.json"))
        return tuple(record for name in names if (record := self.running(name)) is not None)

    def start_gateway(self) -> ProcessRecord:
        """Start the gateway unless it runs.

        Raises:
            ApplianceError: APL-SERVE-004 it did not become ready, its port is taken.
        """
        self.control_token()
        return self.start_program(
            GATEWAY,
            [sys.executable, "-m", "appliance.serving", "--site", str(self._site.folder)],
            port=self._site.settings.serving.gateway_port,
            setting="serving.gateway_port",
        )

    def start_program(self, name: str, arguments: Sequence[str], *, port: int, setting: str) -> ProcessRecord:
        """Start a program on its port unless it runs; `setting` is the key of the port in the site file.

        Raises:
            ApplianceError: APL-SERVE-004 it did not become ready, its port is taken.
        """
        if (record := self.running(name)) is not None:
            if self._becomes_ready(record):
                return record
            self.stop(name)
        if not _is_free(port):
            raise ApplianceError(codes.NOT_READY, f"port {port} is taken by another program", where=setting)
        return self._start(name, arguments, port=port, serves="", extra={})

    def start_model(
        self, name: str, arguments: Sequence[str], *, port: int, serves: str, extra: Mapping[str, str]
    ) -> ProcessRecord:
        """Start a model service under `name` unless one runs that serves the same artifact."""
        if (record := self.running(name)) is not None:
            if record.serves == serves and self._becomes_ready(record):
                return record
            self.stop(name)
        return self._start(name, arguments, port=port, serves=serves, extra=extra)

    def free_port(self) -> int:
        """A free port at or above ``serving.service_port``."""
        first = self._site.settings.serving.service_port
        for port in range(first, min(first + PORTS_TRIED, 65536)):
            if _is_free(port):
                return port
        raise ApplianceError(codes.NOT_READY, f"no free port in {first} to {first + PORTS_TRIED - 1}")

    def stop(self, name: str) -> bool:
        """End a process and its group; False when it did not run."""
        record = self.running(name)
        if record is None:
            return False
        _end(record.pid, record.started_ticks)
        (self._folder / f"{name}.json").unlink(missing_ok=True)
        return True

    def stop_all(self) -> tuple[str, ...]:
        """Models last, so that the gateway can finish what it holds."""
        names = [record.name for record in self.all_running()]
        names.sort(key=lambda name: name != GATEWAY)
        stopped = tuple(name for name in names if self.stop(name))
        self._end_lost("")
        return stopped

    def control_token(self) -> str:
        """The secret of the gateway's control paths, made on first use, mode 0600."""
        path = self._site.serving / "control.token"
        if not path.exists():
            atomic.write_bytes(path, secrets.token_hex(32).encode(), mode=0o600)
        return path.read_text(encoding="ascii")

    def _start(
        self, name: str, arguments: Sequence[str], *, port: int, serves: str, extra: Mapping[str, str]
    ) -> ProcessRecord:
        self._end_lost(name)
        log_path = self._site.logs / f"{name}.log"
        started = process.start(
            arguments,
            log_path=log_path,
            folder=self._site.folder,
            extra_environment={**extra, MARK: f"{name} {self._folder}"},
        )
        record = ProcessRecord(
            name=name,
            pid=started.pid,
            started_ticks=_started_ticks(started.pid) or 0,
            port=port,
            serves=serves,
            log=str(log_path),
        )
        atomic.write_bytes(self._folder / f"{name}.json", msgspec.json.encode(record))
        if self._becomes_ready(record):
            return record
        started.stop()
        (self._folder / f"{name}.json").unlink(missing_ok=True)
        tail = _tail(log_path)
        raise ApplianceError(codes.NOT_READY, f"{name} did not become ready: {tail}", where=str(log_path))

    def _becomes_ready(self, record: ProcessRecord) -> bool:
        """Wait until a process answers, or has ended, or the time is up."""
        end_s = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end_s and _started_ticks(record.pid) == record.started_ticks:
            if answers(record.port, READY_PATH):
                return True
            time.sleep(_POLL_S)
        return False

    def _end_lost(self, name: str) -> None:
        """End processes of this folder that have no record in it: that of `name`, or all when it is empty."""
        known = {record.pid for record in self.all_running()}
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = path.read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended, or is another user's
            mark = next((each for each in variables if each.startswith(f"{MARK}=".encode())), b"")
            ours, _, folder = mark.decode("utf-8", "replace").partition("=")[2].partition(" ")
            pid = int(path.parent.name)
            leads = pid == _group(pid)
            if folder == str(self._folder) and name in ("", ours) and leads and pid not in known:
                _end(pid, _started_ticks(pid))


def answers(port: int, path: str) -> bool:
    """Whether a GET on loopback gives 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2.0) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _end(pid: int, started_ticks: int | None) -> None:
    """Ask the group of a process to end, then kill it."""
    for number, patience_s in ((15, 10.0), (9, 5.0)):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        end_s = time.monotonic() + patience_s
        while time.monotonic() < end_s and _started_ticks(pid) == started_ticks:
            time.sleep(_POLL_S)
        if _started_ticks(pid) != started_ticks:
            return


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _started_ticks(pid: int) -> int | None:
    """Start time of a live process; None when there is none or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the program's name may hold spaces and parentheses
    return None if fields[0] in "ZX" else int(fields[19])


def _tail(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-600:].strip()
    except FileNotFoundError:
        return "no log"
