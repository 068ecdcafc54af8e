"""``appliance bundle flaws``: known flaws of what a bundle or a lock brings. They are told, and stop nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.base.clock import rfc3339
from appliance.cli.command import Call, Result, command
from appliance.cli.text import table

if TYPE_CHECKING:
    from appliance.bundle.advisories import Advisories
    from appliance.bundle.flaws import Flaw, Found, Package
    from appliance.bundle.lock import Lock

_Function = Callable[..., Any]
_path = click.Path(path_type=Path)
_LONGEST = 4  # names of a flaw that a table shows


@dataclass(frozen=True)
class Told:
    """Advisories, and the instant at which they are looked at."""

    advisories: Advisories
    now: dt.datetime


def advisories(function: _Function) -> _Function:
    """The option of commands that also tell flaws."""
    words = "Folder or zip of OSV records; tells known flaws too."
    return click.option("--advisories", type=_path, metavar="PATH", default=None, help=words)(function)


@command("bundle", "flaws", needs_site=False, example="appliance bundle flaws /media/stick/core --advisories ./osv")
@click.argument("what", type=_path)
@click.option("--advisories", "path", type=_path, metavar="PATH", required=True, help="Folder or zip of OSV records.")
@click.option(
    "--against", type=_path, metavar="BEFORE", help="Another bundle or lock: tell what WHAT mends and brings."
)
def flaws(call: Call, what: Path, path: Path, against: Path | None) -> Result:
    """Show the known flaws of WHAT, the folder of a bundle or a lock, from advisories that lie here. Asks no network.

    A bundle is judged by its bill of materials, with Go modules and Maven coordinates; a lock has packages of Debian
    and Python only. Nothing is verified, and flaws do not change the exit code.
    """
    told = read_advisories(call, path)
    assert told is not None, "the option is required"
    return _compared(_packages(against), _packages(what), told) if against else _alone(_packages(what), told)


def read_advisories(call: Call, path: Path | None) -> Told | None:
    """Before anything slow is done: a path that is wrong is told at once."""
    if path is None:
        return None
    from appliance.bundle.advisories import load

    return Told(load(path), call.clock.now())


def between(former: Lock | None, made: Lock, told: Told | None) -> Result | None:
    """What a renewal mends and brings in."""
    from appliance.bundle.flaws import of_lock

    if told is None:
        return None
    return _compared(of_lock(former), of_lock(made), told) if former else _alone(of_lock(made), told)


def add(result: Result, flaws: Result | None) -> Result:
    """`result` with flaws behind it; its exit code stays."""
    if flaws is None:
        return result
    data = {**result.data, "flaws": flaws.data}
    return dataclasses.replace(result, data=data, text=f"{result.text}\n\n{flaws.text}")


def _packages(what: Path) -> Sequence[Package]:
    from appliance.bundle import flaws, lock

    return flaws.of_lock(lock.load(what)) if what.is_file() else flaws.of_folder(what)


def _alone(packages: Sequence[Package], told: Told) -> Result:
    from appliance.bundle.flaws import find

    found = find(packages, told.advisories)
    data = {"flaws": [each.as_json() for each in found.flaws], **_facts(found, told)}
    return Result(data=data, text="\n".join([_table(found.flaws), "", *_lines(found, told)]))


def _compared(before: Sequence[Package], after: Sequence[Package], told: Told) -> Result:
    from appliance.bundle.flaws import beside, find

    old, new = find(before, told.advisories), find(after, told.advisories)
    new = dataclasses.replace(new, records_not_judged=sorted({*old.records_not_judged, *new.records_not_judged}))
    mended, brought = beside(old.flaws, new.flaws), beside(new.flaws, old.flaws)
    stay = [each for each in new.flaws if each not in brought]
    data = {name: [each.as_json() for each in some] for name, some in (
        ("mended", mended), ("brought", brought), ("stay", stay))}  # fmt: skip
    lines = []
    for title, some in (("mended", mended), ("brought in", brought), ("stay", stay)):
        lines += [f"flaws {title}: {len(some)}", *([_table(some), ""] if some else [])]
    return Result(data={**data, **_facts(new, told)}, text="\n".join([*lines, *_lines(new, told)]))


def _table(some: Sequence[Flaw]) -> str:
    rows = []
    for each in some:
        names = [*each.aliases, *each.upstream]
        also = ", ".join(names[:_LONGEST]) + (f" and {len(names) - _LONGEST} more" if len(names) > _LONGEST else "")
        package = each.package
        severity, fixed = each.severity or "none told", each.fixed or "none told"
        rows.append((package.ecosystem, package.name, package.version, each.id, also, severity, fixed))
    return table(("ecosystem", "package", "version", "flaw", "also", "severity", "fixed in"), rows)


def _facts(found: Found, told: Told) -> dict[str, Any]:
    return {
        "packages": found.packages,
        "advisories": len(told.advisories.standing),
        "withdrawn": told.advisories.withdrawn,
        "newest": rfc3339(told.advisories.newest),
        "not_judged": [dataclasses.asdict(each) for each in found.not_judged],
        "records_not_judged": _records(found),
        "records_not_judged_details": [dataclasses.asdict(each) for each in found.records_not_judged],
        "without_advisories": found.without_advisories,
    }


def _lines(found: Found, told: Told) -> list[str]:
    days = (told.now - told.advisories.newest).days
    lines = [
        f"{len(found.flaws)} flaws in {found.packages} packages, by {len(told.advisories.standing)} advisories "
        f"({told.advisories.withdrawn} withdrawn, {_records(found)} not judged)",
        f"the newest advisory is of {rfc3339(told.advisories.newest)}, {days} days old",
    ]
    if found.without_advisories:
        lines.append(f"not judged, for there is no advisory of: {', '.join(found.without_advisories)}")
    lines += [f"not judged, the version cannot be compared: {each.name} {each.version}" for each in found.not_judged]
    lines += [
        f"not judged, {each.id} about {each.package}: {each.reason}; {each.file}" for each in found.records_not_judged
    ]
    return lines


def _records(found: Found) -> int:
    """How many records are not judged, each once."""
    return len({each.file for each in found.records_not_judged})


COMMANDS = (flaws,)
