"""Starts, watches and stops the servers of a site.

`up`, in this order: (1) what is asked for and what that needs, (2) lost processes of an earlier supervisor end,
(3) every program is there, (4) every port is free, (5) no state is damaged, (6) certificates, (7) each server is
prepared and started as soon as what it needs is ready. Steps 1 to 5 change nothing, and report within seconds. When a
server fails in step 7, what this call started is stopped again, and what ran before runs on.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from appliance.base import atomic
from appliance.base.clock import Clock
from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from appliance.deploy.servers import (
    alertmanager,
    certificates,
    connect,
    kafka,
    minio,
    mosquitto,
    nginx,
    openbao,
    plan,
    postgresql,
    prometheus,
    registry,
)
from appliance.deploy.servers.https import OPERATOR, NotReadyError
from appliance.deploy.servers.place import HOST, Place, Program
from appliance.deploy.servers.supervisor import ENDED, Supervisor, memory_bytes

READY_S = 180.0  # of one server; the slowest, the registry, took 45 on two cores that five others shared
TAIL_CHARACTERS = 600  # of a failed server's log that go into the message
_POLL_S = 0.2
LOST = "ended servers that an earlier supervisor had left"
Say = Callable[[str], None]


class Server(Protocol):
    """What each module of a server offers."""

    def check(self, place: Place) -> None:
        """Refuse state that cannot be right; raises APL-SERVERS-007. Nothing is changed."""

    def prepare(self, place: Place) -> None:
        """Write the configuration; make the data on the first start."""

    def program(self, place: Place) -> Program:
        """How it runs."""

    def answers(self, place: Place) -> None:
        """Raise NotReadyError until it takes requests."""

    def settle(self, place: Place) -> None:
        """What it needs once before it can do its work; safe to repeat."""

    def ready(self, place: Place) -> None:
        """Raise NotReadyError unless it does its work: a real request."""


SERVERS: MappingProxyType[str, Server] = MappingProxyType(
    {
        "postgresql": postgresql,
        "openbao": openbao,
        "minio": minio,
        "kafka": kafka,
        "registry": registry,
        "connect": connect,
        "alertmanager": alertmanager,
        "prometheus": prometheus,
        "mosquitto": mosquitto,
        "nginx": nginx,
    }
)


@dataclass(frozen=True, kw_only=True)
class Status:
    """One server as it is now.

    Attributes:
        state: running, starting, stopped or failed.
        memory_bytes: proportional memory of all its processes, 0 when it does not run.
        reason: why it is not running, empty when it is.
    """

    name: str
    state: str
    pid: int
    port: int
    memory_bytes: int
    reason: str


def up(place: Place, names: Iterable[str], clock: Clock, say: Say) -> tuple[str, ...]:
    """Start the named servers and what they need, all when none is named; gives those that this call started.

    Raises:
        ApplianceError: APL-SERVERS-005 to 012, APL-BASE-006 another command is at work.
    """
    wanted = plan.select(names)
    supervisor = Supervisor(place)
    place.folder.mkdir(exist_ok=True, mode=0o700)
    with atomic.exclusive(place.folder / ".lock", wait=False):
        states = supervisor.states()
        if not states and not supervisor.is_running() and supervisor.end_lost():
            say(LOST)
        running = {name for name in wanted if name in states and states[name].state in ("RUNNING", "STARTING")}
        missing = tuple(name for name in wanted if name not in running)
        for recipe in dict.fromkeys(each for name in missing for each in plan.BY_NAME[name].built):
            place.built(recipe)
        check_ports(place, missing)
        for name in missing:
            SERVERS[name].check(place)
        certificates.issue(place, (*plan.BY_NAME, OPERATOR), clock)
        supervisor.start()
        _start(place, supervisor, wanted, missing, say)
    return missing


def down(place: Place, names: Iterable[str], say: Say) -> tuple[str, ...]:
    """Stop the named servers and those that need them, all when none is named; gives those that were stopped.

    Raises:
        ApplianceError: APL-SERVERS-010, 011, APL-BASE-006.
    """
    chosen = plan.select_to_stop(names)
    supervisor = Supervisor(place)
    if not place.folder.exists():
        return ()
    with atomic.exclusive(place.folder / ".lock", wait=False):
        states = supervisor.states()
        stopped = tuple(name for name in chosen if name in states and states[name].pid)
        for name in stopped:
            supervisor.halt(name)
            say(f"{name}: stopped")
        if not any(each.pid for each in supervisor.states().values()):
            supervisor.stop()
            if supervisor.end_lost():
                say(LOST)
    return stopped


def status(place: Place) -> tuple[Status, ...]:
    """All servers, each asked now."""
    states = Supervisor(place).states()
    found = []
    for name, server in SERVERS.items():
        state = states.get(name)
        kind, reason = "stopped", ""
        if state is not None and state.pid:
            try:
                server.ready(place)
                kind = "running"
            except NotReadyError as error:
                kind, reason = "starting", str(error)
        elif state is not None and state.state in ENDED:
            kind, reason = "failed", state.text
        pid = state.pid if state is not None else 0
        found.append(
            Status(
                name=name,
                state=kind,
                pid=pid,
                port=place.port(plan.BY_NAME[name].ports[0]),
                memory_bytes=memory_bytes(pid) if pid else 0,
                reason=reason,
            )
        )
    return tuple(found)


def check_ports(place: Place, names: Iterable[str]) -> None:
    """Raises ApplianceError: APL-SERVERS-006, naming every port that is taken."""
    taken = []
    for name in names:
        for port in plan.BY_NAME[name].ports:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, place.port(port)))
                except OSError:
                    taken.append(f"{place.port(port)} ({port})")
    if taken:
        raise ApplianceError(codes.PORT_TAKEN, f"taken on {HOST}: {', '.join(taken)}", where="servers.first_port")


def _start(place: Place, supervisor: Supervisor, wanted: tuple[str, ...], missing: tuple[str, ...], say: Say) -> None:
    started: dict[str, float] = {name: time.monotonic() for name in wanted if name not in missing}
    launched: list[str] = []
    pids: dict[str, int] = {}
    ready: set[str] = set()
    settled: set[str] = set()
    try:
        while len(ready) < len(wanted):
            for name in plan.startable(wanted, started, ready):
                started[name] = time.monotonic()
                SERVERS[name].prepare(place)
                supervisor.launch(name, SERVERS[name].program(place))
                launched.append(name)
            for name in [each for each in started if each not in ready]:
                if _advance(place, name, settled):
                    ready.add(name)
                    say(f"{name}: ready after {time.monotonic() - started[name]:.1f} s")
                else:
                    _check_alive(place, supervisor, name, started[name], pids)
            time.sleep(_POLL_S)
    except BaseException:
        for name in reversed(launched):
            supervisor.halt(name)
        if not any(each.pid for each in supervisor.states().values()):
            supervisor.stop()
        raise


def _advance(place: Place, name: str, settled: set[str]) -> bool:
    """Bring a server one step on; True when it is ready."""
    server = SERVERS[name]
    try:
        if name not in settled:
            server.answers(place)
            server.settle(place)
            settled.add(name)
        server.ready(place)
    except NotReadyError:
        return False
    return True


def _check_alive(place: Place, supervisor: Supervisor, name: str, started_s: float, pids: dict[str, int]) -> None:
    """`pids` are those that the servers had first: supervisord starts one again that ends a second after its start."""
    state = supervisor.states().get(name)
    if state is not None and state.pid:
        pids.setdefault(name, state.pid)
    gone = state is None or state.state in ENDED or (state.pid != 0 and state.pid != pids[name])
    if not gone and time.monotonic() - started_s < READY_S:
        return
    reason = "it ended" if gone else f"no answer within {READY_S:g} s"
    raise ApplianceError(
        codes.NOT_READY, f"{name}: {reason}; its log ends: {_tail(place, name)}", where=str(place.log(name))
    )


def _tail(place: Place, name: str) -> str:
    try:
        return place.log(name).read_text(encoding="utf-8", errors="replace")[-TAIL_CHARACTERS:].strip()
    except FileNotFoundError:
        return "(no log)"
