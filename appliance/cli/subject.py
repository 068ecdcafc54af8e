"""``appliance subject``: what is kept of one subject, shown for a reason, and erased by two people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from appliance.cli.command import Call, Result, command, noun
from appliance.cli.text import table


class Subject(str):
    """A subject's id. The record of a command writes its arguments down; this one it must not: it may be a number that
    only the subject should have. The records that follow hold its token."""

    __slots__ = ()

    def __str__(self) -> str:
        return "(withheld)"


class _SubjectType(click.ParamType[str]):
    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Subject:
        return Subject(value)


_ID = click.argument("id", type=_SubjectType())
_REASON = click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded.")


@command(
    "subject",
    "show",
    changes="subject.show",
    roles=("data-engineer",),
    example='appliance subject show c-1001 --reason "access request 2026-17"',
)
@_ID
@_REASON
def show(call: Call, id: Subject, reason: str) -> Result:
    """Show what is kept of a subject, with its sealed values opened. It is recorded before anything is opened."""
    found = call.parts.subjects.show(_plain(id), actor=call.role, reason=reason)
    texts = [
        f"{name}: {len(rows)} rows\n{table(tuple(rows[0]), [tuple(row.values()) for row in rows])}"
        for name, rows in found.items()
        if rows
    ]
    return Result(data={"tables": found}, text="\n\n".join(texts) or "no rows")


@command(
    "subject",
    "approve",
    changes="subject.approve",
    roles=("approver",),
    example='appliance subject approve c-1001 --as approver/alice --reason "erasure request 2026-18"',
)
@_ID
@_REASON
def approve(call: Call, id: Subject, reason: str) -> Result:
    """Agree that a subject is erased. It counts for seven days, by another key than the one that erases."""
    call.parts.subjects.approve(_plain(id), actor=call.role, reason=reason)
    return Result(data={"approved": True}, text="approved; appliance subject erase does it")


@command(
    "subject",
    "erase",
    changes="subject.erase",
    roles=("data-engineer",),
    example='appliance subject erase c-1001 --reason "erasure request 2026-18"',
)
@_ID
@_REASON
def erase(call: Call, id: Subject, reason: str) -> Result:
    """Destroy a subject's keys for good. The first call asks for it and ends with 5; a second person must approve."""
    done = call.parts.subjects.erase(_plain(id), actor=call.role, reason=reason)
    data: dict[str, Any] = asdict(done)
    rows = ", ".join(f"{count} rows of {name}" for name, count in done.rows.items()) or "no rows"
    return Result(data=data, text=f"{done.keys} keys destroyed: {rows} are dark now")


def _plain(id: Subject) -> str:
    return "".join(id)


group = noun("subject", "Show and erase what is kept of one subject.", [show, approve, erase])
