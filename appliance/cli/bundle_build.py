"""``appliance bundle assemble|build|sign|reproduce``: makes a bundle on the build machine."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from appliance.base.clock import rfc3339
from appliance.base.errors import EXIT_DONE, EXIT_VERIFICATION, ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.cli.bundle_places import STORE, places
from appliance.cli.command import Call, Result, command
from appliance.cli.progress import terminal_progress

if TYPE_CHECKING:
    from appliance.bundle.declaration import Checkout
    from appliance.bundle.lock import Lock
    from appliance.bundle.manifest import Manifest

_folder = click.Path(path_type=Path)
_TIMEOUT_S = 3600.0


@command("bundle", "assemble", needs_site=False, example="appliance bundle assemble core build/bundles/core")
@click.argument("name")
@click.argument("target", type=_folder)
@places
def assemble(_: Call, name: str, target: Path, checkout: Path, store: Path | None) -> Result:
    """Lay out the bundle NAME in the new folder TARGET from its lock and the store of inputs. Asks no network.

    The same lock and the same repository give the same bytes, on whatever machine. Sign it with: bundle sign.
    """
    from appliance.bundle.declaration import Checkout

    place = Checkout(checkout.absolute())
    with terminal_progress() as progress:  # with --json too: `build` runs this and shows it to the one who waits
        made = _assemble(_current(name, place), place, store, target.absolute(), progress)
    return _made(made, target)


@command("bundle", "build", needs_site=False, example="appliance bundle build core --out build/bundles/core")
@click.argument("name")
@click.option("--out", "target", type=_folder, required=True, help="The new folder.")
@places
def build(call: Call, name: str, target: Path, checkout: Path, store: Path | None) -> Result:
    """Fetch what the lock of NAME names, then assemble it where no network is; nothing of it is signed yet."""
    from appliance.base import process
    from appliance.bundle import codes, release, sources
    from appliance.bundle.declaration import Checkout
    from appliance.bundle.store import Store

    place = Checkout(checkout.absolute())
    stock = Store((store or place.root / STORE).absolute())
    locked = _current(name, place)
    with stock.exclusive(), terminal_progress(NoProgress() if call.as_json else None) as progress:
        fetched = sources.fetch(locked, checkout=place, store=stock, progress=progress)
    if fetched.failures:
        first = fetched.failures[0]
        message = f"{len(fetched.failures)} inputs, the first: {first.input.path}: {first.error}"
        raise ApplianceError(codes.INPUT_MISSING, message, hint=f"See all of them: appliance bundle fetch {name}.")
    call.say("assembling without a network")
    # A user namespace lets those who are not root leave the network.
    words = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--"]
    words += [sys.executable, "-m", "appliance", "bundle", "assemble", name, str(target.absolute()), "--json"]
    told = [*words, "--checkout", str(place.root), "--store", str(stock.folder)]
    done = process.run(told, timeout_s=_TIMEOUT_S, tied=True, check=False, shown=not call.as_json)
    if done.returncode:
        _raise(done.stdout)
    return _made(release.read_manifest(target.absolute()), target)


@command(
    "bundle",
    "sign",
    changes="bundle.sign",
    roles=("builder",),
    example="appliance bundle sign build/bundles/core --as builder/ci --site ./releases",
)
@click.argument("folder", type=_folder)
def sign(call: Call, folder: Path) -> Result:
    """Release the bundle in FOLDER: sign its provenance in the log of the site, and write trust/ beside it.

    The site is the one of those who release; builders are enrolled with: trust enroll builder/NAME. Run it again after
    the log was witnessed: that signs nothing twice and renews trust/.
    """
    from appliance.bundle import apt_repository, release

    parts, now = call.parts, rfc3339(call.clock.now())
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        done = release.sign(
            folder.absolute(),
            signer=parts.signer,
            anchor=parts.anchor,
            builder=call.role,
            sign_packages=lambda bundle: apt_repository.sign(bundle, call.site.keys / "apt"),
            started_at=now,
            clock=call.clock,
            progress=progress,
        )
    lines = [f"released as {done.statement}, evidence in {folder / 'trust'}"]
    if not done.witnessed:
        lines.append("no witness has seen it yet: witness the log, then run this again")
    return Result(data=dataclasses.asdict(done), text="\n".join(lines))


@command("bundle", "reproduce", needs_site=False, example="appliance bundle reproduce /media/stick/core --checkout .")
@click.argument("folder", type=_folder)
@places
def reproduce(call: Call, folder: Path, checkout: Path, store: Path | None) -> Result:
    """Build the bundle in FOLDER again from its lock and our repository, and compare every member, byte for byte.

    Ends with code 3 and names each member that differs, with the first byte. Verify FOLDER first.
    """
    from appliance.bundle import inspect, release
    from appliance.bundle.declaration import Checkout
    from appliance.bundle.reproduce import compare

    folder, root = folder.absolute(), checkout.absolute()
    first = release.read_manifest(folder)
    with (
        tempfile.TemporaryDirectory(
            prefix="reproduce-", dir=folder.parent if os.access(folder.parent, os.W_OK) else None
        ) as scratch,
        terminal_progress(NoProgress() if call.as_json else None) as progress,
    ):
        second = Path(scratch) / "again"
        locked = inspect.read(folder).lock
        other = _assemble(locked, Checkout(root), store, second, progress, version=first.version)
        found = compare(folder, first, second, other)
    same_source = first.source == other.source
    lines = [
        f"{each.path}: {each.what}" + (f" at byte {each.offset}" if each.offset >= 0 else "") for each in found
    ] or [f"{len(first.members)} members are the same, byte for byte"]
    if not same_source:
        lines.append(f"the repository is another one: {other.source}, the bundle was made from {first.source}")
    data = {"same": not found, "same_source": same_source, "differs": [dataclasses.asdict(each) for each in found]}
    return Result(data=data, text="\n".join(lines), exit_code=EXIT_VERIFICATION if found else EXIT_DONE)


def _current(name: str, place: Checkout) -> Lock:
    """The lock of the bundle. Raises ApplianceError: APL-BUNDLE-002, -001, -032 it is not that of the declaration."""
    from appliance.bundle import declaration, lock
    from appliance.bundle.lock_drift import require_current

    locked = lock.load(place.lock(name))
    require_current(locked, declaration.load(name, place), place)
    return locked


def _assemble(
    locked: Lock, place: Checkout, store: Path | None, target: Path, progress: Progress, version: str | None = None
) -> Manifest:
    from appliance.bundle import assemble as assembling
    from appliance.bundle.store import Store

    project = tomllib.loads((place.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return assembling.assemble(
        locked,
        version=version or str(project["version"]),
        root=place.root,
        store=Store((store or place.root / STORE).absolute()),
        target=target,
        progress=progress,
    )


def _raise(said: bytes) -> NoReturn:
    """The error that the assembler ended with, as our own."""
    from appliance.base import process
    from appliance.bundle import codes

    try:
        error = json.loads(said)["error"]
        message, where, hint = f"{error['code']} {error['message']}", error["where"], error["hint"]
    except (ValueError, KeyError, TypeError) as error:
        raise ApplianceError(
            codes.NOT_ASSEMBLED, said.decode("utf-8", "replace")[-process.TAIL_CHARACTERS :]
        ) from error
    raise ApplianceError(codes.NOT_ASSEMBLED, message, where=where, hint=hint)


def _made(made: Manifest, target: Path) -> Result:
    from appliance.bundle import manifest

    data = {
        "folder": str(target),
        "manifest": manifest.digest(made),
        "files": len(made.members),
        "size_bytes": made.size_bytes,
    }
    text = (
        f"{len(made.members)} files, {made.size_bytes / 1e6:,.1f} MB are in {target}\nmanifest {manifest.digest(made)}"
    )
    return Result(data=data, text=text)


COMMANDS = (assemble, build, sign, reproduce)
