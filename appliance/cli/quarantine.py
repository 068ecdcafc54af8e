"""``appliance quarantine``: refused readings, and bringing them in after a fix."""

from __future__ import annotations

from dataclasses import asdict

import click

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


group = noun("quarantine", "Look at refused readings and bring them in after a fix.", [list_, show, reparse])
