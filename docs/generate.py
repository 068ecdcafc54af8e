"""Writes the reference pages that come from code into ``docs/reference/generated``: they cannot go stale.

Run by ``make docs``. Sources: the commands, the settings, the declared error codes, the reason codes of rows, the
detectors of sensitive data, the metrics, the expected verdicts of the verifiers, the locks of bundles, and the roles.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import tomllib
from pathlib import Path

import click
import role_pages

import appliance
from appliance.base import errors
from appliance.bundle import lock
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
ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "reference" / "generated"


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "cli.md": command_line(),
        "settings.md": settings(),
        "errors.md": error_codes(),
        "reasons.md": reason_codes(),
        "metrics.md": metrics(),
        "sensitive.md": sensitive(),
        "trust_vectors.md": trust_vectors(),
        "bundles.md": bundles(),
        "roles.md": role_pages.all_roles(),
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


def bundles() -> str:
    """What each locked bundle brings from elsewhere."""
    lines = ["# What is in a bundle", "", "From the locks in `bundles/`; our own wheel, documentation and verifiers"]
    lines += ["are beside it. `appliance bundle inspect FOLDER` says the same of a bundle that is there."]
    for path in sorted((ROOT / "bundles").glob("*.lock.json")):
        locked = lock.load(path)
        lines += ["", f"## {locked.bundle}", "", f"Locked at {locked.made_at}.", ""]
        lines += ["| kind | packages | files | MB |", "| --- | --- | --- | --- |"]
        for kind in sorted({each.kind for each in locked.inputs}):
            some = [each for each in locked.inputs if each.kind == kind]
            names = {(each.name, each.version) for each in some}
            size = sum(each.size_bytes for each in some) / 1e6
            lines.append(f"| {kind} | {len(names)} | {len(some)} | {size:,.1f} |")
        licences: dict[str, set[str]] = {}
        versions: dict[tuple[str, str], str] = {}
        for each in locked.inputs:
            licences.setdefault(each.licence or "not stated", set()).add(f"{each.kind} {each.name}")
            versions[each.kind, each.name] = each.version
        lines += ["", "| licence | packages |", "| --- | --- |"]
        lines += [
            f"| {name.replace('|', '/')} | {len(licences[name])} |"
            for name in sorted(licences, key=lambda name: (-len(licences[name]), name))
        ]
        lines += ["", "| kind | name | version |", "| --- | --- | --- |"]
        lines += [f"| {kind} | {name} | {version} |" for (kind, name), version in sorted(versions.items())]
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


def sensitive() -> str:
    from appliance.ingestion.sensitive.detectors import DETECTORS, Limits

    def limits(found: Limits | None) -> str:
        if found is None:
            return "not looked for"
        words = [f"{found.share:.0%} of the values"]
        words += [f"{found.passing:.0%} of those with the form"] if found.passing else []
        words += [f"at least {found.hits}"] if found.hits > 1 else []
        return ", ".join(words)

    lines = [
        "# Tags and detectors",
        "",
        "What is looked for in every column of a dropped file, and from where on it is",
    ]
    lines += ["tagged: one set of limits for columns whose name speaks for it, one for others.", ""]
    lines += [
        "| tag | what | evidence | with the name | without | within text |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in DETECTORS:
        within = "yes" if each.embedded else "no"
        cells = (f"`{each.tag}`", each.title, each.evidence, limits(each.hinted), limits(each.plain), within)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "A mapping may declare any tag of the form `pii.NAME` or `phi.NAME`, or `none` with a reason."]
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


def trust_vectors() -> str:
    expected = tomllib.loads((Path(__file__).parents[1] / "tests/vectors/trust/expected.toml").read_text())
    lines = ["# What each verifier refuses", ""]
    lines += [
        "Each case has one planted fault. A cell is the step that the verifier names, **holds** where it accepts,"
    ]
    lines += ["*refused* where it names no step. Tests hold every cell; the cases are made by `tests/vectors/trust`."]
    titles = {
        "pack": ("Packs", "The unmodified `sigstore` sees only the statements of the pack and its trust config."),
        "bundle": ("Bundles that stand alone", "`verify.sh` judges no certificate timestamp and no `validFor`."),
    }
    names = {"sigstore": "sigstore", "auditor": "audit verify", "verify_py": "verify.py", "verify_sh": "verify.sh"}
    for table, (title, note) in titles.items():
        rows = expected[table]
        verifiers = list(next(iter(rows.values())))
        lines += ["", f"## {title}", "", f"{len(rows)} cases. {note}", ""]
        lines += ["| case | " + " | ".join(names[each] for each in verifiers) + " |"]
        lines += ["| --- |" + " --- |" * len(verifiers)]
        shown = {"holds": "**holds**", "refused": "*refused*"}
        for name, row in rows.items():
            lines.append(
                f"| {name} | " + " | ".join(shown.get(row[each], f"`{row[each]}`") for each in verifiers) + " |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
