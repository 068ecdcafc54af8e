"""``appliance table``: the tables of the lake."""

from __future__ import annotations

from dataclasses import asdict

import click

from appliance.cli.command import Call, Result, command, noun
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
    """Show a table's columns and some of its rows."""
    lake = call.parts.lake
    schema = lake.schema(name)
    found = lake.scan(name, where=where, limit=limit)
    head = lake.head(name)
    columns = [{"name": field.name, "type": str(field.type), "null": field.nullable} for field in schema]
    rows = found.to_pylist()
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


@command(
    "table",
    "upkeep",
    changes="table.upkeep",
    roles=("data-engineer", "operator"),
    example="appliance table upkeep silver.readings --keep 20",
)
@click.argument("name", required=False)
@click.option("--keep", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Snapshots that stay.")
def upkeep(call: Call, name: str | None, keep: int) -> Result:
    """Expire old snapshots of one table, or of all. Rows and data files stay."""
    from appliance.storage.upkeep import expire

    lake = call.parts.lake
    done = [expire(lake, each, keep=keep) for each in ([name] if name else lake.tables())]
    rows = [(each.table, each.before, each.after, each.files_removed) for each in done]
    return Result(
        data={"tables": [asdict(each) for each in done]},
        text=table(("table", "snapshots before", "after", "metadata files removed"), rows),
    )


def _short(value: object) -> object:
    text = str(value)
    return value if isinstance(value, int | float) or value is None or len(text) <= 60 else text[:57] + "..."


group = noun("table", "List, show and maintain lake tables.", [list_, show, history, upkeep])
