"""The pages about Ansible roles, from their ``meta/argument_specs.yml``: a README in each role, and one page for all.

Run by ``make fix``, which writes the READMEs; a test holds them to their source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[1] / "ansible" / "roles"


def main() -> None:
    for role in sorted(ROLES.iterdir()):
        (role / "README.md").write_text(readme(role), encoding="utf-8")


def readme(role: Path) -> str:
    return "\n".join(_page(role, level=1)) + "\n"


def all_roles() -> str:
    lines = ["# Roles", "", "The roles in `ansible/roles`, what they are told, and their verbs."]
    lines += ["A variable is set in the inventory; `required` has no default."]
    for role in sorted(ROLES.iterdir()):
        lines += ["", *_page(role, level=2)]
    return "\n".join(lines) + "\n"


def specs(role: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    return found["argument_specs"]


def _page(role: Path, *, level: int) -> Iterator[str]:
    entries = specs(role)
    summary = entries.get("main") or next(iter(entries.values()))
    yield f"{'#' * level} {role.name}"
    yield from ("", f"{summary['short_description']}.", *summary.get("description", ()))
    packages = role / "vars/packages.yml"
    if packages.exists():
        names = yaml.safe_load(packages.read_text(encoding="utf-8"))["packages"]
        yield from ("", f"Debian packages: {', '.join(f'`{name}`' for name in names)}.")
    options: dict[str, Any] = {}
    for entry in entries.values():
        options |= entry.get("options", {})
    if options:
        yield from ("", "| variable | type | default | meaning |", "| --- | --- | --- | --- |")
        for name, option in options.items():
            yield from _rows(name, option)
    if entries.keys() != {"main"}:
        yield from ("", "| verb | what |", "| --- | --- |")
        for name, entry in entries.items():
            if name != "main":
                yield f"| `{name}` | {entry['short_description'].rstrip('.')} |"


def _rows(name: str, option: Mapping[str, Any]) -> Iterator[str]:
    kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    default = (
        "required" if option.get("required") else f"`{json.dumps(option['default'])}`" if "default" in option else ""
    )
    meaning = option["description"] + (f" One of {_words(option['choices'])}." if "choices" in option else "")
    yield f"| `{name}` | {kind} | {default} | {meaning} |"
    for each, inner in option.get("options", {}).items():
        yield from _rows(f"{name}[].{each}", inner)


def _words(values: list[object]) -> str:
    return ", ".join(f"`{each}`" for each in values)


if __name__ == "__main__":
    main()
