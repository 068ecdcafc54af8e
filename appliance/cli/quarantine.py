"""``appliance quarantine``: refused readings, and bringing them in after a fix."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from appliance.base.errors import ApplianceError
from appliance.cli import codes
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.ingest import steps
from appliance.cli.text import table


@command("quarantine", "list", example="appliance quarantine list")
def list_(call: Call) -> Result:
    """Count refused readings by reason."""
    groups = call.parts.quarantine.summary()
    rows = [(each.code, each.title, each.rows, each.devices, each.files, each.last_arrived_at) for each in groups]
    return Result(
        data={"groups": [asdict(each) for each in groups]},
        text=table(("code", "reason", "rows", "devices", "files", "last arrival"), rows),
    )


@command("quarantine", "show", example="appliance quarantine show EVENT_TIME --device tx-0042")
@click.argument("code")
@click.option("--device", default=None, metavar="ID", help="Only this device.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Rows at most.")
def show(call: Call, code: str, device: str | None, limit: int) -> Result:
    """Show refused readings of one reason, with where their raw bytes are."""
    from appliance.ingestion.reasons import BY_CODE

    found = call.parts.quarantine.rows(code, device_id=device, limit=limit).to_pylist()
    heads = ("device", "measure", "event time", "value", "unit", "firmware", "position", "record", "index", "detail")
    keys = ("device_id", "measure", "event_time", "value", "unit", "firmware", "position", "record", "index", "detail")
    reason = BY_CODE[code]
    return Result(
        data={"code": code, "title": reason.title, "meaning": reason.meaning, "rows": found},
        text=f"{reason.title}: {reason.meaning}\n\n{table(heads, [[row[key] for key in keys] for row in found])}",
    )


@command(
    "quarantine",
    "reparse",
    changes="quarantine.reparse",
    roles=("data-engineer", "operator"),
    example="appliance quarantine reparse",
)
def reparse(call: Call) -> Result:
    """Decode refused readings again with the declarations of now, and let in those that pass.

    Their raw bytes are read from the object store. What does not pass stays; running it again changes nothing.
    """
    report = call.parts.quarantine.reparse(progress=steps(call))
    rows = sorted(report.by_firmware.items())
    text = f"{report.tried} readings of {report.files} files tried, {report.accepted} accepted"
    return Result(
        data=asdict(report),
        text=text if not rows else f"{text}\n\n{table(('firmware', 'accepted'), rows)}",
    )


@command("quarantine", "letters", example="appliance quarantine letters --code DECODE")
@click.option("--source", default=None, metavar="SOURCE", help="Only of this source, such as kafka:readings:0.")
@click.option("--code", default=None, metavar="CODE", help="Only with this reason code.")
@click.option("--all", "closed", is_flag=True, help="Also those that were answered or purged.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Letters at most.")
def letters(call: Call, source: str | None, code: str | None, closed: bool, limit: int) -> Result:
    """List dead letters: what came in and could not be decoded."""
    found = call.parts.letters.find(source=source, code=code, closed=closed)
    rows = [
        (each.source, each.position, each.code, each.lost, each.arrived_at, each.answered, each.purged, each.detail)
        for each in found[:limit]
    ]
    heads = ("source", "position", "code", "lost", "arrived", "answered", "purged", "detail")
    return Result(
        data={"letters": [asdict(each) for each in found[:limit]], "found": len(found)},
        text=f"{len(found)} letters\n\n{table(heads, rows)}" if found else "no letters",
    )


@command("quarantine", "letter", example="appliance quarantine letter kafka:readings:0 4711")
@click.argument("source")
@click.argument("position", type=click.IntRange(0))
def letter(call: Call, source: str, position: int) -> Result:
    """Show a dead letter: what failed, and of its bytes size, digest and schema, if it was not purged."""
    found = call.parts.letters.one(source, position)
    data = asdict(found)
    if found.purged is None:
        data |= asdict(call.parts.letters.look(found))
    return Result(data=data, text=table(("what", "value"), list(data.items())))


@command(
    "quarantine",
    "take-out",
    changes="quarantine.take-out",
    roles=("data-engineer",),
    example="appliance quarantine take-out kafka:readings:0 4711 letter.bin",
)
@click.argument("source")
@click.argument("position", type=click.IntRange(0))
@click.argument("file", type=click.Path(path_type=Path))
def take_out(call: Call, source: str, position: int, file: Path) -> Result:
    """Write the bytes of a dead letter to a new file, as they came."""
    size = call.parts.letters.take_out(call.parts.letters.one(source, position), file)
    return Result(data={"file": str(file), "bytes": size}, text=f"{size} bytes in {file}")


@command(
    "quarantine",
    "answer",
    changes="quarantine.answer",
    roles=("data-engineer",),
    example="appliance quarantine answer kafka:readings:0 4711 mended.jsonl",
)
@click.argument("source")
@click.argument("position", type=click.IntRange(0))
@click.argument("file", type=click.Path(path_type=Path))
def answer(call: Call, source: str, position: int, file: Path) -> Result:
    """Send a mended copy of a dead letter into the spool: an Avro file, or a reading batch as JSON on each line.

    appliance ingest run then judges it like everything that comes in. The letter stays in quarantine and counts as
    answered.
    """
    name = call.parts.letters.answer(call.parts.letters.one(source, position), file)
    return Result(data={"file": name}, text=f"{name} waits in the spool")


@command(
    "quarantine",
    "purge",
    changes="quarantine.purge",
    roles=("data-engineer", "approver"),
    example='appliance quarantine purge kafka:readings:0 4711 --reason "a page of patient data"',
)
@click.argument("source")
@click.argument("positions", metavar="POSITION...", type=click.IntRange(0), nargs=-1, required=True)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded.")
@click.option("--approve", is_flag=True, help="Agree to a purge that a data-engineer asked for.")
def purge(call: Call, source: str, positions: tuple[int, ...], reason: str, approve: bool) -> Result:
    """Destroy the bytes of dead letters for good. The first call asks for it and ends with 5; a second person approves.

    The approval is by another key and counts for seven days; the first call again then destroys them. The rows in
    quarantine stay, and verification holds as before.
    """
    expected = "approver" if approve else "data-engineer"
    if call.role.partition("/")[0] != expected:
        raise ApplianceError(codes.ROLE_REFUSED, f"this is for {expected}; it was called as {call.role}")
    if approve:
        call.parts.letter_purge.approve(source, positions, actor=call.role, reason=reason)
        return Result(data={"approved": True}, text="approved; appliance quarantine purge by who asked does it")
    done = call.parts.letter_purge.purge(source, positions, actor=call.role, reason=reason)
    text = f"{done.keys} keys destroyed: these letters are dark now"
    return Result(data=asdict(done), text=f"{text}; {done.before} were before" if done.before else text)


group = noun(
    "quarantine",
    "Look at refused readings and bring them in after a fix.",
    [list_, show, reparse, letters, letter, take_out, answer, purge],
)
