"""``appliance connector``: pull from other systems into the spool."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table

ROLES = ("data-engineer", "operator")
_SHOWN = 200  # characters of a cursor; --json has all of it


@command("connector", "list", example="appliance connector list")
def list_(call: Call) -> Result:
    """List the declared connectors and what each has delivered."""
    found = call.parts.connectors.all()
    rows = [
        (
            each.name,
            each.kind,
            each.mapping,
            "paused" if each.paused else "ready",
            each.files,
            each.rows,
            each.last_error["code"] if each.last_error else None,
        )
        for each in found
    ]
    heads = ("name", "kind", "mapping", "is", "files", "rows", "last error")
    return Result(data={"connectors": [asdict(each) for each in found]}, text=table(heads, rows))


@command("connector", "status", example="appliance connector status historian --json")
@click.argument("name")
def status(call: Call, name: str) -> Result:
    """Show where a connector stands: cursor, files and rows delivered, last error."""
    found = call.parts.connectors.status(name)
    cursor = json.dumps(found.cursor)
    rows: list[tuple[str, Any]] = [
        ("kind", found.kind),
        ("mapping", found.mapping),
        ("is", "paused" if found.paused else "ready"),
        ("files", found.files),
        ("rows", found.rows),
        ("batch under way", "yes" if found.pending else "no"),
        ("cursor", cursor if len(cursor) <= _SHOWN else f"{cursor[:_SHOWN]}… ({len(cursor)} characters)"),
        ("last error", f"{found.last_error['at']} {found.last_error['message']}" if found.last_error else "none"),
    ]
    return Result(data=asdict(found), text=table(("what", "value"), rows))


@command(
    "connector",
    "run",
    changes="connector.run",
    roles=ROLES,
    example="appliance connector run historian --until-empty",
)
@click.argument("name")
@click.option("--until-empty", is_flag=True, help="End when the source has no more; this is the default.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="Run for so long, and look again meanwhile."
)
def run(call: Call, name: str, until_empty: bool, seconds: float | None) -> Result:
    """Pull what the source has into the spool; appliance ingest run takes it from there.

    A run that was stopped or killed is gone on with by the next one: nothing is lost and nothing comes in twice.
    """
    if until_empty and seconds is not None:
        raise click.UsageError("--until-empty and --seconds exclude each other.")
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        report = call.parts.connectors.run(name, seconds=seconds, progress=progress)
    ended = {"empty": "the source is empty", "time": "the time is up", "paused": "it was paused"}[report.ended]
    again = f", {report.duplicates} left out that came before" if report.duplicates else ""
    return Result(
        data={"name": name, **asdict(report)}, text=f"{report.rows} rows in {report.files} files{again}; {ended}"
    )


@command("connector", "pause", changes="connector.pause", roles=ROLES, example="appliance connector pause historian")
@click.argument("name")
def pause(call: Call, name: str) -> Result:
    """Keep a connector from running until it is resumed; one that runs ends after its batch."""
    call.parts.connectors.pause(name)
    return Result(data={"name": name, "paused": True}, text=f"{name} is paused")


@command("connector", "resume", changes="connector.resume", roles=ROLES, example="appliance connector resume historian")
@click.argument("name")
def resume(call: Call, name: str) -> Result:
    """Let a paused connector run again, from where it stands."""
    call.parts.connectors.resume(name)
    return Result(data={"name": name, "paused": False}, text=f"{name} is ready")


group = noun("connector", "Pull from other systems into the spool.", [list_, status, run, pause, resume])
