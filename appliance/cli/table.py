"""``appliance table``: the tables of the lake."""

from __future__ import annotations

from dataclasses import asdict

import click

from appliance.base.errors import EXIT_FAILED
from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.cli.table_upkeep import upkeep
from appliance.cli.text import table


@command("table", "list", example="appliance table list")
def list_(call: Call) -> Result:
    """List the tables with rows, files and snapshots."""
    lake = call.parts.lake
    found = []
    for name in lake.tables():
        files = lake.files(name)
        rows, snapshots = sum(file.rows for file in files), len(lake.commits(name))
        found.append({"table": name, "rows": rows, "files": len(files), "snapshots": snapshots})
    return Result(
        data={"tables": found},
        text=table(("table", "rows", "files", "snapshots"), [tuple(each.values()) for each in found]),
    )


@command("table", "show", example="appliance table show silver.readings --where \"device_id = 'tx-0042'\"")
@click.argument("name")
@click.option("--where", default=None, metavar="FILTER", help="Rows to show, for example: value > 90 and unit = 'Cel'")
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Rows at most.")
def show(call: Call, name: str, where: str | None, limit: int) -> Result:
    """Show a table's columns and some of its rows; sensitive values are masked, for everybody."""
    from appliance.ingestion.sensitive.masking import masked
    from appliance.storage.columns import tags_of

    lake = call.parts.lake
    tags = tags_of(lake.table(name))
    schema = lake.schema(name)
    found = lake.scan(name, where=where, limit=limit)
    head = lake.head(name)
    columns = [{"name": field.name, "type": str(field.type), "null": field.nullable} for field in schema]
    rows = [masked(row, tags) for row in found.to_pylist()]
    text = "\n\n".join(
        (
            table(("column", "type", "null"), [tuple(each.values()) for each in columns]),
            table(schema.names, [[_short(row[key]) for key in schema.names] for row in rows]),
        )
    )
    return Result(
        data={
            "table": name,
            "snapshot_id": str(head.snapshot_id or ""),
            "properties": dict(head.properties),
            "columns": columns,
            "rows": rows,
        },
        text=text,
    )


@command("table", "tags", example="appliance table tags silver.customers")
@click.argument("name")
def tags(call: Call, name: str) -> Result:
    """Show which columns of a table are sensitive, and those that somebody declared to be none."""
    from appliance.storage.columns import tags_of

    found = [
        {"column": column, "tag": tag, "reason": reason}
        for column, (tag, reason) in tags_of(call.parts.lake.table(name)).items()
    ]
    return Result(
        data={"table": name, "tags": found},
        text=table(("column", "tag", "reason"), [tuple(each.values()) for each in found]),
    )


@command("table", "history", example="appliance table history silver.readings")
@click.argument("name")
def history(call: Call, name: str) -> Result:
    """Show the kept commits of a table, each with its lineage document."""
    commits = call.parts.lake.commits(name)
    rows = [(str(each.snapshot_id), each.rows, len(each.files), each.lineage_id) for each in commits]
    return Result(
        data={"table": name, "commits": [{**asdict(each), "snapshot_id": str(each.snapshot_id)} for each in commits]},
        text=table(("snapshot", "rows", "files", "lineage"), rows),
    )


@command("table", "contracts", example="appliance table contracts --json")
def contracts(call: Call) -> Result:
    """List the contracts of tables: each check, where it is judged, what it asks for, and what was found there last.

    Every check is judged over a snapshot of its table (appliance table check, and the pipeline's first step); one with
    in_sink before that in the sink, which refuses the readings that break it.
    """
    from appliance.ingestion.gates.results import standings

    found = [asdict(each) for each in standings(call.parts.gates.contracts, call.parts.gates.newest())]
    columns = ("table", "check", "stage", "expected", "outcome", "observed")
    return Result(data={"checks": found}, text=table(columns, [[each[name] for name in columns] for each in found]))


@command(
    "table",
    "check",
    changes="table.check",
    roles=("data-engineer", "operator"),
    example="appliance table check silver.readings",
)
@click.argument("tables", nargs=-1, metavar="[NAME]...")
def check(call: Call, tables: tuple[str, ...]) -> Result:
    """Check tables, or all that have a contract, against their contracts; keep the results in ledger.gates.

    Judges all checks, over the newest snapshot of each table; what those with in_sink refused as readings came in is
    shown by appliance table contracts. Ends with 1 when a check fails or cannot be judged, and names rows that break
    it.
    """
    from appliance.ingestion.sensitive.masking import masked

    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        reports = call.parts.gates.run(tables or None, progress=progress)
    rows = [
        (report.table, each.check, each.outcome, each.observed, each.expected)
        for report in reports
        for each in report.results
    ]
    lines = [table(("table", "check", "outcome", "found", "expected"), rows)]
    for report in reports:
        for each in report.results:
            if each.sample:
                first = ", ".join(f"{name} {_short(value)}" for name, value in masked(each.sample[0], {}).items())
                lines.append(f"{report.table} {each.check}: {each.broken} of {each.rows} rows, the first is {first}")
    return Result(
        data={"passed": all(each.passed for each in reports), "tables": [asdict(each) for each in reports]},
        text="\n".join(lines),
        exit_code=0 if all(each.passed for each in reports) else EXIT_FAILED,
    )


def _short(value: object) -> object:
    text = str(value)
    return value if isinstance(value, int | float) or value is None or len(text) <= 60 else text[:57] + "..."


group = noun("table", "List, show and maintain lake tables.", [list_, show, tags, history, upkeep, contracts, check])
