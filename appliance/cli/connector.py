"""``appliance connector``: bring what other systems have to the site.

Connectors of kinds rest and mqtt pull into the spool; those of kind changes run in Kafka Connect, and a run takes the
changes that it has brought into the tables.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from appliance.base.progress import NoProgress, Progress
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table

if TYPE_CHECKING:
    from appliance.ingestion.changes.captures import CaptureStatus
    from appliance.ingestion.connectors.connectors import Status

ROLES = ("data-engineer", "operator")
_SHOWN = 200  # characters of a cursor; --json has all of it


@command("connector", "list", example="appliance connector list")
def list_(call: Call) -> Result:
    """List the declared connectors, how each stands and what it has delivered."""
    from appliance.ingestion.connectors.connectors import Status

    found = call.parts.connectors.all()
    rows: list[tuple[Any, ...]] = []
    for each in found:
        if isinstance(each, Status):
            error = each.last_error["code"] if each.last_error else None
            rows.append((each.name, each.kind, _state(each), each.mapping, each.files, each.rows, error))
        else:
            into = ", ".join(each.tables.values())
            rows.append((each.name, each.kind, _state(each), into, None, None, each.gap or each.reason or None))
    heads = ("name", "kind", "is", "goes to", "files", "rows", "last error")
    return Result(data={"connectors": [asdict(each) for each in found]}, text=table(heads, rows))


@command("connector", "status", example="appliance connector status historian --json")
@click.argument("name")
def status(call: Call, name: str) -> Result:
    """Show where a connector stands: how far it is, what it has delivered, what is wrong.

    Ends with 1 when changes of its source were lost.
    """
    from appliance.ingestion.connectors.connectors import Status

    found = call.parts.connectors.status(name)
    if isinstance(found, Status):
        return Result(data=asdict(found), text=table(("what", "value"), _delivered(found)))
    return Result(data=asdict(found), text=table(("what", "value"), _captured(found)), exit_code=1 if found.gap else 0)


def _state(found: Status | CaptureStatus) -> str:
    state = getattr(found, "state", None)
    return state if state is not None else "paused" if getattr(found, "paused", False) else "ready"


def _delivered(found: Status) -> list[tuple[str, Any]]:
    cursor = json.dumps(found.cursor)
    return [
        ("kind", found.kind),
        ("mapping", found.mapping),
        ("is", _state(found)),
        ("files", found.files),
        ("rows", found.rows),
        ("batch under way", "yes" if found.pending else "no"),
        ("cursor", cursor if len(cursor) <= _SHOWN else f"{cursor[:_SHOWN]}… ({len(cursor)} characters)"),
        ("last error", f"{found.last_error['at']} {found.last_error['message']}" if found.last_error else "none"),
    ]


def _captured(found: CaptureStatus) -> list[tuple[str, Any]]:
    return [
        ("kind", found.kind),
        ("is", found.state),
        ("reason", found.reason or "none"),
        *((f"table {source}", f"silver.{name}, bronze.{name}") for source, name in found.tables.items()),
        ("snapshot", "under way" if found.snapshot else "none under way"),
        ("captured up to", found.captured or "nothing yet"),
        ("slot confirmed up to", found.slot or "no slot"),
        ("log kept at the source", f"{found.held_bytes / 2**20:.1f} MiB"),
        ("lost", found.gap or "nothing"),
    ]


@command("connector", "source", example="appliance connector source register")
@click.argument("name")
def source(call: Call, name: str) -> Result:
    """Print the statements that the source of a connector of changes still needs, for its administrator.

    Ends with 1 when something is missing. What no statement mends is printed as a comment.
    """
    found = call.parts.connectors.objections(name)
    lines = [line for each in found for line in (f"-- {each.message}", each.statement) if line]
    return Result(
        data={"name": name, "objections": [asdict(each) for each in found]},
        text="\n".join(lines) if lines else "-- the source is ready",
        exit_code=1 if found else 0,
    )


@command("connector", "add", changes="connector.add", roles=ROLES, example="appliance connector add register")
@click.argument("name")
def add(call: Call, name: str) -> Result:
    """Have Kafka Connect capture the changes of a declared database, and read the rows that are there.

    Done again it changes what was declared otherwise since; tables that are new are read from their start.
    """
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        found = call.parts.connectors.add(name, progress)
    read = f"; its rows are read: {', '.join(found.snapshot_of)}" if found.snapshot_of else ""
    return Result(data={"name": name, "snapshot_of": list(found.snapshot_of)}, text=f"{name} is captured{read}")


@command(
    "connector",
    "restart",
    changes="connector.restart",
    roles=ROLES,
    example="appliance connector restart register --snapshot",
)
@click.argument("name")
@click.option("--snapshot", is_flag=True, help="Read all rows again, beside the changes.")
def restart(call: Call, name: str, snapshot: bool) -> Result:
    """Start a connector of changes anew in Kafka Connect, for example after it has failed."""
    call.parts.connectors.restart(name, snapshot=snapshot)
    return Result(data={"name": name, "snapshot": snapshot}, text=f"{name} is started anew")


@command(
    "connector", "remove", changes="connector.remove", roles=ROLES, example="appliance connector remove register --yes"
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Really; what the source changes from then on is not captured.")
def remove(call: Call, name: str, yes: bool) -> Result:
    """Stop capturing a source: out of Kafka Connect, and its replication slot away. Tables and topics stay."""
    if not yes:
        raise click.UsageError("Changes of the source from then on are lost to the site. Say --yes.")
    call.parts.connectors.remove(name)
    return Result(data={"name": name, "removed": True}, text=f"{name} is no longer captured")


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
    """Bring what the source has: into the spool, or of kind changes into the tables.

    From the spool, appliance ingest run takes it. A run that was stopped or killed is gone on with by the next one:
    nothing is lost and nothing comes in twice.
    """
    if until_empty and seconds is not None:
        raise click.UsageError("--until-empty and --seconds exclude each other.")
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        if call.parts.connectors.is_captured(name):
            return _take(call, name, seconds, progress)
        report = call.parts.connectors.run(name, seconds=seconds, progress=progress)
    ended = {"empty": "the source is empty", "time": "the time is up", "paused": "it was paused"}[report.ended]
    again = f", {report.duplicates} left out that came before" if report.duplicates else ""
    return Result(
        data={"name": name, **asdict(report)}, text=f"{report.rows} rows in {report.files} files{again}; {ended}"
    )


def _take(call: Call, name: str, seconds: float | None, progress: Progress) -> Result:
    from appliance.base.stopping import stop_asked

    with stop_asked() as asked:
        ends_at = None if seconds is None else time.monotonic() + seconds
        report = call.parts.connectors.take(
            name,
            until_end=seconds is None,
            stop=lambda: asked() or (ends_at is not None and time.monotonic() >= ends_at),
            progress=progress,
        )
    rows = [(each, count) for each, count in report.changes.items()]
    return Result(data={"name": name, **asdict(report)}, text=table(("table", "changes taken"), rows))


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


group = noun(
    "connector",
    "Bring what other systems have: pull into the spool, or capture the changes of a database.",
    [list_, status, source, add, run, pause, resume, restart, remove],
)
