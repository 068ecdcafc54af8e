"""``appliance bundle``: what goes on the medium, declared, pinned and fetched. For a build machine with a network.

The commands work in a clone of our repository (`--checkout`), not on a site.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.base.errors import EXIT_DONE, EXIT_FAILED
from appliance.base.progress import NoProgress
from appliance.cli import bundle_airlock, bundle_build, bundle_flaws, bundle_medium, bundle_volumes
from appliance.cli.bundle_places import STORE, places
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table

if TYPE_CHECKING:
    from appliance.bundle.declaration import Checkout
    from appliance.bundle.difference import Difference
    from appliance.bundle.lock import Lock


@command("bundle", "lock", example="appliance bundle lock core", needs_site=False)
@click.argument("name")
@bundle_flaws.advisories
@places
def lock(call: Call, name: str, advisories: Path | None, checkout: Path, store: Path | None) -> Result:
    """Pin every input of a bundle anew, and print what differs from the former lock.

    Asks Debian, the package index and the built servers; fetches wheels and packages into the store.
    bundles/NAME.lock.json is replaced when all of it was found, and left as it is when nothing changed. With
    --advisories the known flaws are told that this mends and brings in; none keeps the lock from being written.
    """
    from appliance.base import atomic
    from appliance.bundle.declaration import Checkout
    from appliance.bundle.lock import render

    place = Checkout(checkout)
    told = bundle_flaws.read_advisories(call, advisories)
    former, made, difference = _renew(call, name, place, store)
    if made != former:
        atomic.write_bytes(place.lock(name), render(made))
    data = {"lock": str(place.lock(name)), "written": made != former, "made_at": made.made_at, **difference.as_json()}
    return bundle_flaws.add(
        Result(data=data, text=_told(former, made, difference)), bundle_flaws.between(former, made, told)
    )


@command("bundle", "outdated", example="appliance bundle outdated core", needs_site=False)
@click.argument("name")
@bundle_flaws.advisories
@places
def outdated(call: Call, name: str, advisories: Path | None, checkout: Path, store: Path | None) -> Result:
    """Show what a new lock would change, and write none. Exit code 1 when there is something.

    With --advisories also which known flaws it would mend and bring in; they do not change the exit code.
    """
    from appliance.bundle.declaration import Checkout

    told = bundle_flaws.read_advisories(call, advisories)
    former, made, difference = _renew(call, name, Checkout(checkout), store)
    changed = made != former
    found = Result(
        data={"outdated": changed, **difference.as_json()},
        text=_told(former, made, difference),
        exit_code=EXIT_FAILED if changed else EXIT_DONE,
    )
    return bundle_flaws.add(found, bundle_flaws.between(former, made, told))


@command("bundle", "fetch", example="appliance bundle fetch core", needs_site=False)
@click.argument("name")
@places
def fetch(call: Call, name: str, checkout: Path, store: Path | None) -> Result:
    """Fetch what the lock names and the store lacks. Goes on where an earlier run was stopped.

    Exit code 1 when an input could not be had; the others are fetched all the same.
    """
    from appliance.bundle import sources
    from appliance.bundle.declaration import Checkout
    from appliance.bundle.lock import load
    from appliance.bundle.store import Store

    place = Checkout(checkout)
    locked = load(place.lock(name))
    stock = Store(store or checkout / STORE)
    with stock.exclusive(), terminal_progress(NoProgress() if call.as_json else None) as progress:
        fetched = sources.fetch(locked, checkout=place, store=stock, progress=progress)
    failures = [{"path": each.input.path, **each.error.as_dict()} for each in fetched.failures]
    lines = [f"{fetched.inputs} inputs, {fetched.bytes} bytes fetched; the store has {_share(locked, failures)}"]
    for each in failures:
        lines += [f"{each['code']} {each['path']}: {each['message']}", f"  do: {each['hint']}"]
    return Result(
        data={"fetched": fetched.inputs, "bytes": fetched.bytes, "failures": failures},
        text="\n".join(lines),
        exit_code=EXIT_FAILED if failures else EXIT_DONE,
    )


@command("bundle", "prune", example="appliance bundle prune", needs_site=False)
@places
def prune(call: Call, checkout: Path, store: Path | None) -> Result:
    """Remove from the store what no lock of this checkout names, after hashing what stays."""
    from appliance.bundle.lock import load
    from appliance.bundle.store import Store

    locks = [load(path) for path in sorted((checkout / "bundles").glob("*.lock.json"))]
    stock = Store(store or checkout / STORE)
    with stock.exclusive(), terminal_progress(NoProgress() if call.as_json else None) as progress:
        files, size = stock.prune(locks)
        progress.begin("check store", None)
        damaged = stock.check(progress.advance)
    lines = [f"{files} files, {size} bytes removed; {len(damaged)} damaged"]
    lines += [f"damaged: {each}" for each in damaged]
    return Result(
        data={"removed": files, "bytes": size, "damaged": damaged},
        text="\n".join(lines),
        exit_code=EXIT_FAILED if damaged else EXIT_DONE,
    )


def _renew(call: Call, name: str, place: Checkout, store: Path | None) -> tuple[Lock | None, Lock, Difference]:
    from appliance.bundle import declaration, locking
    from appliance.bundle.difference import difference
    from appliance.bundle.lock import load
    from appliance.bundle.store import Store

    wanted = declaration.load(name, place)
    former = load(place.lock(name)) if place.lock(name).exists() else None
    stock = Store(store or place.root / STORE)
    with stock.exclusive(), terminal_progress(NoProgress() if call.as_json else None) as progress:
        made = locking.make(wanted, checkout=place, store=stock, former=former, now=call.clock.now(), progress=progress)
    return former, made, difference(former, made)


def _told(former: Lock | None, made: Lock, found: Difference) -> str:
    end = f"{len(made.inputs)} inputs, {found.bytes_after} bytes (before: {found.bytes_before}), made at {made.made_at}"
    if former is None:  # everything is new; the lock itself says what
        kinds = sorted({each.kind for each in made.inputs})
        groups = [[each for each in made.inputs if each.kind == kind] for kind in kinds]
        counts = [
            (kind, len(one), sum(each.size_bytes for each in one)) for kind, one in zip(kinds, groups, strict=True)
        ]
        return "\n".join([table(("kind", "inputs", "bytes"), counts), "", end])
    rows = [(each.what, each.kind, each.name, each.before, each.after, each.licence) for each in found.changes]
    return "\n".join([table(("change", "kind", "name", "before", "after", "licence"), rows), "", end])


def _share(locked: Lock, failures: list[dict[str, str]]) -> str:
    return f"{len(locked.inputs) - len(failures)} of {len(locked.inputs)} inputs of {locked.bundle}"


group = noun(
    "bundle",
    "Declare, pin, fetch, build, verify and bring in the one medium that brings a site everything.",
    (
        *(lock, outdated, fetch, prune),
        *bundle_build.COMMANDS,
        *bundle_medium.COMMANDS,
        *bundle_flaws.COMMANDS,
        *bundle_volumes.COMMANDS,
        *bundle_airlock.COMMANDS,
    ),
)
