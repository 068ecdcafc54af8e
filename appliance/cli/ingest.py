"""``appliance ingest``: take what is in the spool, and account for it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import click
import msgspec

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table


class _Steps:
    """One line on stderr for each stretch of work."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def begin(self, what: str, total: int | None) -> None:
        if total != 0:
            self._call.say(what if total is None else f"{what}: {total}")

    def advance(self, amount: int) -> None:
        pass


def steps(call: Call) -> Progress:
    return _Steps(call)


def _new_alerts(alarms: list[dict[str, Any]]) -> list[str]:
    """Lines for people about at most twenty of them."""
    if not alarms:
        return []
    shown = [(alarm["severity"], alarm["code"], alarm["subject"], alarm["message"]) for alarm in alarms[:20]]
    return ["", f"{len(alarms)} new alerts", table(("severity", "code", "subject", "message"), shown)]


@command(
    "ingest",
    "run",
    changes="ingest.run",
    roles=("data-engineer", "operator"),
    example="appliance ingest run --site ./site",
)
@click.option("--once", is_flag=True, help="Take what is there now; do not look again for what came in meanwhile.")
def run(call: Call, once: bool) -> Result:
    """Take readings and drops from the spool into the lake.

    Ends when the spool is empty. A run that was stopped or killed is gone on with by the next one: nothing is lost
    and nothing comes in twice. Drops come first: readings may be checked against a table that they bring.
    """
    try:
        drops = call.parts.drops.run(progress=steps(call))
    except ApplianceError:  # what stops drops does not stop readings
        call.parts.sink.run(until_empty=not once, progress=steps(call))
        raise
    readings = call.parts.sink.run(until_empty=not once, progress=steps(call))
    alarms = [asdict(alarm) for alarm in (*readings.alarms, *drops.alarms)]
    data: dict[str, Any] = {
        "readings": {**asdict(readings), "alarms": len(readings.alarms)},
        "drops": {**asdict(drops), "alarms": len(drops.alarms)},
        "alarms": alarms,
    }
    lines = [
        f"{readings.files} files with {readings.readings} readings: {readings.accepted} accepted, "
        f"{sum(readings.refused.values())} refused, {readings.late} late",
        f"{drops.files} drops with {drops.lines} lines: {drops.accepted} accepted, "
        f"{sum(drops.refused.values())} refused",
    ]
    if readings.refused or drops.refused:
        reasons = sorted({**drops.refused, **readings.refused})
        counts = [(code, readings.refused.get(code, 0) + drops.refused.get(code, 0)) for code in reasons]
        lines += ["", table(("reason", "refused"), counts)]
    lines += _new_alerts(alarms)
    return Result(data=data, text="\n".join(lines))


@command(
    "ingest",
    "topic",
    changes="ingest.topic",
    roles=("data-engineer", "operator"),
    example="appliance ingest topic --until-end",
)
@click.option("--until-end", is_flag=True, help="End when every partition is at its end; else run until stopped.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Run for so long at most.")
@click.option("--accept-gap", is_flag=True, help="Go on behind records that the broker has deleted; raises an alert.")
def topic(call: Call, until_end: bool, seconds: float | None, accept_gap: bool) -> Result:
    """Take readings from the topic in Kafka into the lake.

    Any number of workers share the topic's partitions. One that was stopped or killed is gone on with by the next:
    nothing is lost and nothing comes in twice. Ends on SIGINT or SIGTERM after a last commit.
    """
    from appliance.base.stopping import stop_asked

    with stop_asked() as asked, terminal_progress(NoProgress() if call.as_json else None) as progress:
        ends_at = None if seconds is None else time.monotonic() + seconds
        report = call.parts.topic_worker.run(
            until_end=until_end,
            stop=lambda: asked() or (ends_at is not None and time.monotonic() >= ends_at),
            accept_gap=accept_gap,
            progress=progress,
        )
    taken = report.taken
    alarms = [asdict(alarm) for alarm in taken.alarms]
    lines = [
        f"{taken.files} records with {taken.readings} readings: {taken.accepted} accepted, "
        f"{sum(taken.refused.values())} refused, {taken.late} late",
        table(
            ("partition", "records behind", "waits for schema"),
            [(each, behind, report.waiting.get(each)) for each, behind in sorted(report.lag.items())],
        ),
    ]
    lines += _new_alerts(alarms)
    return Result(
        data={
            "taken": {**asdict(taken), "alarms": len(alarms)},
            "lag": {str(each): behind for each, behind in report.lag.items()},
            "waiting": {str(each): id for each, id in report.waiting.items()},
            "alarms": alarms,
        },
        text="\n".join(lines),
    )


@command("ingest", "status", example="appliance ingest status --json")
def status(call: Call) -> Result:
    """Show what waits in the spool and how far each source is taken.

    Partitions of a topic are shown as the worker told last that has them.
    """
    from appliance.ingestion.status import sources
    from appliance.ingestion.topics.standing import told

    found = sources(call.parts.sink, call.parts.drops, call.parts.lake)
    rows = [(each.source, each.waiting, each.claimed, each.position) for each in found]
    text = table(("source", "waiting", "claimed", "position"), rows)
    topics = [{**msgspec.to_builtins(each), "lag": each.lag} for each in told(call.site.topics)]
    if topics:
        heads = ("source", "taken", "end", "waits for schema", "told at", "commit took (s)", "lag")
        text += f"\n\n{table(heads, [tuple(each.values()) for each in topics])}"
    return Result(data={"sources": [asdict(each) for each in found], "topics": topics}, text=text)


@command("ingest", "ledger", example="appliance ingest ledger --device tx-0042")
@click.option("--device", default=None, metavar="ID", help="Only this device.")
def ledger(call: Call, device: str | None) -> Result:
    """Count what came in against what is in silver and in quarantine, anew from the tables.

    Ends with 1, and raises an alert, when a device and hour does not balance.
    """
    from appliance.ingestion.ledger import alerts_of, balance

    found = balance(call.parts.lake)
    call.parts.alerts.record(alerts_of(found, call.clock.now()))
    lines = [line for line in found.lines if device is None or line.device_id == device]
    shown = lines if device is not None else [line for line in lines if line.imbalance]
    summary = (
        f"came in {found.came_in} = accepted {found.accepted} + quarantined {found.quarantined} "
        f"+ pending {found.pending}; imbalance {found.imbalance}"
    )
    rows = [
        (line.device_id, line.hour, line.came_in, line.accepted, line.quarantined, line.pending, line.imbalance)
        for line in shown[:200]
    ]
    heads = ("device", "hour", "came in", "accepted", "quarantined", "pending", "imbalance")
    return Result(
        data={
            "came_in": found.came_in,
            "accepted": found.accepted,
            "quarantined": found.quarantined,
            "pending": found.pending,
            "imbalance": found.imbalance,
            "lines": [{**asdict(line), "imbalance": line.imbalance} for line in lines],
        },
        text=summary if not rows else f"{summary}\n\n{table(heads, rows)}",
        exit_code=1 if found.imbalance else 0,
    )


group = noun("ingest", "Take readings and drops from the spool into the lake.", [run, topic, status, ledger])
