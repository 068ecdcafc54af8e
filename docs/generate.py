"""Writes the reference pages that come from code into ``docs/reference/generated``: they cannot go stale.

Run by ``make docs``. Sources: the commands, the settings, the declared error codes, the reason codes of rows, and
the metrics.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path

import click

import appliance
from appliance.base import errors
from appliance.cli.command import DECLARED
from appliance.cli.main import NOUNS
from appliance.config.model import SiteFile
from appliance.config.site import setting_rows

EXIT_CODES = {
    errors.EXIT_DONE: "done",
    errors.EXIT_FAILED: "failed",
    errors.EXIT_USAGE: "wrong use",
    errors.EXIT_VERIFICATION: "verification failed",
    errors.EXIT_PREFLIGHT: "preflight failed",
    errors.EXIT_APPROVAL: "needs an approval",
}
TARGET = Path(__file__).parent / "reference" / "generated"


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "cli.md": command_line(),
        "settings.md": settings(),
        "errors.md": error_codes(),
        "reasons.md": reason_codes(),
        "metrics.md": metrics(),
    }.items():
        # By rename, because tests that run side by side write and read the same pages.
        draft = TARGET / f".{name}.{os.getpid()}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(TARGET / name)


def command_line() -> str:
    lines = ["# Command line", "", "Every command takes `--site`, `--as` and `--json`."]
    lines += ["`--site` can be given as `APPLIANCE_SITE`, `--as` as `APPLIANCE_ROLE`."]
    lines += ["", "| exit code | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    for noun, help_text in NOUNS.items():
        importlib.import_module(f"appliance.cli.{noun}")
        lines += ["", f"## {noun}", "", f"{help_text}."]
        for declared in DECLARED.values():
            if declared.noun != noun:
                continue
            # A noun without verbs is itself the command.
            title = f"appliance {noun}" if declared.verb == noun else f"appliance {noun} {declared.verb}"
            with click.Context(declared.command, info_name=title) as context:
                lines += ["", f"### {title}", "", "```text", declared.command.get_help(context), "```"]
            if declared.changes:
                lines += ["", f"Writes the audit record `{declared.changes}`; for {', '.join(declared.roles)}."]
    return "\n".join(lines) + "\n"


def settings() -> str:
    lines = ["# Settings", "", "The keys of `site.toml`. A missing key means its default."]
    lines += ["", "| key | type | unit | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for row in setting_rows(SiteFile()):
        kind = row.type.replace("|", "\\|")
        lines.append(f"| `{row.key}` | {kind} | {row.unit} | `{row.default!r}` | {row.help} |")
    return "\n".join(lines) + "\n"


def error_codes() -> str:
    for module in pkgutil.walk_packages(appliance.__path__, "appliance."):
        if module.name.rpartition(".")[2].endswith("codes"):
            importlib.import_module(module.name)
    lines = ["# Error codes", "", "A code is stable for ever."]
    for code in errors.declared():
        lines += ["", f"## {code.id}: {code.title}", "", code.meaning, "", f"**What to do.** {code.action}"]
        lines += ["", f"Exit code {code.exit_code}."]
    return "\n".join(lines) + "\n"


def reason_codes() -> str:
    from appliance.ingestion.reasons import REASONS

    lines = ["# Reason codes", "", "Why a row is in quarantine: the first reason that applies, in this order."]
    lines += ["", "| code | title | meaning |", "| --- | --- | --- |"]
    for reason in REASONS:
        lines.append(f"| `{reason.code}` | {reason.title} | {reason.meaning} |")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    from appliance.observability.metrics import GATEWAY, STATE

    lines = ["# Metrics", "", "Every declared name, in the Prometheus text format."]
    for title, where, table in (
        ("State of a site", "Names that are fixed; no program of this version exports them yet.", STATE),
        (
            "Gateway",
            "Counted by the running gateway, on its path `/metrics`; they begin at 0 with the process.",
            GATEWAY,
        ),
    ):
        lines += ["", f"## {title}", "", where, "", "| name | kind | labels | meaning |", "| --- | --- | --- | --- |"]
        lines += [f"| `{each.name}` | {each.kind} | {', '.join(each.labels)} | {each.help} |" for each in table]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
