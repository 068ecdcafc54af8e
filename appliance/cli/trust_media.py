"""``appliance trust media-*``: takes in trust roots from a medium. Needs no site; an auditor's laptop has none."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.base.clock import parse_rfc3339
from appliance.base.errors import ApplianceError
from appliance.cli.command import Call, Result, command

if TYPE_CHECKING:
    from appliance.trust.tuf.client import Trusted


def _instant(context: click.Context, option: click.Parameter, value: str | None) -> dt.datetime | None:
    try:
        return None if value is None else parse_rfc3339(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=context, param=option) from error


def _witnessed_time(function: Any) -> Any:
    return click.option(
        "--witnessed-time",
        callback=_instant,
        metavar="TIME",
        help="Newest time that witnesses signed for, such as 2026-03-01T12:00:00Z. Without it expiry is not judged; "
        "the clock of this machine is never asked.",
    )(function)


_source = click.argument("source")
_state = click.argument("state", type=click.Path(path_type=Path))


@command(
    "trust",
    "media-init",
    needs_site=False,
    example="appliance trust media-init /media/stick/tuf ./believed --root-digest sha256:2a97...",
)
@_source
@_state
@click.option("--root-digest", required=True, help="Digest of the first root, as written down at the ceremony.")
@_witnessed_time
def init(_: Call, source: str, state: Path, root_digest: str, witnessed_time: dt.datetime | None) -> Result:
    """Believe the medium SOURCE if its first root has the digest on paper, and remember that in the folder STATE.

    SOURCE is a folder with metadata and targets, or an http: address on this machine's loopback. It is only read.
    """
    from appliance.trust.tuf.client import refresh

    trusted = refresh(source, state.absolute(), pinned_root_digest=root_digest, reference_time=witnessed_time)
    return _verdict(trusted)


@command(
    "trust",
    "media-refresh",
    needs_site=False,
    example="appliance trust media-refresh /media/stick/tuf ./believed --witnessed-time 2026-03-01T12:00:00Z",
)
@_source
@_state
@_witnessed_time
def refresh(_: Call, source: str, state: Path, witnessed_time: dt.datetime | None) -> Result:
    """Take in a newer medium: new roots, policy and revocations; an older or altered one is refused."""
    return _verdict(_refreshed(source, state, witnessed_time))


@command(
    "trust",
    "media-download",
    needs_site=False,
    example="appliance trust media-download /media/stick/tuf ./believed trust-config.json ./trust-config.json",
)
@_source
@_state
@click.argument("name")
@click.argument("target", type=click.Path(path_type=Path))
@_witnessed_time
def download(_: Call, source: str, state: Path, name: str, target: Path, witnessed_time: dt.datetime | None) -> Result:
    """Take in the medium, then write its target NAME to the file TARGET if it is what the custodians signed."""
    trusted = _refreshed(source, state, witnessed_time)
    trusted.download(name, target.absolute())
    digest = trusted.targets[name]
    return Result(data={"target": str(target), "digest": digest}, text=f"{name} is in {target}\n{digest}")


def _refreshed(source: str, state: Path, witnessed_time: dt.datetime | None) -> Trusted:
    from appliance.trust.tuf import client, codes

    pinned = client.pinned_root(state)
    if pinned is None:
        raise ApplianceError(codes.NOTHING_BELIEVED, f"{state} holds no root", where=str(state))
    return client.refresh(source, state.absolute(), pinned_root_digest=pinned, reference_time=witnessed_time)


def _verdict(trusted: Trusted) -> Result:
    lines = [
        *(f"{role:<10} version {version}" for role, version in trusted.versions.items()),
        *(f"{name} {digest}" for name, digest in sorted(trusted.targets.items())),
        *(f"established: {fact}" for fact in trusted.established),
        *(f"NOT established: {fact}" for fact in trusted.not_established),
    ]
    return Result(data=trusted.as_dict(), text="\n".join(lines))


COMMANDS = (init, refresh, download)
