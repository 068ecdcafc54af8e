#!/usr/bin/python
"""Reads what a host is and holds it against what the roles need of it (`host_checks`). It changes nothing."""

from __future__ import annotations

import datetime as dt
import os
import platform
import pwd
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host_checks import (
    OURS,
    Filesystem,
    Host,
    Listener,
    User,
    findings,
    merged,
)

DOCUMENTATION = r"""
module: host_preflight
short_description: Tells everything that keeps a host from being deployed on
description:
  - Fails with all findings at once, each with an id and what to do.
options:
  needs: {description: What each role needs of the host., type: list, elements: dict, required: true}
"""
_LISTENING = "0A"  # state in /proc/net/tcp
_MOST_ENTRIES = 200_000  # a look at a host takes seconds, however full it is
_SOCKET = re.compile(r"socket:\[(\d+)\]\Z")


def main() -> None:
    module = AnsibleModule({"needs": {"type": "list", "elements": "dict", "required": True}}, supports_check_mode=True)
    try:
        needs = merged(module.params["needs"])
    except ValueError as error:
        module.fail_json(msg=f"NEEDS_CLASH: {error}")
    init_state = (
        module.run_command(["systemctl", "is-system-running"])[1].strip() if Path("/run/systemd").exists() else ""
    )
    system = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.MULTILINE))
    host = Host(
        system=system.get("ID", ""),
        system_version=system.get("VERSION_ID", ""),
        architecture=platform.machine(),
        init=Path("/proc/1/comm").read_text().strip(),
        init_state=init_state,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cores=len(os.sched_getaffinity(0)),
        now=dt.datetime.now(dt.UTC),
        places={place: filesystem(Path(place)) for place in {*needs.places, *needs.programs}},
        listeners=list(listeners(Path("/proc"))) if needs.ports else (),
        users={
            each.pw_name: User(uid=each.pw_uid, shell=each.pw_shell) for each in pwd.getpwall() if _ours(each.pw_name)
        },
        units={each.name: each.read_text() for each in Path("/etc/systemd/system").glob(f"{OURS}*") if each.is_file()},
    )
    found = findings(host, needs)
    lines = [f"{each.id}: {each.found}. {each.fix}" for each in found]
    told = [{"id": each.id, "found": each.found, "fix": each.fix} for each in found]
    if found:
        module.fail_json(msg="\n".join([f"{len(found)} findings", *lines]), findings=told)
    module.exit_json(changed=False, findings=told)


def _ours(name: str) -> bool:
    return name.startswith(OURS)


def used_bytes(place: Path) -> int:
    """What lies below `place`; of a folder with very many files, what was seen of it."""
    used = entries = 0
    for folder, _, names in os.walk(place):
        for name in names:
            with suppress(OSError):  # it went meanwhile
                used += Path(folder, name).lstat().st_blocks * 512
        entries += len(names)
        if entries > _MOST_ENTRIES:
            break
    return used


def filesystem(place: Path) -> Filesystem:
    """That of the nearest folder that is there already."""
    used = used_bytes(place)
    while not place.exists():
        place = place.parent
    status = os.statvfs(place)
    return Filesystem(
        device=place.stat().st_dev,
        free_bytes=status.f_bavail * status.f_frsize,
        used_bytes=used,
        noexec=bool(status.f_flag & os.ST_NOEXEC),
        read_only=bool(status.f_flag & os.ST_RDONLY),
    )


def listeners(proc: Path) -> Iterator[Listener]:
    """Who listens on TCP, with program and unit as far as `proc` tells; a port may come twice."""
    ports: dict[str, int] = {}
    for name in ("tcp", "tcp6"):
        table = proc / "net" / name
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            words = line.split()
            if words[3] == _LISTENING:
                ports[words[9]] = int(words[1].rpartition(":")[2], 16)
    owners: dict[str, Path] = {}
    for process in proc.glob("[0-9]*"):
        try:
            for each in (process / "fd").iterdir():
                match = _SOCKET.match(str(each.readlink()))
                if match and match[1] in ports:
                    owners.setdefault(match[1], process)
        except OSError:  # it ended meanwhile
            continue
    for inode, port in sorted(ports.items(), key=lambda each: each[1]):
        owner = owners.get(inode)
        yield Listener(port=port, program=_read(owner, "comm"), unit=_unit(_read(owner, "cgroup")))


def _read(process: Path | None, name: str) -> str:
    try:
        return (process / name).read_text().strip() if process else ""
    except OSError:
        return ""


def _unit(cgroup: str) -> str:
    found = re.findall(r"([^/\n]+\.(?:service|socket))(?:/|$)", cgroup, re.MULTILINE)
    return found[-1] if found else ""


if __name__ == "__main__":
    main()
