"""``appliance deploy``: from a verified bundle to a running host, by Ansible from the control environment.

``install.sh`` of a bundle makes that environment and starts these commands. They work on the host, not on a site.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.base.errors import EXIT_FAILED, EXIT_VERIFICATION, ApplianceError
from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table

if TYPE_CHECKING:
    from appliance.deploy.deployment import Order, Outcome

_folder = click.Path(path_type=Path)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_bundle = click.option(
    "--bundle", type=_folder, default=None, help="The bundle's folder; that of this control environment when left out."
)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Those of every verb that runs a playbook."""
    for option in (
        click.option("--diff", is_flag=True, help="Show every difference."),
        click.option(
            "--inventory",
            type=_folder,
            default=None,
            help="Folder of the inventory; /etc/appliance/inventory if left out.",
        ),
        click.option("--root-digest", required=True, help="Digest of the releaser's first root, from paper."),
        _bundle,
    ):
        function = option(function)
    return function


@command(
    "deploy",
    "init",
    needs_site=False,
    changes="deploy.init",
    roles=("operator",),
    example="appliance deploy init ./mysite",
)
@click.argument("folder", type=_folder)
@_bundle
def init(_: Call, folder: Path, bundle: Path | None) -> Result:
    """Write an inventory for this one host to the new FOLDER; change it, then name it with --inventory."""
    from appliance.deploy import inventory

    target = folder.absolute()
    inventory.write_for_this_host(_bundle_of(bundle), target)
    return Result(data={"inventory": str(target)}, text=f"an inventory for this host is in {target}")


@command(
    "deploy",
    "preflight",
    needs_site=False,
    changes="deploy.preflight",
    roles=("operator",),
    example="appliance deploy preflight --root-digest sha256:2a97... --inventory ./mysite",
)
@_options
def preflight(call: Call, **options: Any) -> Result:
    """Verify the bundle and tell everything that keeps this host from being deployed on. No service is changed.

    Ends with code 4 and lists every finding with what to do.
    """
    from appliance.deploy import codes

    return _run(call, _order("preflight", **options), codes.PREFLIGHT_FAILED)


@command(
    "deploy",
    "install",
    needs_site=False,
    changes="deploy.install",
    roles=("operator",),
    example="appliance deploy install --root-digest sha256:2a97... --check --diff",
)
@_options
@click.option("--check", is_flag=True, help="Tell what would change, and change nothing.")
def install(call: Call, check: bool, **options: Any) -> Result:
    """Verify the bundle and make this host what the inventory says. A second run changes nothing.

    A run that was killed goes on when the same command is run again.
    """
    from appliance.deploy import codes

    return _run(call, _order("install", check=check, **options), codes.RUN_FAILED)


@command(
    "deploy",
    "verify",
    needs_site=False,
    changes="deploy.verify",
    roles=("operator",),
    example="appliance deploy verify --root-digest sha256:2a97...",
)
@_options
def verify(call: Call, **options: Any) -> Result:
    """Look at everything that install made: each service runs and answers. No service is changed."""
    from appliance.deploy import codes

    return _run(call, _order("verify", **options), codes.RUN_FAILED)


@command("deploy", "status", needs_site=False, example="appliance deploy status")
def status(_: Call) -> Result:
    """Show the release that runs on this host, its units, and the last deployment. Ends with code 1 if one is down."""
    from appliance.deploy.places import Places
    from appliance.deploy.status import status as read

    found = read(Places())
    rows = [(each.name, each.active, each.sub) for each in found.units]
    last = found.last or {}
    lines = [f"release  {found.release or 'none'}"]
    lines += [f"last run {last.get('run')}, {last.get('result', last.get('step'))}"] if last else []
    lines += ["", table(("unit", "active", "state"), rows)] if rows else ["no units"]
    units = [{"name": each.name, "active": each.active, "sub": each.sub} for each in found.units]
    return Result(
        data={"release": found.release, "ok": found.ok, "units": units, "last": found.last},
        text="\n".join(lines),
        exit_code=0 if found.ok else EXIT_FAILED,
    )


def _bundle_of(named: Path | None) -> Path:
    """Raises ApplianceError: APL-DEPLOY-006."""
    from appliance.deploy import codes
    from appliance.deploy.places import Places, own_bundle

    found = named.absolute() if named else own_bundle(Places())
    if found is None:
        raise ApplianceError(codes.NO_BUNDLE_NAMED, "expected --bundle FOLDER")
    return found


def _order(verb: Any, *, bundle: Path | None, root_digest: str, inventory: Path | None, **flags: bool) -> Order:
    from appliance.deploy.deployment import Order

    if not _DIGEST.fullmatch(root_digest):  # a typing error is no verdict
        raise click.BadParameter(f"expected sha256: and 64 hex digits, got {root_digest!r}", param_hint="--root-digest")
    return Order(
        verb=verb,
        bundle=_bundle_of(bundle),
        root_digest=root_digest,
        inventory=inventory.absolute() if inventory else None,
        **flags,
    )


def _run(call: Call, order: Order, code: Any) -> Result:
    from appliance.deploy.deployment import deploy
    from appliance.deploy.places import Places

    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        done = deploy(order, places=Places(), clock=call.clock, progress=progress, say=call.say)
    if done.verdict is not None:
        return Result(data=done.verdict.as_json(), text=done.verdict.text(), exit_code=EXIT_VERIFICATION)
    return Result(
        data={
            "ok": done.ok,
            "verb": order.verb,
            "check": order.check,
            "run": done.run,
            "release": done.release,
            "seconds": done.seconds,
            "hosts": {name: each.as_json for name, each in (done.hosts or {}).items()},
            "failures": [vars(each) for each in done.failures],
            "code": "" if done.ok else code.id,
            "told": str(done.output),
        },
        text="\n".join(_lines(order, done, code)),
        exit_code=0 if done.ok else code.exit_code,
    )


def _lines(order: Order, done: Outcome, code: Any) -> list[str]:
    columns = ("host", "ok", "changed", "skipped", "failed", "seconds")
    sums = {name: each.as_json for name, each in (done.hosts or {}).items()}
    rows = [(name, *(str(each[column]) for column in columns[1:])) for name, each in sums.items()]
    lines = [table(columns, rows), ""] if rows else []
    if done.ok:
        would = ", as it would be" if order.check else ""
        return [*lines, f"{order.verb} of release {done.release} done in {done.seconds:.0f} s{would}"]
    lines += [each.text() for each in done.failures] or list(done.words)
    return [*lines, f"{code.id} {code.title}; all that was told: {done.output}", f"  do: {code.action}"]


group = noun(
    "deploy", "From a verified bundle to a running host, by Ansible.", (init, preflight, install, verify, status)
)
