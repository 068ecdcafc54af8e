"""``appliance table upkeep``: small files, old snapshots, and what nobody needs any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table

if TYPE_CHECKING:
    from appliance.storage.upkeep.plan import Plan

_HEADS = ("table", "snapshots expired", "replaced removed", "orphans removed", "metadata removed", "bytes removed",
          "files rewritten", "into", "bytes rewritten", "manifests merged")  # fmt: skip


@command(
    "table",
    "upkeep",
    changes="table.upkeep",
    unless="plan",
    roles=("data-engineer", "operator"),
    example="appliance table upkeep silver.readings --plan",
)
@click.argument("tables", nargs=-1, metavar="[NAME]...")
@click.option("--plan", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--keep", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Snapshots that stay.")
@click.option(
    "--sort",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="COLUMN,...",
    help="Order the rows of new files: by these columns, or by device and event time where none are named.",
)
def upkeep(call: Call, tables: tuple[str, ...], plan: bool, keep: int, sort: str | None) -> Result:
    """Make small files large, expire snapshots, and remove files that nobody needs: of these tables, or of all.

    Rows stay the same. A data file goes when a compaction replaced it storage.retain_files ago and no kept snapshot
    has it, or when it never was in the table; a removal document names it first, and appliance verify tells of it.
    """
    from appliance.storage.upkeep.plan import limits_of

    limits = limits_of(call.site.settings.storage, keep=keep)
    part, wanted = call.parts.table_upkeep, tables or call.parts.lake.tables()
    if plan:
        plans = [part.plan(name, limits) for name in wanted]
        return Result(
            data={"planned": True, "tables": [each.as_json() for each in plans]},
            text=table(_HEADS, [_row(each) for each in plans]),
        )
    columns = None if sort is None else tuple(each for each in sort.split(",") if each)
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        done = [part.run(name, limits, sort=columns, progress=progress) for name in wanted]
    return Result(
        data={
            "planned": False,
            "tables": [
                {**each.plan.as_json(), "compaction": each.compaction, "removal": each.removal} for each in done
            ],
        },
        text=table(_HEADS, [_row(each.plan) for each in done]),
    )


def _row(plan: Plan) -> tuple[object, ...]:
    orphans = (*plan.orphan_data, *plan.orphan_metadata)
    removed = sum(each.size for each in (*plan.metadata, *orphans)) + sum(each.file.size for each in plan.replaced)
    rewritten = [file for group in plan.rewrites for file in group]
    return (
        plan.table,
        len(plan.expire),
        len(plan.replaced),
        len(orphans),
        len(plan.metadata),
        removed,
        len(rewritten),
        len(plan.rewrites),
        sum(file.size for file in rewritten),
        plan.manifests,
    )
