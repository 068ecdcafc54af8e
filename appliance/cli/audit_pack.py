"""``appliance audit export|verify|replay|diff|evidence``: what an auditor takes along, and what it is worth."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import msgspec

from appliance.base.clock import parse_rfc3339
from appliance.base.errors import EXIT_DONE, EXIT_VERIFICATION
from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command
from appliance.cli.progress import terminal_progress

_folder = click.Path(path_type=Path)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAMED = 3  # subjects of a statement that a line of audit diff names; --json has all
# What the sums of a pack's verdict say; --files lists each.
_SUMS = {
    "signature": "signed by whom the policy allows, logged, and not revoked",
    "subject": "with a digest that a verified statement names",
}


@command(
    "audit",
    "export",
    changes="audit.export",
    roles=("operator", "auditor"),
    example="appliance audit export ./for-the-auditor --models --site ./site",
)
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--models", is_flag=True, help="Add the packages of all models that are approved or live.")
@click.option("--artifact", "files", multiple=True, type=_folder, help="Add a file that a statement is about.")
def export(call: Call, target: Path, models: bool, files: tuple[Path, ...]) -> Result:
    """Write an audit pack: the new folder TARGET, or one file when it ends with .tar. It holds no private key.

    It shows the log as the witnesses saw it last, and needs nothing else but the digest of the first root, from paper.
    """
    from appliance.orchestration.audit_packs import export as export_pack

    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        done = export_pack(call.parts, target.absolute(), models=models, files=files, progress=progress)
    lines = [f"{done.statements} statements and {done.size} log entries are in {target}", f"root {done.root.hex()}"]
    if done.later:
        lines.append(f"{done.later} statements are newer than what the witnesses saw; they come with the next pack")
    data = {"pack": str(target), "size": done.size, "root": done.root.hex()}
    return Result(data={**data, "statements": done.statements, "later": done.later}, text="\n".join(lines))


@command(
    "audit",
    "verify",
    needs_site=False,
    example="appliance audit verify ./pack --root-digest sha256:2a97... --memory ./seen",
)
@click.argument("pack", type=_folder)
@click.option("--root-digest", required=True, help="Digest of the first root, as written down at the ceremony.")
@click.option("--memory", type=click.Path(path_type=Path), help="Folder in which to remember what was seen.")
@click.option("--not-older-than", metavar="TIME", help="Refuse a log that no quorum of witnesses saw since.")
@click.option("--files", is_flag=True, help="List every statement and artifact, not only the sums.")
def verify(
    call: Call, pack: Path, root_digest: str, memory: Path | None, not_older_than: str | None, files: bool
) -> Result:
    """Judge an audit pack by the unmodified Sigstore verifier and everything that it leaves open; offline, by no clock.

    Ends with code 3 and the step that failed. With --memory a smaller or different log than last time is refused, and
    a fork leaves a file that convinces others.
    """
    from appliance.trust.auditor.audit import Question, audit_pack

    if not _DIGEST.fullmatch(root_digest):  # a typing error is no verdict
        raise click.BadParameter(f"expected sha256: and 64 hex digits, got {root_digest!r}", param_hint="--root-digest")
    try:
        since = parse_rfc3339(not_older_than) if not_older_than else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--not-older-than") from error
    question = Question(root_digest=root_digest, memory=memory.absolute() if memory else None, not_older_than=since)
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        verdict = audit_pack(pack.absolute(), question, progress)
    return Result(
        data=verdict.as_json(),
        text=verdict.text(files=files, sums=_SUMS),
        exit_code=EXIT_DONE if verdict.ok else EXIT_VERIFICATION,
    )


@command("audit", "replay", needs_site=False, example="appliance audit replay ./pack --json")
@click.argument("pack", required=False, type=_folder)
def replay(call: Call, pack: Path | None) -> Result:
    """Recompute the whole log of a pack, or of the site, and tell what is in it.

    Ends with code 3 when a certificate was issued that nothing explains.
    """
    from appliance.trust.auditor.difference import snapshot

    found = snapshot(pack.absolute() if pack else call.site.trust)
    history = found.history
    faults = history.issuance.faults()
    data = {
        "size": found.size,
        "root": found.root.hex(),
        "kinds": dict(sorted(history.kinds.items())),
        "statements": list(history.signed),
        "certificates": len(history.issuance.issued),
        "unexplained": faults,
        "revocations": [msgspec.to_builtins(each) for each in history.revocations],
        "live": history.live,
    }
    lines = [f"{found.size} entries hash to the signed root {found.root.hex()}"]
    lines += [f"{count:>8} {kind}" for kind, count in sorted(history.kinds.items())]
    lines += [f"{name} is live: {package}" for name, package in sorted(history.live.items())]
    lines += [f"revoked {each.target} {each.id} from {each.from_index}: {each.reason}" for each in history.revocations]
    lines += [f"BAD {fault}" for fault in faults] or ["each certificate was asked for by an enrolled key"]
    return Result(data=data, text="\n".join(lines), exit_code=EXIT_VERIFICATION if faults else EXIT_DONE)


@command("audit", "diff", needs_site=False, example="appliance audit diff ./last-year ./this-year")
@click.argument("old", type=_folder)
@click.argument("new", type=_folder)
def diff(_: Call, old: Path, new: Path) -> Result:
    """Tell what happened between two packs of one log: entries, statements, keys, revocations, witnesses, live models.

    Run audit verify on both first: this shows what they say, not whether to believe it.
    """
    from appliance.trust.auditor.difference import difference

    found = difference(old.absolute(), new.absolute())
    lines = [f"{found.old_size} -> {found.new_size} entries; the second log extends the first"]
    lines += [f"{count:>8} {kind}" for kind, count in found.entries.items()]
    for each in found.statements:
        about = ", ".join(each.subjects[:_NAMED]) + (", ..." if len(each.subjects) > _NAMED else "")
        said = f"{each.kind} of {about}, by {each.identity}" if each.kind else "its bundle is not in the pack"
        lines.append(f"signed at log index {each.log_index}: {said} ({each.digest})")
    lines += [f"key {line}" for line in found.windows]
    lines += [f"witness {line}" for line in found.witnesses]
    lines += [f"revoked {each['target']} {each['id']} from {each['from_index']}" for each in found.revocations]
    lines += [f"live {line}" for line in found.live]
    return Result(data=dataclasses.asdict(found), text="\n".join(lines))


@command(
    "audit",
    "evidence",
    needs_site=False,
    example="appliance audit evidence ./seen/fork-1f2e3d4c5b6a.json --log-key 'log.north...'",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--log-key", "log_keys", required=True, multiple=True, help="The log's key, from paper; may be repeated.")
def evidence(_: Call, file: Path, log_keys: tuple[str, ...]) -> Result:
    """Check a file that accuses a log of two histories, with nothing but the log's public key."""
    from appliance.trust import fork_evidence, notes

    logs = tuple(notes.parse_log_key(text) for text in log_keys)
    fork = fork_evidence.check_evidence(fork_evidence.read(file), logs)
    return Result(
        data={
            "origin": fork.first.origin,
            "first": {"size": fork.first.size, "root": fork.first.root.hex()},
            "second": {"size": fork.second.size, "root": fork.second.root.hex()},
            "prefix_root": fork.prefix_root.hex(),
        },
        text=f"{fork.first.origin} signed two histories: {fork.first.size} entries with root {fork.first.root.hex()}, "
        f"and a tree of {fork.second.size} entries whose first {fork.first.size} have root {fork.prefix_root.hex()}",
    )


COMMANDS = (export, verify, replay, diff, evidence)
