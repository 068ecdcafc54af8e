"""``appliance trust``: the signing ceremony, keys and their changes, witnesses, and media."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from appliance.base.errors import EXIT_VERIFICATION
from appliance.base.progress import NoProgress
from appliance.cli import trust_custody, trust_media, trust_witness
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.cli.trust_custody import draft_result, drafted_in

# As in `trust.rotation`, `trust.policy` and `trust.revocation`, which take too long to import for a help page.
ROTATED = (
    *("issuing", "timestamp", "ct", "log", "root"),
    *("custodian-1", "custodian-2", "custodian-3", "custodian-lattice", "publisher"),
)
USES = ("log", "ct", "issuing", "timestamp")
TARGETS = ("identity", "role-key", "issuing", "timestamp", "ct", "statement")


@command(
    "trust",
    "init",
    changes="trust.init",
    roles=("operator",),
    needs_site=False,
    example="appliance trust init --site ./site",
)
def init(call: Call) -> Result:
    """Hold the signing ceremony of a site that has a site file and no trust folder.

    Makes role keys that are missing, the certificates and an empty log, whose first record is this. A new site does not
    need it: site init holds the ceremony itself.
    """
    from appliance.orchestration.trust_changes import minutes, pin_anchor
    from appliance.trust import custody
    from appliance.trust.ceremony import init_trust

    site, keys = call.site, call.parts.keys
    if not site.trust.exists():
        keys.create_all()
    enclave = init_trust(site.trust, site.settings.site.name, call.clock, keys.publics(), call.parts.key_store)
    intent = call.parts.audit.begin(role=call.role, action="trust.init", arguments={})
    pin_anchor(site, call.parts)
    minutes(call.parts, call.role, "trust.init", {"log_key": enclave.log().key.text()})
    call.parts.audit.end(intent, outcome="done", detail="")
    key, digest = enclave.log().key.text(), custody.root_digest(site.trust)
    return Result(
        data={"folder": str(site.trust), "log_key": key, "root_digest": digest},
        text=f"Trust stands in {site.trust}\nWrite down, auditors pin it: root digest {digest}\nLog key: {key}",
    )


@command("trust", "status", example="appliance trust status --json")
def status(call: Call) -> Result:
    """Recompute the whole log from its files; show keys, windows, witnesses and revocations."""
    from appliance.trust import ceremony, custody

    trust, anchor = call.site.trust, call.parts.anchor
    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        check = call.parts.log.fsck(progress=progress)
    policy, witnesses = anchor.policy, ceremony.load_witness_policy(trust)
    revocations = anchor.revocations() if check.ok else ()
    roles = {role: call.parts.keys.key_id(role) for role in call.parts.keys.publics()}
    bad = [{"file": str(call.parts.log.folder / file.path), "reason": file.reason} for file in check.bad]
    data = {
        "ok": check.ok,
        "root_digest": custody.root_digest(trust),
        "origin": policy.origin,
        "log_key": anchor.log_key.text(),
        "size": check.size,
        "root": check.root.hex(),
        "bad": bad,
        "policy_version": policy.version,
        "windows": msgspec.to_builtins(policy.windows),
        "approvals": msgspec.to_builtins(policy.approvals),
        "witnesses": {name: key.text() for name, key in witnesses.witnesses.items()},
        "quorum": witnesses.quorum,
        "revocations": [msgspec.to_builtins(each) for each in revocations],
        "roles": roles,
    }
    lines = [
        f"root digest {data['root_digest']}",
        f"log {policy.origin}: {check.size} entries, {len(check.files)} files",
        f"root {check.root.hex()}",
        f"log key {data['log_key']}",
        f"policy version {policy.version}",
        *(
            f"{each.use:<10} {each.id}  from log index {each.first_index}"
            f"{'' if each.last_index is None else f' to {each.last_index}'}"
            for each in policy.windows
        ),
        *(f"approvals for {each.scope}: {each.threshold}" for each in policy.approvals),
        f"witnesses: quorum {witnesses.quorum}{''.join(f', {name}' for name in witnesses.witnesses)}",
        *(f"revoked {each.target} {each.id} from log index {each.from_index}: {each.reason}" for each in revocations),
        *(f"{role:<15} {key_id}" for role, key_id in roles.items()),
        *(f"BAD {each['file']}: {each['reason']}" for each in bad),
    ]
    return Result(data=data, text="\n".join(lines), exit_code=0 if check.ok else EXIT_VERIFICATION)


@command(
    "trust",
    "export",
    changes="trust.export",
    roles=("operator", "auditor"),
    example="appliance trust export /media/stick/tuf --site ./site",
)
@click.argument("target", type=click.Path(path_type=Path))
def export(call: Call, target: Path) -> Result:
    """Copy the trust medium to the folder TARGET: trust config, policies and verifiers, signed by the custodians.

    TARGET may hold an older copy; it is brought up to date. Others take it in with: appliance trust media-init.
    """
    from appliance.trust import custody

    files = custody.copy_repository(call.site.trust, target.absolute())
    digest = custody.root_digest(call.site.trust)
    return Result(
        data={"folder": str(target), "files": files, "root_digest": digest},
        text=f"{files} files are in {target}\nroot digest {digest}",
    )


@command(
    "trust",
    "rotate",
    changes="trust.rotate",
    roles=("operator",),
    example="appliance trust rotate issuing --reason 'yearly' --site ./site",
)
@click.argument("key", type=click.Choice(ROTATED))
@click.option("--reason", required=True, help="Why, for the minutes.")
@click.option("--lost", is_flag=True, help="The custodian's old key cannot sign any more.")
@drafted_in
@click.option(
    "--overlap",
    type=click.IntRange(1),
    default=1_000,
    show_default=True,
    help="With --draft: log entries for which the old key still counts, so that work goes on until it is published.",
)
def rotate(call: Call, key: str, reason: str, lost: bool, work: Path | None, overlap: int) -> Result:
    """Replace a KEY by a new one: what the old one signed still counts, what it signs from now on does not.

    root replaces the authorities below it too. A role key is replaced with: appliance trust enroll. With --draft the
    issuing, timestamp or ct key is replaced when the draft is published, and the old one signs until then.
    """
    from appliance.orchestration import trust_changes

    changed = trust_changes.rotate(
        call.parts, call.role, key, reason=reason, lost=lost, work=work and work.absolute(), overlap=overlap
    )
    if work:
        return draft_result(work)
    call.renew()
    lines = [f"{use}: the new key is {id}" for use, id in changed.items()]
    return Result(data={"rotated": changed}, text="\n".join([*lines, "Next: appliance trust export, to your media"]))


@command(
    "trust",
    "retire",
    changes="trust.retire",
    roles=("operator",),
    example="appliance trust retire issuing sha256:2a97... --last-index 4711 --reason 'found late' --site ./site",
)
@click.argument("use", type=click.Choice(USES))
@click.argument("key_id")
@click.option("--last-index", required=True, type=click.IntRange(-1), help="Last log index at which it counts.")
@click.option("--until", help="Last signed time at which it counts, such as 2026-03-01T12:00:00Z.")
@click.option("--reason", required=True, help="Why, for the minutes.")
@drafted_in
def retire(
    call: Call, use: Any, key_id: str, last_index: int, until: str | None, reason: str, work: Path | None
) -> Result:
    """Let a key that has a successor count less far: end its window at a log index that lies before."""
    from appliance.orchestration import trust_changes

    version = trust_changes.retire(
        call.parts,
        call.role,
        use,
        key_id,
        last_index=last_index,
        until=until,
        reason=reason,
        work=work and work.absolute(),
    )
    if work:
        return draft_result(work)
    call.renew()
    return Result(
        data={"policy_version": version, "use": use, "key_id": key_id, "last_index": last_index},
        text=f"{use} key {key_id} counts up to log index {last_index}, by policy version {version}",
    )


@command(
    "trust",
    "revoke",
    changes="trust.revoke",
    roles=("operator",),
    example="appliance trust revoke role-key sha256:2a97... --from-index 4711 --reason 'laptop stolen' --site ./site",
)
@click.argument("target", type=click.Choice(TARGETS))
@click.argument("id")
@click.option("--from-index", type=click.IntRange(0), help="First log index that is covered; from now on if left out.")
@click.option("--reason", required=True, help="Why; it stands in the log.")
def revoke(call: Call, target: str, id: str, from_index: int | None, reason: str) -> Result:
    """Take trust away from an identity, key, authority or statement, from a log index on. It cannot be undone.

    What was signed before that index still counts. ID is an identity, or a digest as in: appliance trust status.
    """
    from appliance.orchestration import trust_changes

    entry = trust_changes.revoke(call.parts, call.role, target, id, from_index=from_index, reason=reason)
    return Result(
        data={"target": entry.target, "id": entry.id, "from_index": entry.from_index, "statement": entry.statement},
        text=f"{entry.target} {entry.id} is revoked from log index {entry.from_index} on",
    )


@command(
    "trust",
    "enroll",
    changes="trust.enroll",
    roles=("operator",),
    example="appliance trust enroll approver/alice --site ./site",
)
@click.argument("person", metavar="ROLE/NAME")
@click.option(
    "--public",
    type=click.Path(path_type=Path),
    help="Public key of the person, by trust custodian-key --algorithm p256.",
)
def enroll(call: Call, person: str, public: Path | None) -> Result:
    """Let a person act in a role with a key of their own, such as approver/alice; the root key signs it.

    Without --public the key is made here. Afterwards: appliance model approve ... --as approver/alice
    """
    from appliance.orchestration import trust_changes

    identity, key_id, index = trust_changes.enroll(call.parts, person, public)
    return Result(
        data={"identity": identity, "key_id": key_id, "index": index},
        text=f"{identity} acts with key {key_id} from log index {index} on",
    )


@command(
    "trust",
    "require-approvals",
    changes="trust.require-approvals",
    roles=("operator",),
    example="appliance trust require-approvals 2 --reason 'four eyes' --site ./site",
)
@click.argument("number", type=click.IntRange(1, 16))
@click.option("--reason", required=True, help="Why, for the minutes.")
@drafted_in
def require_approvals(call: Call, number: int, reason: str, work: Path | None) -> Result:
    """Ask for NUMBER approvals by different people before a model is loaded; the custodians sign the new policy."""
    from appliance.orchestration import trust_changes

    version = trust_changes.require_approvals(
        call.parts, call.role, "live", number, reason=reason, work=work and work.absolute()
    )
    if work:
        return draft_result(work)
    call.renew()
    return Result(
        data={"policy_version": version, "threshold": number},
        text=f"{number} different people must approve, by policy version {version}",
    )


group = noun(
    "trust",
    "Signing ceremony, keys, witnesses and trust media.",
    [
        *(init, status, rotate, retire, revoke, enroll, require_approvals, export),
        *(*trust_witness.COMMANDS, *trust_media.COMMANDS, *trust_custody.COMMANDS),
    ],
)
