"""Renders what roles write as Ansible does, with the defaults of the roles and facts of a host, without a host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader
from ansible.template import Templar, trust_as_template

from tests.unit.ansible_roles.conftest import PLUGINS, ROOT

ROLES = sorted((ROOT / "roles").iterdir())
SHARED = {
    "layout",
    "preflight",
    "service_certificate",
    "service_unit",
    "service_check",
}  # no services: they have no verbs
VERBS = ("preflight", "install", "configure", "service", "verify", "upgrade", "stop")
METAL = {"virtualization_role": "host", "virtualization_type": "kvm"}
CONTAINER = {"virtualization_role": "guest", "virtualization_type": "systemd-nspawn"}
_LOADER = DataLoader()
init_plugin_loader()
filter_loader.add_directory(str(PLUGINS / "filter"))


def data_of(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def tasks_of(role: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every task with its file, those in blocks as well, and the handlers."""
    for path in [*sorted((role / "tasks").glob("*.yml")), *sorted((role / "handlers").glob("*.yml"))]:
        waiting = list(data_of(path) or [])
        while waiting:
            task = waiting.pop(0)
            waiting += task.get("block", [])
            yield path, task


def variables_of(*roles: str, facts: dict[str, Any] = METAL, **others: Any) -> dict[str, Any]:
    """Defaults and vars of these roles and of the layout, ready to be used in templates; `others` win."""
    found: dict[str, Any] = {
        "inventory_hostname": "node1",
        "ansible_facts": facts,
        "service_certificate_name": "web",
        "layout_release": "1.0.0-0123456789ab",
        "layout_manifest_digest": "sha256:0123456789ab" + "0" * 52,
    }
    for role in ("layout", *roles):
        for name in ("defaults", "vars"):
            path = ROOT / "roles" / role / name / "main.yml"
            if path.exists():
                found |= _LOADER.load_from_file(str(path), trusted_as_template=True)
    return found | others


def render(template: Path, variables: dict[str, Any]) -> str:
    return Templar(loader=_LOADER, variables=variables).template(trust_as_template(template.read_text()))


def as_on_a_command_line(*roles: str) -> dict[str, Any]:
    """The numbers and switches among the defaults as ``-e name=value`` gives them: they are strings."""
    found = {}
    for role in roles:
        defaults = data_of(ROOT / "roles" / role / "defaults/main.yml")
        found |= {key: str(value) for key, value in defaults.items() if isinstance(value, bool | int)}
    return found


def needs_of(role: Path, **others: Any) -> dict[str, Any] | None:
    """What the verb preflight of a role says that it needs, if anything."""
    for task in _LOADER.load_from_file(str(role / "tasks/preflight.yml"), trusted_as_template=True):
        for value in task.get("ansible.builtin.set_fact", {}).values():
            return Templar(loader=_LOADER, variables=variables_of(role.name, **others)).template(value)
    return None


def units(*, strings: bool = False) -> Iterator[tuple[str, str]]:
    """A name for the case and the text of every unit that a role has made, on metal and in a container."""
    template = ROOT / "roles/service_unit/templates/etc/systemd/system/service.j2"
    for role in ROLES:
        for path in sorted((role / "tasks").glob("*.yml")):
            for task in _LOADER.load_from_file(str(path), trusted_as_template=True) or []:
                asked = task.get("ansible.builtin.include_role", {})
                if asked.get("name") == "service_unit" and "tasks_from" not in asked:
                    for where, facts in (("metal", METAL), ("container", CONTAINER)):
                        told = as_on_a_command_line("service_unit", role.name) if strings else {}
                        variables = variables_of("service_unit", role.name, facts=facts, **(told | task["vars"]))
                        yield f"{task['vars']['service_unit_name']} on {where}", render(template, variables)
