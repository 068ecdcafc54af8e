"""``appliance site``: create, check and show a site, and start and stop its servers."""

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
from appliance.config.model import SiteFile
from appliance.config.site import FILE_NAME, Site, init_site, open_site, setting_rows
from appliance.secrets import codes as secret_codes
from appliance.storage.files import LAKE, OBJECTS
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
    from appliance.trust.custody import root_digest

    site = create_site(call, dict(_assignment(text) for text in assignments))
    digest = root_digest(site.trust)
    return Result(
        data={"site": str(site.folder), "name": site.settings.site.name, "root_digest": digest},
        text=f"Site {site.settings.site.name} stands in {site.folder}\n"
        f"Write down the root digest, auditors pin it: {digest}\nNext: appliance site check",
    )


def create_site(call: Call, changes: dict[str, Any]) -> Site:
    """Build the site beside its place and rename it in."""
    from appliance.governance.roles import RoleKeys
    from appliance.orchestration.trust_changes import minutes, pin_anchor
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
        parts = Parts(site=site, clock=call.clock)
        init_trust(site.trust, site.settings.site.name, call.clock, keys.publics(), parts.key_store)
        audit = parts.audit
        intent = audit.begin(
            role=call.role, action="site.init", arguments={key: str(value) for key, value in changes.items()}
        )
        for folder in (site.declarations, site.spool, site.logs):
            folder.mkdir(parents=True, exist_ok=True)
        pin_anchor(site, parts)
        minutes(parts, call.role, "trust.init", {"log_key": parts.log.key.text()})
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
    """Check site file, keys, trust material, and the servers that hold data and secrets, and name every problem."""
    site, storage = call.site, call.site.settings.storage
    problems: list[str] = []
    problems += [f"role key {role} is missing" for role in ROLES if not call.parts.keys.holds(role)]
    checks = {"site file": FILE_NAME, "log": call.parts.log.checkpoint().origin}
    read, unread = _read_secrets(call.parts)
    if read and not unread:
        checks["openbao"] = f"{site.settings.secrets.openbao}, {read} secrets read"
    problems += unread
    asked = (
        ("object store", storage.store, lambda: [call.parts.files.holds(f"{each}/none") for each in (LAKE, OBJECTS)]),
        ("catalog", storage.catalog, lambda: call.parts.lake.tables()),
        ("prediction topic", site.settings.kafka.predictions, lambda: _ask_topic(call)),
        ("dead letters", site.settings.kafka.dead_letters, lambda: _ask_dead_letters(call)),
    )
    for name, address, ask in asked:
        if address:
            try:
                ask()
                checks[name] = address
            except ApplianceError as error:
                problems.append(f"{name}: {error}")
    text = "\n".join(
        [*(f"ok  {name}: {value}" for name, value in checks.items()), *(f"BAD {each}" for each in problems)]
    )
    return Result(
        data={"site": str(site.folder), "ok": not problems, "problems": problems},
        text=text,
        exit_code=4 if problems else 0,
    )


def _ask_dead_letters(call: Call) -> None:
    topic = call.parts.dead_letter_topic
    if topic is not None:
        topic.check()


def _ask_topic(call: Call) -> None:
    from appliance.serving.deployment import Deployment

    topic = Deployment(call.parts).prediction_topic()
    if topic is not None:
        topic.check()


def _read_secrets(parts: Parts) -> tuple[int, list[str]]:
    """How many were read in OpenBao, and what is wrong with places or entries; files are read by whoever needs them."""
    from appliance.secrets.secret import EntrySecret

    try:
        used = parts.secrets_in_use()
    except ApplianceError as error:
        return 0, [f"connectors: {error}"]
    read, problems = 0, []
    for name, find in used.items():
        try:
            secret = find()
            if isinstance(secret, EntrySecret):
                secret.read(code=secret_codes.INVALID)
                read += 1
        except ApplianceError as error:
            problems.append(f"{name}: {error}")
            if error.code in secret_codes.SERVER:
                break  # the others would say the same
    return read, problems


@command("site", "show", example="appliance site show storage")
@click.argument("section", required=False, metavar="[SECTION]", type=click.Choice(SiteFile.__struct_fields__))
def show(call: Call, section: str | None) -> Result:
    """List every setting, or those of a SECTION, with value, default, unit and help."""
    rows = [row for row in setting_rows(call.site.settings) if section in (None, row.key.partition(".")[0])]
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


_ONLY = click.option("--only", metavar="NAME,...", default="", help="These servers; all when not given.")


def _names(only: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in only.split(",") if name.strip())


@command("site", "up", changes="site.up", roles=("operator",), example="appliance site up --site ./site")
@_ONLY
def up(call: Call, only: str) -> Result:
    """Start the servers of the site on this machine, and wait until each answers a real request.

    What a named server needs is started with it. For development: secrets and the unseal key are files of the site.
    """
    from appliance.deploy.servers import lifecycle
    from appliance.deploy.servers.place import place_of

    started = lifecycle.up(place_of(call.site), _names(only), call.clock, call.say)
    return Result(
        data={"started": list(started)},
        text=f"Started {', '.join(started)}." if started else "All of them ran already.",
    )


@command("site", "down", changes="site.down", roles=("operator",), example="appliance site down --site ./site")
@_ONLY
def down(call: Call, only: str) -> Result:
    """Stop the servers of the site, those that need others first; their data stay."""
    from appliance.deploy.servers import lifecycle
    from appliance.deploy.servers.place import place_of

    stopped = lifecycle.down(place_of(call.site), _names(only), call.say)
    return Result(
        data={"stopped": list(stopped)}, text=f"Stopped {', '.join(stopped)}." if stopped else "None of them ran."
    )


@command("site", "status", example="appliance site status --site ./site")
def status(call: Call) -> Result:
    """Ask every server of the site now, and list state, port and memory."""
    from appliance.deploy.servers import lifecycle
    from appliance.deploy.servers.place import place_of

    found = lifecycle.status(place_of(call.site))
    total = sum(each.memory_bytes for each in found)
    lines = [
        f"{each.name:<13} {each.state:<9} {each.port:>6} {each.memory_bytes / 2**20:>7.0f} MiB  {each.reason}".rstrip()
        for each in found
    ]
    return Result(
        data={
            "servers": [
                {
                    "name": each.name,
                    "state": each.state,
                    "pid": each.pid,
                    "port": each.port,
                    "memory_bytes": each.memory_bytes,
                    "reason": each.reason,
                }
                for each in found
            ],
            "memory_bytes": total,
        },
        text="\n".join([*lines, f"{'all':<13} {'':<9} {'':>6} {total / 2**20:>7.0f} MiB"]),
    )


group = noun("site", "Create, check and show a site; run its servers.", [init, check, show, metrics, up, down, status])
