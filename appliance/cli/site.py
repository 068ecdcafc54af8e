"""``appliance site``: create, check and show a site."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.cli.command import ROLES, Call, Result, command, noun
from appliance.config import codes
from appliance.config.site import FILE_NAME, Site, init_site, open_site, setting_rows
from appliance.wiring.parts import Parts


@command(
    "site",
    "init",
    changes="site.init",
    roles=("operator",),
    needs_site=False,
    example="appliance site init --site ./site --set site.name=north",
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a setting; may be repeated.")
def init(call: Call, assignments: tuple[str, ...]) -> Result:
    """Make a new site: settings, role keys, signing ceremony and an empty log.

    The first record of the new log is that of its own making. The site appears complete or not at all.
    """
    site = create_site(call, dict(_assignment(text) for text in assignments))
    return Result(
        data={"site": str(site.folder), "name": site.settings.site.name},
        text=f"Site {site.settings.site.name} stands in {site.folder}\nNext: appliance site check",
    )


def create_site(call: Call, changes: dict[str, Any]) -> Site:
    """Build the site beside its place and rename it in."""
    from appliance.governance.roles import RoleKeys
    from appliance.trust.ceremony import init_trust

    target = call.site_folder.absolute()
    if target.exists() and any(target.iterdir()):
        raise ApplianceError(codes.SITE_EXISTS, f"{target} is not empty", where=str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        site = init_site(draft, changes)
        keys = RoleKeys(site.keys)
        keys.create_all()
        init_trust(site.trust, site.settings.site.name, call.clock, keys.publics())
        parts = Parts(site=site, clock=call.clock)
        audit = parts.audit
        intent = audit.begin(
            role=call.role, action="site.init", arguments={key: str(value) for key, value in changes.items()}
        )
        for folder in (site.declarations, site.spool, site.logs):
            folder.mkdir(parents=True, exist_ok=True)
        _pin_trust_anchor(site, parts)
        audit.end(intent, outcome="done", detail="")
        draft.chmod(0o750)
        if target.exists():
            target.rmdir()
        draft.rename(target)
        atomic.fsync_folder(target.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return open_site(target)


def _pin_trust_anchor(site: Site, parts: Parts) -> None:
    """Name the public trust material in the log, so that a change of any byte of it is found."""
    from appliance.base.digest import digest_file
    from appliance.governance.lineage import FileRecord

    public = [
        site.trust / "trust-config.json",
        site.trust / "log.vkey",
        *sorted((site.trust / "certificates").iterdir()),
    ]
    parts.lineage.write(
        kind="trust-anchor",
        name=site.settings.site.name,
        files=[
            FileRecord(
                path=path.relative_to(site.folder).as_posix(), digest=digest_file(path), size=path.stat().st_size
            )
            for path in public
        ],
        inputs=[],
        facts={},
    )


def _assignment(text: str) -> tuple[str, Any]:
    """``section.key=value``; the value is read as TOML when it can be, else as text."""
    import tomllib

    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise ApplianceError(codes.SITE_INVALID, f"expected section.key=value, got {text!r}", where="--set")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


@command("site", "check", example="appliance site check --site ./site")
def check(call: Call) -> Result:
    """Check the site file, the keys and the trust material, and name every problem."""
    site = call.site
    problems: list[str] = []
    problems += [f"role key {role} is missing" for role in ROLES if not call.parts.keys.holds(role)]
    checks = {"site file": FILE_NAME, "log": call.parts.log.checkpoint().origin}
    text = "\n".join(
        [*(f"ok  {name}: {value}" for name, value in checks.items()), *(f"BAD {each}" for each in problems)]
    )
    return Result(
        data={"site": str(site.folder), "ok": not problems, "problems": problems},
        text=text,
        exit_code=4 if problems else 0,
    )


@command("site", "show", example="appliance site show --json")
def show(call: Call) -> Result:
    """List every setting with its value, default, unit and help."""
    rows = list(setting_rows(call.site.settings))
    width = max(len(row.key) for row in rows)
    lines = []
    for row in rows:
        mark = "*" if row.value != row.default else " "
        unit = f" {row.unit}" if row.unit else ""
        lines.append(f"{mark} {row.key:<{width}}  {row.value!r}{unit}\n      {row.help}")
    data = [
        {
            "key": row.key,
            "type": row.type,
            "unit": row.unit,
            "default": row.default,
            "value": row.value,
            "help": row.help,
        }
        for row in rows
    ]
    return Result(data={"settings": data}, text="\n".join(lines) + "\n(* differs from the default)")


@command("site", "metrics", example="appliance site metrics --site ./site > appliance.prom")
def metrics(call: Call) -> Result:
    """Print the state of the site as metrics for Prometheus."""
    from appliance.orchestration.watching import site_metrics

    text = site_metrics(call.parts).decode()
    return Result(data={"metrics": text.splitlines()}, text=text.rstrip())


group = noun("site", "Create, check and show the site file.", [init, check, show, metrics])
