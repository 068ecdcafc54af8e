"""The inventory of a site: an ordinary one of Ansible, ``hosts.yml`` and ``group_vars/all/*.yml``.

So far a deployment drives the host that it runs on and no other: an inventory names one host, and says
``ansible_connection: local`` of it.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.base import atomic, process
from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError
from appliance.config.declarations import load_yaml
from appliance.deploy import codes
from appliance.deploy.places import ansible_program

EXAMPLE = Path("ansible") / "inventory" / "example"
_TIMEOUT_S = 120.0
_HOST_ENVIRONMENTS = ("runtime", "airflow", "training")  # those that services run in; the others are tools


def write_for_this_host(bundle: Path, target: Path) -> None:
    """The example of the bundle as an inventory for this one host, with all groups and what the bundle has.

    Args:
        bundle: in its place, and verified.
        target: a new folder; it appears as a whole.

    Raises:
        ApplianceError: APL-DEPLOY-001 the target exists or the bundle has no example, APL-BASE-002.
    """
    if target.exists():
        raise ApplianceError(codes.INVENTORY_UNUSABLE, "expected a new folder, it exists", where=str(target))
    example = bundle / EXAMPLE
    if not example.is_dir():
        raise ApplianceError(codes.INVENTORY_UNUSABLE, "the bundle has no example", where=str(example))
    made = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    locked = json.loads((bundle / f"{made['bundle']}.lock.json").read_text(encoding="utf-8"))
    groups = load_yaml(example / "hosts.yml", dict[str, dict[str, Any]], code=codes.INVENTORY_UNUSABLE)["all"][
        "children"
    ]
    draft = target.with_name(f".tmp-{target.name}.d")
    atomic.remove_tree(draft)
    atomic.make_folder(draft)
    for path in sorted(each for each in example.rglob("*") if each.is_file()):
        atomic.write_bytes(draft / path.relative_to(example), path.read_bytes())
    for name, text in {
        "hosts.yml": hosts_of(socket.gethostname().partition(".")[0], list(groups)),
        "group_vars/all/release.yml": release_of(made, locked),
        # The example's is an address that is nobody's.
        "group_vars/all/time.yml": "---\n# IP addresses of time servers inside the boundary; without one the clock "
        "runs free.\ntime_sync_servers: []\n",
    }.items():
        atomic.write_bytes(draft / name, text.encode())
    draft.rename(target)
    atomic.fsync_folder(target.parent)


def hosts_of(name: str, groups: Sequence[str]) -> str:
    """``hosts.yml`` of one host that is everything."""
    lines = ["---", "all:", "  hosts:", f"    {name}:", "      ansible_connection: local", "  children:"]
    for group in groups:
        lines += [f"    {group}:", "      hosts:", f"        {name}:"]
    return "\n".join(lines) + "\n"


def release_of(made: Mapping[str, Any], locked: Mapping[str, Any]) -> str:
    """``release.yml`` with the environments and servers that this bundle has for a host."""
    reasons = {reason for each in locked["inputs"] for reason in each["wanted_by"]}
    environments = [name for name in _HOST_ENVIRONMENTS if f"environment:{name}" in reasons]
    paths = (each["path"].split("/") for each in made["members"])
    servers = sorted({parts[1] for parts in paths if parts[0] == "servers"})
    lines = ["---", f"release_environments: [{', '.join(environments)}]", f"release_servers: [{', '.join(servers)}]"]
    return "\n".join(lines) + "\n"


def digest(folder: Path) -> str:
    """Over names and bytes of its files.

    Raises:
        ApplianceError: APL-DEPLOY-001, it cannot be read or has none.
    """
    hasher, found = hashlib.sha256(), False
    try:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            found = True
            data = path.read_bytes()
            hasher.update(f"{path.relative_to(folder)}\0{len(data)}\0".encode() + hashlib.sha256(data).digest())
    except OSError as error:
        raise ApplianceError(
            codes.INVENTORY_UNUSABLE, f"cannot be read: {error.strerror}", where=str(error.filename)
        ) from error
    if not found:
        raise ApplianceError(codes.INVENTORY_UNUSABLE, "there is no inventory", where=str(folder))
    return PREFIX + hasher.hexdigest()


def require_local(folder: Path, environment: Mapping[str, str]) -> str:
    """The name of its one host, as Ansible reads it.

    Raises:
        ApplianceError: APL-DEPLOY-001 Ansible cannot read it, -002 it names other hosts, -005.
    """
    program = ansible_program("ansible-inventory")
    if not program.exists():
        raise ApplianceError(codes.NO_CONTROL, "there is no ansible-inventory", where=str(program))
    done = process.run(
        [program, "--list", "--inventory", folder], timeout_s=_TIMEOUT_S, extra_environment=environment, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-process.TAIL_CHARACTERS :]
        raise ApplianceError(codes.INVENTORY_UNUSABLE, said, where=str(folder))
    hosts = json.loads(done.stdout)["_meta"]["hostvars"]
    elsewhere = sorted(name for name, facts in hosts.items() if facts.get("ansible_connection") != "local")
    if len(hosts) != 1 or elsewhere:
        told = ", ".join(elsewhere or sorted(hosts)) or "none"
        raise ApplianceError(codes.HOSTS_ELSEWHERE, f"expected this host alone, got {told}", where=str(folder))
    return str(next(iter(hosts)))
