"""What every command shares: the options --site, --as and --json, roles, the audit record, and printing.

Rules
1. A command is declared with `command`. One that changes something says so (``changes="ingest.run"``) and names the
   roles that may run it; the audit record of its intent is written before it runs, that of its outcome after. If the
   first cannot be written, the command does not run. With the flag that it names as ``unless`` it changes nothing,
   not even the log.
2. A command returns a `Result`; this module prints it: text for people, one JSON object with --json.
3. stdout carries the result, stderr everything else.

`DECLARED` lists all commands loaded so far; tests and docs are generated from it.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.base import log
from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import ApplianceError
from appliance.cli import codes
from appliance.config.site import Site, open_site

if TYPE_CHECKING:
    from appliance.wiring.parts import Parts

ROLES = ("operator", "data-engineer", "data-scientist", "approver", "auditor")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command found or did.

    Attributes:
        data: JSON object that --json prints.
        text: what people read.
        exit_code: 0, or the code of a verdict that is not an error (3 for a failed verification).
    """

    data: dict[str, Any]
    text: str
    exit_code: int = 0


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One command, as the tables of tests and docs see it."""

    noun: str
    verb: str
    changes: str | None
    roles: tuple[str, ...]
    needs_site: bool
    example: str
    command: click.Command


DECLARED: dict[str, Declared] = {}


@dataclass(kw_only=True)
class Call:
    """One run of a command: where, as whom, and how to print."""

    site_folder: Path
    role: str
    as_json: bool
    clock: Clock = field(default_factory=SystemClock)

    @functools.cached_property
    def site(self) -> Site:
        return open_site(self.site_folder)

    @functools.cached_property
    def parts(self) -> Parts:
        from appliance.wiring.parts import Parts

        return Parts(site=self.site, clock=self.clock)

    def renew(self) -> None:
        """Build the parts anew when next asked for: the keys of the site were changed."""
        self.__dict__.pop("parts", None)

    def say(self, message: str) -> None:
        """Talk to the person, not to the program that reads stdout."""
        if not self.as_json:
            click.echo(message, err=True)


class Actor(click.ParamType[str]):
    """A role, or a person in one: ``approver/alice``."""

    name = "role"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(ROLES)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from appliance.governance.roles import is_actor

        if not is_actor(value):
            self.fail(
                f"{value!r} is not one of {', '.join(ROLES)}, or approver/NAME, auditor/NAME or builder/NAME.",
                param,
                ctx,
            )
        return value


def command(
    noun: str,
    verb: str,
    *,
    example: str,
    changes: str | None = None,
    unless: str | None = None,
    roles: Sequence[str] = ROLES,
    needs_site: bool = True,
    hidden: bool = False,
) -> Callable[[Callable[..., Result]], click.Command]:
    """Declare the command ``appliance NOUN VERB``; the function gets a `Call` and its own options.

    The docstring's first line is the short help. `roles` may run it; anybody holding a role key may run a command
    that changes nothing. `needs_site` is false where the site does not exist before.
    """

    def declare(function: Callable[..., Result]) -> click.Command:
        @functools.wraps(function)
        def run(site: str, as_role: str, as_json: bool, **options: Any) -> None:
            call = Call(site_folder=Path(site), role=as_role, as_json=as_json)
            changing = None if unless is not None and options[unless] else changes
            with log.tracing():
                result = _run(call, function, options, changes=changing, roles=tuple(roles), recorded=needs_site)
            click.echo(json.dumps(result.data, default=str) if as_json else result.text)
            if result.exit_code:
                raise click.exceptions.Exit(result.exit_code)

        wrapped: Any = run
        for option in (
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
            click.option(
                "--as",
                "as_role",
                type=Actor(),
                envvar="APPLIANCE_ROLE",
                default=roles[0],
                show_default=True,
                help="Role whose key signs the audit record, or a person in it: approver/alice.",
            ),
            click.option(
                "--site",
                default="site",
                envvar="APPLIANCE_SITE",
                show_default=True,
                metavar="FOLDER",
                help="The site to work on.",
            ),
        ):
            wrapped = option(wrapped)
        made = click.command(verb, epilog=f"Example: {example}", hidden=hidden)(wrapped)
        DECLARED[f"{noun} {verb}"] = Declared(
            noun=noun,
            verb=verb,
            changes=changes,
            roles=tuple(roles),
            needs_site=needs_site,
            example=example,
            command=made,
        )
        return made

    return declare


def _run(
    call: Call,
    function: Callable[..., Result],
    options: dict[str, Any],
    *,
    changes: str | None,
    roles: tuple[str, ...],
    recorded: bool,
) -> Result:
    """Check the role, record the intent, run, record the outcome; `recorded` is false where no log exists yet."""
    if (call.site_folder / "site.toml").is_file():
        log.configure(
            path=call.site.logs / "appliance.jsonl", level=os.environ.get("APPLIANCE_LOG", call.site.settings.log.level)
        )
    if changes is not None and call.role.partition("/")[0] not in roles:
        raise ApplianceError(codes.ROLE_REFUSED, f"{changes} is for {', '.join(roles)}; it was called as {call.role}")
    if changes is None or not recorded:
        return function(call, **options)
    arguments = {name: str(value) for name, value in options.items() if value is not None}
    intent = call.parts.audit.begin(role=call.role, action=changes, arguments=arguments)
    try:
        result = function(call, **options)
    except BaseException as error:
        code = error.code.id if isinstance(error, ApplianceError) else type(error).__name__
        call.parts.audit.end(intent, outcome="failed", detail=code)
        raise
    call.parts.audit.end(intent, outcome="done" if result.exit_code == 0 else "failed", detail="")
    return result


def noun(name: str, help: str, commands: Sequence[click.Command]) -> click.Group:
    """The group ``appliance NAME``, the ``group`` of its module."""
    group = click.Group(name, help=help)
    for each in commands:
        group.add_command(each)
    return group
