"""``appliance bundle verify|inspect|list|why|diff``: a bundle on a medium, looked at where it is to be installed."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import click
import msgspec

from appliance.base.clock import parse_rfc3339
from appliance.base.errors import EXIT_DONE, EXIT_VERIFICATION
from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table

_WIDTH = 160  # of a licence in a table: that of perl names more than twenty
_folder = click.Path(path_type=Path)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SUMS = {"signature": "signed by whom the policy allows, logged, and not revoked"}


@command(
    "bundle",
    "verify",
    needs_site=False,
    example="appliance bundle verify /media/stick/core --root-digest sha256:2a97... --memory ./seen",
)
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=_folder)
@click.option("--root-digest", required=True, help="Digest of the releaser's first root, from paper.")
@click.option(
    "--memory", type=_folder, help="Folder in which this host remembers what it verified; refuses older ones."
)
@click.option("--not-older-than", metavar="TIME", help="Refuse a release log that no quorum of witnesses saw since.")
@click.option(
    "--resume", type=_folder, metavar="FILE", help="Go on behind what an interrupted run wrote to this file; see docs."
)
@click.option("--files", is_flag=True, help="List every statement, not only the sums.")
def verify(
    call: Call,
    folders: tuple[Path, ...],
    root_digest: str,
    memory: Path | None,
    not_older_than: str | None,
    resume: Path | None,
    files: bool,
) -> Result:
    """Account for every file of the bundle in FOLDER and for who released it; offline, by no clock, nothing written.

    Ends with code 3 and names every file that is missing, changed, not listed, or no plain file. With --resume a file
    that an interrupted run hashed is not read again while its size, times, inode and device are the same.

    Instead of the bundle all of its volumes may be given, or the folder in which they lie: they are not joined.
    """
    from appliance.bundle import volume_set
    from appliance.bundle.verify import BundleQuestion, verify_bundle, verify_medium

    if not _DIGEST.fullmatch(root_digest):  # a typing error is no verdict
        raise click.BadParameter(f"expected sha256: and 64 hex digits, got {root_digest!r}", param_hint="--root-digest")
    try:
        since = parse_rfc3339(not_older_than) if not_older_than else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--not-older-than") from error
    question = BundleQuestion(
        root_digest=root_digest,
        memory=memory.absolute() if memory else None,
        not_older_than=since,
        resume=resume.absolute() if resume else None,
    )
    volumes = volume_set.folders_of([each.absolute() for each in folders])
    if not volumes and len(folders) > 1:
        raise click.UsageError("give one bundle, or all of its volumes")
    if volumes and resume:
        raise click.UsageError("--resume is for a bundle in one folder: join the volumes, or verify them in one run")
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        if volumes:
            verdict = verify_medium(volume_set.open_set(volumes), question, progress)
        else:
            verdict, _ = verify_bundle(folders[0].absolute(), question, progress)
    return Result(
        data=verdict.as_json(),
        text=verdict.text(files=files, sums=_SUMS),
        exit_code=EXIT_DONE if verdict.ok else EXIT_VERIFICATION,
    )


@command("bundle", "inspect", needs_site=False, example="appliance bundle inspect /media/stick/core")
@click.argument("folder", type=_folder)
def inspect(_: Call, folder: Path) -> Result:
    """Show what the bundle in FOLDER says of itself: version, sizes by part, licences. Verifies nothing."""
    from appliance.bundle import inspect as contents

    found = contents.read(folder.absolute())
    made, parts, licences = found.manifest, contents.parts(found), contents.licences(found)
    facts = {name: getattr(made, name) for name in ("bundle", "version", "made_at", "architecture", "lock", "source")}
    lines = [f"{name:<14} {value}" for name, value in facts.items()]
    lines += ["", f"{len(made.members)} files, {_size(made.size_bytes)}"]
    lines += [f"  {part:<10} {files:>7} files {_size(size):>10}" for part, (files, size) in parts.items()]
    lines += ["", "licences of what comes from elsewhere"]
    lines += [f"  {len(some):>5} {textwrap.shorten(name, _WIDTH)}" for name, some in licences.items()]
    data = {
        **facts,
        "files": len(made.members),
        "size_bytes": made.size_bytes,
        "parts": {part: {"files": files, "size_bytes": size} for part, (files, size) in parts.items()},
        "licences": {name: list(some) for name, some in licences.items()},
    }
    return Result(data=data, text="\n".join(lines))


@command("bundle", "list", needs_site=False, example="appliance bundle list /media/stick/core --part wheels")
@click.argument("folder", type=_folder)
@click.option("--part", help="Only files of this part, such as apt, wheels, servers or docs.")
def list_(_: Call, folder: Path, part: str | None) -> Result:
    """List the files of the bundle in FOLDER with size and digest."""
    from appliance.bundle import release

    members = [each for each in release.read_manifest(folder.absolute()).members if part in (None, each.part)]
    lines = [f"{each.size_bytes:>12} {each.digest[7:19]} {each.path}" for each in members]
    return Result(data={"members": msgspec.to_builtins(members)}, text="\n".join(lines) or "no files")


@command(
    "bundle",
    "why",
    needs_site=False,
    example="appliance bundle why /media/stick/core apt/pool/libssl3_3.0.17-1~deb12u2_amd64.deb",
)
@click.argument("folder", type=_folder)
@click.argument("file")
def why(_: Call, folder: Path, file: str) -> Result:
    """Tell why FILE is in the bundle: what it is, and who asked for it, up to the declaration."""
    from appliance.bundle import inspect as contents

    chain = contents.why(contents.read(folder.absolute()), file)
    lines = [f"{'  ' * depth}{each}" for depth, each in enumerate(chain)]
    return Result(data={"file": file, "why": list(chain[1:])}, text="\n".join(lines))


@command("bundle", "diff", needs_site=False, example="appliance bundle diff /media/old/core /media/new/core")
@click.argument("old", type=_folder)
@click.argument("new", type=_folder)
def diff(_: Call, old: Path, new: Path) -> Result:
    """Tell what the bundle NEW brings that OLD did not: packages, versions, licences, our own files, size."""
    from appliance.bundle import inspect as contents
    from appliance.bundle.difference import difference

    before, now = contents.read(old.absolute()), contents.read(new.absolute())
    found, own = difference(before.lock, now.lock), contents.own_files(before, now)
    rows = [(each.what, each.kind, each.name, each.before, each.after, each.licence) for each in found.changes]
    rows += [(what, "file", path, "", "", "") for path, what in own]
    sizes = f"{_size(before.manifest.size_bytes)} -> {_size(now.manifest.size_bytes)}"
    shown = table(("change", "kind", "name", "before", "after", "licence"), rows) if rows else "nothing differs"
    data = {
        "before": before.manifest.version,
        "after": now.manifest.version,
        "changes": [each.as_json() for each in found.changes],
        "files": [{"path": path, "what": what} for path, what in own],
        "bytes_before": before.manifest.size_bytes,
        "bytes_after": now.manifest.size_bytes,
    }
    return Result(data=data, text=f"{shown}\n\n{before.manifest.version} -> {now.manifest.version}, {sizes}")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


COMMANDS = (verify, inspect, list_, why, diff)
