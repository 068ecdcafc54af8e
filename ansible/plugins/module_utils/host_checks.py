"""What must hold of a host before anything is changed on it: a table of checks over facts that were read before.

Rules
1. A check is a pure function of `Host` (what is) and `Needs` (what the roles of this host ask for); it gives findings.
2. All checks run, whatever others found: an operator sees everything at once.
3. A finding has an id that is stable for ever, what was found and what was expected, and what to do.
4. An installed host passes as a fresh one does: what is ours already is no fault.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

OURS = "appliance-"  # prefix of our users and units
UNIT_MARK = "# Written by the role "
_LAST_SYSTEM_UID = 999
_PLAUSIBLE = dt.timedelta(days=3650)
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Filesystem:
    """`used_bytes`: what lies below the place itself already."""

    device: int
    free_bytes: int
    used_bytes: int = 0
    noexec: bool = False
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Listener:
    """`unit`: the systemd unit of who listens; empty when it is not known."""

    port: int
    program: str = ""
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class User:
    uid: int
    shell: str


@dataclass(frozen=True, kw_only=True)
class Host:
    """Attributes:
    places: filesystem that each place of `Needs.places` is, or will be, on.
    users: those whose name begins with `OURS`.
    units: text of the unit files in /etc/systemd/system whose name begins with `OURS`, by name.
    """

    system: str
    system_version: str
    architecture: str
    init: str
    init_state: str
    memory_bytes: int
    cores: int
    now: dt.datetime
    places: Mapping[str, Filesystem] = field(default_factory=dict)
    listeners: Sequence[Listener] = ()
    users: Mapping[str, User] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Attributes:
    places: bytes that each place has when all is installed and running; what it has already counts.
    programs: places from which programs are started.
    ports: port -> role that listens on it.
    not_before: instants that are in the past for certain: those of the bundle and of its witnesses.
    """

    memory_bytes: int = 0
    cores: int = 1
    places: Mapping[str, int] = field(default_factory=dict)
    programs: Sequence[str] = ()
    ports: Mapping[int, str] = field(default_factory=dict)
    not_before: Sequence[dt.datetime] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    id: str
    found: str
    fix: str


def _system(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    if (host.system, host.system_version) != ("debian", "12"):
        yield f"expected debian 12, got {host.system} {host.system_version}", "Install Debian 12 on the host."


def _architecture(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    if host.architecture != "x86_64":
        yield f"expected x86_64, got {host.architecture}", "Use a host with a 64-bit x86 processor."


def _init(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    # "degraded" is a unit of somebody else's that failed: no reason to refuse the host.
    if host.init != "systemd" or host.init_state not in ("running", "degraded", "starting"):
        found = f"{host.init} is process 1, state {host.init_state or 'unknown'}"
        yield f"expected systemd, running; {found}", "Boot the host with systemd; see `systemctl status`."


def _memory(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    if host.memory_bytes < needs.memory_bytes:
        found = f"expected {needs.memory_bytes // _MIB} MiB for the services of this host, got"
        yield f"{found} {host.memory_bytes // _MIB} MiB", "Add memory, move groups to another host, or lower limits."


def _cores(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    if host.cores < needs.cores:
        yield f"expected {needs.cores} cores, got {host.cores}", "Use a larger host, or lower preflight_cores."


def _space(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    by_device: dict[int, list[str]] = {}
    for place in sorted(needs.places):
        if place in host.places:
            by_device.setdefault(host.places[place].device, []).append(place)
    for places in by_device.values():
        wanted = sum(max(0, needs.places[each] - host.places[each].used_bytes) for each in places)
        free = min(host.places[each].free_bytes for each in places)
        if free < wanted:
            found = f"{', '.join(places)}: expected {wanted // _MIB} MiB free, got {free // _MIB} MiB"
            yield found, "Free space there, or mount a larger filesystem."


def _programs(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    for place in needs.programs:
        if place in host.places and host.places[place].noexec:
            yield f"{place} is mounted noexec", "Mount it without noexec: programs are started from there."


def _read_only(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    for place in sorted(host.places):
        if host.places[place].read_only:
            yield f"{place} is mounted read-only", "Mount it for writing; look for disk errors in the journal first."


def _ports(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    for port, role in sorted(needs.ports.items()):
        for each in host.listeners:
            if each.port == port and not each.unit.startswith(OURS):
                who = " of ".join(filter(None, (each.program, each.unit))) or "an unknown program"
                yield f"port {port}, for {role}, is in use by {who}", f"Stop it, or set another port for {role}."
                break


def _clock_behind(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    newest = max(needs.not_before, default=None)
    if newest is not None and host.now < newest:
        yield f"the clock says {_text(host.now)}, the bundle is of {_text(newest)}", "Set the clock: `timedatectl`."


def _clock_ahead(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    newest = max(needs.not_before, default=None)
    if newest is not None and host.now > newest + _PLAUSIBLE:
        found = f"the clock says {_text(host.now)}, ten years after the bundle"
        yield found, "Set the clock: `timedatectl`. A bundle that old lacks ten years of fixes."


def _users(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    for name, user in sorted(host.users.items()):
        if user.uid > _LAST_SYSTEM_UID or PurePosixPath(user.shell).name not in ("nologin", "false"):
            found = f"the user {name} is a person's: number {user.uid}, shell {user.shell}"
            yield found, f"Rename it: names that begin with {OURS} are those of our services."


def _units(host: Host, needs: Needs) -> Iterator[tuple[str, str]]:
    for name, text in sorted(host.units.items()):
        if not text.startswith(UNIT_MARK):
            yield f"/etc/systemd/system/{name} is not ours", "Rename it, or remove it if it was edited by hand."


CHECKS: Mapping[str, Callable[[Host, Needs], Iterator[tuple[str, str]]]] = {
    "HOST_SYSTEM": _system,
    "HOST_ARCHITECTURE": _architecture,
    "HOST_INIT": _init,
    "HOST_MEMORY": _memory,
    "HOST_CORES": _cores,
    "PLACE_SPACE": _space,
    "PLACE_NOEXEC": _programs,
    "PLACE_READ_ONLY": _read_only,
    "PORT_IN_USE": _ports,
    "CLOCK_BEHIND": _clock_behind,
    "CLOCK_AHEAD": _clock_ahead,
    "USER_FOREIGN": _users,
    "UNIT_FOREIGN": _units,
}


def findings(host: Host, needs: Needs) -> list[Finding]:
    """All of them, in the order of `CHECKS`."""
    return [
        Finding(id=name, found=found, fix=fix) for name, check in CHECKS.items() for found, fix in check(host, needs)
    ]


def merged(told: Sequence[Mapping[str, Any]]) -> Needs:
    """The needs of all roles of a host. Memory and places add up.

    Args:
        told: for each role `role`, and as far as it needs them `memory_mib`, `cores`, `places` (each with
            `path` and `bytes`), `programs`, `ports` and `not_before` (RFC 3339).

    Raises:
        ValueError: two roles want one port, or an instant or a key is none.
    """
    keys = {"role", "memory_mib", "cores", "places", "programs", "ports", "not_before"}
    places: dict[str, int] = {}
    ports: dict[int, str] = {}
    for each in told:
        if each.keys() - keys:
            raise ValueError(f"{each.get('role')}: unknown needs {sorted(each.keys() - keys)}")
        for place in each.get("places", ()):
            if not place["path"].startswith("/"):
                raise ValueError(f"{each.get('role')}: expected a full path, got {place['path']!r}")
            places[place["path"]] = places.get(place["path"], 0) + int(place["bytes"])
        for port in map(int, each.get("ports", ())):
            if port in ports:
                raise ValueError(f"{ports[port]} and {each['role']} both want port {port}; set another for one of them")
            ports[port] = each["role"]
    return Needs(
        memory_bytes=sum(int(each.get("memory_mib", 0)) for each in told) * _MIB,
        cores=max((int(each.get("cores", 1)) for each in told), default=1),
        places=places,
        programs=sorted({place for each in told for place in each.get("programs", ())}),
        ports=ports,
        not_before=[_instant(text) for each in told for text in each.get("not_before", ())],
    )


def _instant(text: str) -> dt.datetime:
    instant = dt.datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text}: expected an instant with its zone, such as 2026-01-05T18:00:00Z")
    return instant


def _text(instant: dt.datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
