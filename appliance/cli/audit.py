"""``appliance audit``: the audit record, and packs for auditors."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import click

from appliance.base.errors import EXIT_VERIFICATION, ApplianceError
from appliance.cli import audit_pack
from appliance.cli.command import ROLES, Call, Result, command, noun


@command("audit", "list", example="appliance audit list --last 20")
@click.option("--last", default=50, show_default=True, type=click.IntRange(1), help="How many of the newest to show.")
@click.option("--action", help="Only records of this action, for example model.approve.")
@click.option("--role", type=click.Choice(ROLES), help="Only records of this role.")
def list_records(call: Call, last: int, action: str | None, role: str | None) -> Result:
    """List audit records, oldest first."""
    newest: deque[dict[str, Any]] = deque(maxlen=last)
    for record in call.parts.audit.records():
        if action in (None, record.fields["action"]) and role in (None, record.fields["role"]):
            newest.append({"index": record.index, **record.fields})
    lines = [f"{'index':>7}  {'time':<27}  {'role':<14}  {'action':<20}  phase"]
    for each in newest:
        ending = each["phase"] if each["phase"] == "intent" else f"{each['outcome']} {each['detail']}".rstrip()
        lines.append(f"{each['index']:>7}  {each['time']:<27}  {each['role']:<14}  {each['action']:<20}  {ending}")
    return Result(data={"records": list(newest)}, text="\n".join(lines))


@command("audit", "show", example="appliance audit show 7")
@click.argument("index", type=click.IntRange(0))
def show(call: Call, index: int) -> Result:
    """Show the record at log INDEX with everything in it."""
    from appliance.governance import codes

    record = next(iter(call.parts.audit.records(index)), None) if index < call.parts.log.size() else None
    if record is None or record.index != index:
        raise ApplianceError(codes.AUDIT_UNKNOWN, f"log entry {index} is no audit record")
    data = {"index": record.index, "digest": record.digest, **record.fields}
    return Result(data=data, text=json.dumps(data, indent=2, ensure_ascii=False))


@command("audit", "check", example="appliance audit check --site ./site")
def check(call: Call) -> Result:
    """Verify the log's files, then the chain and every signature; name the first bad record.

    Exit code 3 when something is wrong. Intents without an outcome are listed: their program died.
    """
    from appliance.governance import codes

    found = call.parts.audit.check()
    data = {
        "ok": found.ok,
        "records": found.records,
        "fault": found.fault,
        "index": found.index,
        "where": found.where,
        "unfinished": list(found.unfinished),
    }
    lines = [f"{found.records} records hold together"]
    lines += [f"intent {index} has no outcome: its program died" for index in found.unfinished]
    if not found.ok:
        place = f"log entry {found.index}" if found.index is not None else "the log's files"
        lines = [
            f"{codes.AUDIT_BROKEN.id} {codes.AUDIT_BROKEN.title}: {place}: {found.fault}",
            f"  where: {found.where}",
        ]
        data["code"] = codes.AUDIT_BROKEN.id
    return Result(data=data, text="\n".join(lines), exit_code=0 if found.ok else EXIT_VERIFICATION)


group = noun(
    "audit",
    "Read and check the audit record; export and judge audit packs.",
    [list_records, show, check, *audit_pack.COMMANDS],
)
