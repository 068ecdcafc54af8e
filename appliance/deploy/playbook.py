"""Runs a playbook of a bundle with the Ansible of the control environment, and reads what it tells.

Rules
1. Roles and settings come from the bundle in its place, never from a medium. Nothing is written there: byte code in it
   would be files that nobody released.
2. What Ansible tells goes to a file of root's first and is read from there, so that it is kept whatever ends us.
3. Ansible dies with us (`process`, tied): a killed command leaves none behind that goes on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.base import atomic, process
from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from appliance.deploy.events import Told
from appliance.deploy.host_bundle import HostBundle
from appliance.deploy.places import ansible_program

TIMEOUT_S = 4 * 3600.0
_POLL_S = 0.2
_LONG_S = 10.0  # after which a task that is at work is named


def settings(bundle: HostBundle, home: Path) -> dict[str, str]:
    """Environment variables for Ansible's programs; `home` is where Ansible keeps what it needs between tasks."""
    folder = bundle.folder / "ansible"
    return {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "json_lines",
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def words(playbook: str, *, bundle: HostBundle, inventory: Path, check: bool, diff: bool) -> list[str | Path]:
    """The command line."""
    told = {"layout_release": bundle.release, "layout_manifest_digest": bundle.manifest_digest}
    return [
        ansible_program("ansible-playbook"),
        *("--inventory", inventory),
        *("--extra-vars", json.dumps(told)),
        *(["--check"] if check else []),
        *(["--diff"] if diff else []),
        bundle.folder / "ansible" / "playbooks" / f"{playbook}.yml",
    ]


def run(
    command: list[str | Path],
    *,
    environment: Mapping[str, str],
    folder: Path,
    output: Path,
    say: Callable[[str], None],
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, Told]:
    """Exit status and what was told, in `output` as well, which is new.

    Raises:
        ApplianceError: APL-DEPLOY-005 there is no Ansible, APL-BASE-003 it ran past `timeout_s`, APL-BASE-002.
    """
    if not Path(command[0]).exists():
        raise ApplianceError(codes.NO_CONTROL, "there is no ansible-playbook", where=str(command[0]))
    atomic.write_bytes(output, b"", mode=0o600)  # differences may show what is not for everybody
    running = process.start(command, log_path=output, folder=folder, extra_environment=environment, tied=True)
    told, began = Told(), time.monotonic()
    task, since = "", began
    try:
        with output.open(encoding="utf-8", errors="replace") as file:
            line = ""
            while True:
                ended = running.returncode() is not None  # asked before reading: what comes after it is read too
                line += file.readline()
                if line.endswith("\n"):
                    if shown := told.take(line):
                        say(shown)
                    line, task, since = "", told.task, time.monotonic()
                elif ended:
                    break
                elif time.monotonic() - began > timeout_s:
                    raise ApplianceError(codes.RUN_FAILED, f"Ansible ran past {timeout_s:g} s", where=str(output))
                else:
                    if task and time.monotonic() - since > _LONG_S:
                        say(f"  at work: {task}")
                        task = ""
                    time.sleep(_POLL_S)
        _sync(output)
    finally:
        status = running.stop()
    return status, told


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
