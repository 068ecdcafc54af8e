"""``appliance bundle import|release-import|custody|receipt|verify-receipt``: how a bundle comes into a site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from appliance.base.clock import parse_rfc3339
from appliance.base.errors import EXIT_DONE, EXIT_VERIFICATION
from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table

if TYPE_CHECKING:
    from appliance.bundle.airlock import Airlock

_folder = click.Path(path_type=Path)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@command(
    "bundle",
    "import",
    changes="bundle.import",
    roles=("operator",),
    example="appliance bundle import /media/stick/core --root-digest sha256:2a97... --label S/N-4711 --site ./site",
)
@click.argument("folder", type=_folder)
@click.option("--root-digest", required=True, help="Digest of the releaser's first root, from paper.")
@click.option("--not-older-than", metavar="TIME", help="Refuse a release log that no quorum of witnesses saw since.")
@click.option("--scanner", help="Command of the malware scanner, as 'clamscan -r'; that of the site when left out.")
@click.option("--label", default="", help="Serial number or label of the medium, for the custody log.")
@click.option("--received-from", default="", help="Who handed it over, for the custody log.")
@click.option("--seal", default="", help="Number of its seal, for the custody log.")
def import_(
    call: Call,
    folder: Path,
    root_digest: str,
    not_older_than: str | None,
    scanner: str | None,
    label: str,
    received_from: str,
    seal: str,
) -> Result:
    """Verify the bundle in FOLDER, copy it into quarantine and scan it. Two people release it then.

    Ends with 3 when it does not verify or the scanner rejects it. Interrupted, the same command goes on.
    """
    from appliance.bundle.airlock import Provenance

    _check_digest(root_digest)
    try:
        since = parse_rfc3339(not_older_than) if not_older_than else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--not-older-than") from error
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        verdict, found = _airlock(call, scanner).bring_in(
            folder.absolute(),
            root_digest=root_digest,
            not_older_than=since,
            provenance=Provenance(label=label, received_from=received_from, seal=seal),
            actor=call.role,
            progress=progress,
        )
    if found is None:
        return Result(data=verdict.as_json(), text=verdict.text(), exit_code=EXIT_VERIFICATION)
    text = f"{found.bundle} {found.version} is {found.step} as import {found.id}"
    if found.step == "scanned":
        text += f"\nnext, twice: appliance bundle release-import {found.id} --as approver/NAME"
    return Result(data=msgspec.to_builtins(found), text=text)


@command(
    "bundle",
    "release-import",
    changes="bundle.release-import",
    roles=("approver",),
    example="appliance bundle release-import 2a97c01f5d3e8b64 --as approver/alice --site ./site",
)
@click.argument("id")
def release(call: Call, id: str) -> Result:
    """Release the import ID as one of two people; ends with 5 until the second one did.

    Before it is released, the copy in quarantine is verified once more.
    """
    lock = _airlock(call)
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        done = lock.release(id, actor=call.role, progress=progress)
    place = lock.bundle_folder(done.id)
    data = {**msgspec.to_builtins(done), "folder": str(place)}
    return Result(data=data, text=f"{done.bundle} {done.version} is released: {place}")


@command("bundle", "custody", example="appliance bundle custody 2a97c01f5d3e8b64 --site ./site")
@click.argument("id")
def custody(call: Call, id: str) -> Result:
    """Show who did what with the import ID, and when: the audit's records about it, after the audit was verified."""
    from appliance.bundle import custody as records

    lock = _airlock(call)
    state = lock.find(id)
    anchor = call.parts.anchor
    lines = records.as_lines(lock.custody(state), records.names_of(anchor.entries(), anchor.site_name))
    rows = [
        (
            each["time"],
            each["step"],
            each["who"].partition(".internal/")[2] or each["role"],
            each["key_id"][7:19],
            each["log_index"],
            " ".join(f"{name}={value}" for name, value in each["details"].items() if value and name != "manifest"),
        )
        for each in lines
    ]
    text = table(("time", "step", "who", "key", "log index", "details"), rows)
    head = f"import {id} of {state.bundle} {state.version}, manifest {state.manifest}: {state.step}"
    return Result(data={**msgspec.to_builtins(state), "custody": lines}, text=f"{head}\n\n{text}")


@command(
    "bundle",
    "receipt",
    changes="bundle.receipt",
    roles=("auditor",),
    example="appliance bundle receipt 2a97c01f5d3e8b64 ./receipt.tar --as auditor --site ./site",
)
@click.argument("id")
@click.argument("file", type=_folder)
def receipt(call: Call, id: str, file: Path) -> Result:
    """Sign a receipt for the released import ID, and write it to the new FILE, which travels back to the releaser."""
    from appliance.bundle import receipt as receipts

    lock = _airlock(call)
    state = lock.find(id)
    digest = receipts.write(
        file.absolute(),
        state,
        lock.custody(state),
        signing=call.parts.signer,
        anchor=call.parts.anchor,
        actor=call.role,
    )
    lock.note_receipt(state, digest, call.role)
    return Result(data={"file": str(file), "statement": digest}, text=f"receipt {digest} is in {file}")


@command(
    "bundle",
    "verify-receipt",
    needs_site=False,
    example="appliance bundle verify-receipt ./receipt.tar --root-digest sha256:9b1d...",
)
@click.argument("file", type=_folder)
@click.option("--root-digest", required=True, help="Digest of the first root of the site that imported, from paper.")
def verify_receipt(_: Call, file: Path, root_digest: str) -> Result:
    """Judge the receipt FILE of a site, offline, on the releaser's machine. Ends with 3 when it does not hold."""
    from appliance.bundle import receipt as receipts

    _check_digest(root_digest)
    verdict = receipts.verify(file.absolute(), root_digest)
    return Result(data=verdict.as_json(), text=verdict.text(), exit_code=EXIT_DONE if verdict.ok else EXIT_VERIFICATION)


def _airlock(call: Call, scanner: str | None = None) -> Airlock:
    from appliance.base.duration import parse_duration
    from appliance.bundle.airlock import Airlock

    settings = call.site.settings.airlock
    return Airlock(
        call.site.airlock,
        audit=call.parts.audit,
        scanner=settings.scanner if scanner is None else scanner,
        scan_limit_s=parse_duration(settings.scan_timeout).total_seconds(),
    )


def _check_digest(root_digest: str) -> None:
    if not _DIGEST.fullmatch(root_digest):  # a typing error is no verdict
        raise click.BadParameter(f"expected sha256: and 64 hex digits, got {root_digest!r}", param_hint="--root-digest")


COMMANDS = (import_, release, custody, receipt, verify_receipt)
