"""What follows every change of a site's trust: minutes that are signed, and a new anchor document in the log.

Rules
1. Minutes are a statement of kind ``ceremony`` about the trust config and the policy as they are now; a revocation's
   statement is of kind ``revocation``. They are signed as the role that acted, with the newest keys.
2. A revocation is entered after its statement was signed, so that the entry can name it; both or, after a crash, a
   statement without an entry, which revokes nothing.
3. A change that is drafted into a work folder, for custodians who sign elsewhere, leaves no minutes: those of its
   publication state what counts from then on. The audit record of the command says that it was drafted.
4. The newest ``trust-anchor`` document names the public trust material; an older one is named in its ``replaces``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from appliance.base.clock import rfc3339
from appliance.base.digest import digest_bytes, digest_file
from appliance.base.errors import ApplianceError
from appliance.config.site import Site
from appliance.governance.lineage import Document, FileRecord, Lineage
from appliance.governance.roles import is_actor
from appliance.trust import ceremony, codes, cosignatures, custody, keys, rotation, statements
from appliance.trust import policy as policies
from appliance.trust.cosignatures import WitnessKey
from appliance.trust.custody import Publication
from appliance.trust.keys import FileKeys
from appliance.trust.policy import Use
from appliance.trust.revocation import MAX_REASON_CHARACTERS, TARGETS, Revocation
from appliance.trust.witness_policy import WitnessPolicy
from appliance.wiring.parts import Parts

_WITNESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # its requests are files of this name
ANCHOR = "trust-anchor"  # kind of the lineage document that names the public trust material


def pin_anchor(site: Site, parts: Parts) -> str:
    """Name the public trust material in the log, so that a change of any byte is found; gives the document's id."""
    public = [
        *(site.trust / name for name in custody.COPIES),
        site.trust / "log.vkey",
        *sorted((site.trust / "certificates").iterdir()),
    ]
    before = _newest_anchor(site.lineage, parts.lineage)
    return parts.lineage.write(
        kind=ANCHOR,
        name=site.settings.site.name,
        files=[_record(site, path) for path in public],
        inputs=[],
        facts={"replaces": before} if before else {},
    )


def _newest_anchor(folder: Path, lineage: Lineage) -> str | None:
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        if f'"kind":"{ANCHOR}"'.encode() in path.read_bytes():
            found.append(lineage.load(f"sha256:{path.stem}"))
    newest = newest_anchor(found)
    return newest.id if newest else None


def newest_anchor(documents: Iterable[Document]) -> Document | None:
    """Of anchor documents, the one that no other replaces."""
    found = {document.id: document for document in documents}
    replaced = {document.facts.get("replaces") for document in found.values()}
    return next((document for id, document in found.items() if id not in replaced), None)


def minutes(parts: Parts, role: str, action: str, facts: Mapping[str, Any]) -> str:
    """Sign the minutes of a change; gives the statement's digest."""
    trust = parts.site.trust
    statement = statements.make_statement(
        statements.CEREMONY,
        {name: digest_file(trust / name) for name in custody.COPIES},
        {
            "action": action,
            "facts": dict(facts),
            "policy_version": ceremony.load_policy(trust).version,
            "root_digest": custody.root_digest(trust),
            "time": rfc3339(parts.clock.now()),
        },
    )
    parts.signer.sign(statement, role)
    return digest_bytes(statement)


def rotate(
    parts: Parts, role: str, key: str, *, reason: str, lost: bool, work: Path | None = None, overlap: int = 0
) -> dict[str, str]:
    """Rotate a key of the enclave or of custody; gives what is replaced -> id of the new key.

    Args:
        work: where to draft it, for custodians elsewhere, instead of publishing it.
        overlap: entries that the old key may sign until the draft is published.

    Raises:
        ApplianceError: see `trust.rotation`; APL-TRUST-033 custodians' keys are not drafted here.
    """
    trust, now = parts.site.trust, parts.clock.now()
    if key in rotation.ROTATED:
        store = parts.key_store or FileKeys(trust / "enclave")
        held = _publication(trust, work)
        changed = dict(rotation.rotate(trust, key, store=store, held=held, now=now, overlap=overlap if work else 0))
    elif work is not None:
        raise ApplianceError(codes.CHANGE_REFUSED, f"the key {key} is replaced with: appliance trust media-draft-root")
    else:
        store = custody.custody_of(trust)
        held_keys = custody.open_custody(trust)
        changed = {key: rotation.rotate_custody(trust, key, store=store, held=held_keys, now=now, lost=lost)}
    if work is None:
        _record_change(parts, role, "trust.rotate", {"key": key, "reason": reason, **changed})
    return changed


def retire(
    parts: Parts,
    role: str,
    use: Use,
    key_id: str,
    *,
    last_index: int,
    until: str | None,
    reason: str,
    work: Path | None = None,
) -> int:
    """End a key's window earlier; gives the version of the policy.

    Raises:
        ApplianceError: see `trust.rotation.retire`.
    """
    trust = parts.site.trust
    policy = rotation.retire(
        trust,
        use,
        key_id,
        last_index=last_index,
        until=until,
        held=_publication(trust, work),
        now=parts.clock.now(),
    )
    if work is None:
        facts = {"use": use, "key_id": key_id, "last_index": last_index, "until": until, "reason": reason}
        _record_change(parts, role, "trust.retire", facts)
    return policy.version


def enroll(parts: Parts, actor: str, public: Path | None) -> tuple[str, str, int]:
    """Make a key for a person, or take in the public key of one; gives identity, key id and log index.

    Raises:
        ApplianceError: APL-TRUST-033 a role itself cannot be enrolled again, APL-TRUST-006 the person has a key here,
            APL-TRUST-005 the root key is away or `public` holds no key.
    """
    trust = parts.site.trust
    if "/" not in actor or not is_actor(actor):
        raise ApplianceError(
            codes.CHANGE_REFUSED, f"expected a person in a role, such as approver/alice, got {actor!r}"
        )
    store = parts.key_store or FileKeys(trust / "enclave")
    rotation.require_root(trust, store)  # before a key is made that nobody could enroll
    if public is None:
        parts.keys.create(actor)
        key = parts.keys.public(actor)
    else:
        key = keys.parse_public_text(_read(public))
    identity = ceremony.role_identity(parts.site.settings.site.name, actor)
    index = rotation.enroll(
        trust, parts.log, key, role=actor.partition("/")[0], identity=identity, store=store, now=parts.clock.now()
    )
    return identity, keys.key_id(key), index


def require_approvals(
    parts: Parts, role: str, scope: str, threshold: int, *, reason: str, work: Path | None = None
) -> int:
    """Ask for a number of approvals by different people; gives the version of the policy.

    Raises:
        ApplianceError: APL-TRUST-033, APL-TRUST-032.
    """
    trust = parts.site.trust
    held = _publication(trust, work)
    policy = rotation.set_approvals(trust, scope, threshold, held=held, now=parts.clock.now())
    if work is None:
        facts = {"scope": scope, "threshold": threshold, "reason": reason}
        _record_change(parts, role, "trust.require-approvals", facts)
    return policy.version


def add_witness(
    parts: Parts, role: str, name: str, key: str, *, needed: int | None, work: Path | None = None
) -> tuple[list[str], int]:
    """Let another witness count; gives all names and how many must cosign: as before, unless `needed` is given.

    Raises:
        ApplianceError: APL-TRUST-005 or -016 the key or the numbers do not fit, APL-TRUST-032.
    """
    if not _WITNESS.fullmatch(name):
        raise ApplianceError(codes.CHANGE_REFUSED, f"{name!r} is no name for a witness: letters, digits, dot, - and _")
    before = ceremony.load_witness_policy(parts.site.trust)
    witnesses = {**before.witnesses, name: cosignatures.parse_witness_key(key)}
    needed = needed or _needed(before)
    _set_witnesses(parts, role, "trust.witness-add", {"name": name, "key": key}, witnesses, needed, work)
    return sorted(witnesses), needed


def remove_witness(
    parts: Parts, role: str, name: str, *, needed: int | None, reason: str, work: Path | None = None
) -> tuple[list[str], int]:
    """Let a witness count no longer; gives the others and how many must cosign: as before, unless `needed` is given.

    Raises:
        ApplianceError: APL-TRUST-033 there is no such witness, or fewer are left than must cosign; APL-TRUST-032.
    """
    before = ceremony.load_witness_policy(parts.site.trust)
    if name not in before.witnesses:
        known = ", ".join(sorted(before.witnesses)) or "none"
        raise ApplianceError(codes.CHANGE_REFUSED, f"there is no witness {name!r}; known: {known}")
    witnesses = {each: key for each, key in before.witnesses.items() if each != name}
    needed = needed or _needed(before)
    # Nobody's quorum is lowered unless it is said; without any witness there is none.
    if witnesses and needed > len(witnesses):
        raise ApplianceError(
            codes.CHANGE_REFUSED, f"{needed} must cosign and {len(witnesses)} are left: say how many with --needed"
        )
    facts = {"name": name, "key": before.witnesses[name].text(), "reason": reason}
    _set_witnesses(parts, role, "trust.witness-remove", facts, witnesses, needed, work)
    return sorted(witnesses), needed if witnesses else 0


def _needed(policy: WitnessPolicy) -> int:
    group = policy.groups.get(policy.quorum)
    return group.needed if group else 1


def _set_witnesses(
    parts: Parts,
    role: str,
    action: str,
    facts: Mapping[str, Any],
    witnesses: Mapping[str, WitnessKey],
    needed: int,
    work: Path | None,
) -> None:
    trust = parts.site.trust
    rotation.set_witnesses(trust, witnesses, needed, held=_publication(trust, work), now=parts.clock.now())
    if work is None:
        _record_change(parts, role, action, {**facts, "needed": needed})


def _publication(trust: Path, work: Path | None) -> Publication:
    if work is None:
        return custody.open_custody(trust)
    from appliance.trust.drafts import Drafting

    return Drafting(work)


def _record_change(parts: Parts, role: str, action: str, facts: Mapping[str, Any]) -> None:
    # Signed with what counts now: the parts of the command still hold the keys from before.
    renewed = Parts(site=parts.site, clock=parts.clock)
    pin_anchor(renewed.site, renewed)
    minutes(renewed, role, action, facts)


def revoke(parts: Parts, role: str, target: str, id: str, *, from_index: int | None, reason: str) -> Revocation:
    """Revoke from `from_index` on, or from now on; gives the entry.

    Raises:
        ApplianceError: APL-TRUST-033, there is no reason, or the index lies ahead of the log.
    """
    size = parts.log.size()
    start = 0 if target == "statement" else size if from_index is None else from_index
    if not reason.strip() or not 0 <= start <= size:
        raise ApplianceError(
            codes.CHANGE_REFUSED, f"a revocation needs a reason, and an index up to {size}, got {start}"
        )
    if target not in TARGETS:
        raise ApplianceError(codes.CHANGE_REFUSED, f"expected one of {', '.join(TARGETS)}, got {target!r}")
    subject = digest_bytes(id.encode()) if target == "identity" else id
    said = {
        "target": target,
        "id": id,
        "from_index": start,
        "reason": reason[:MAX_REASON_CHARACTERS],
        "time": rfc3339(parts.clock.now().replace(microsecond=0)),
    }
    try:
        statement = statements.make_statement(statements.REVOCATION, {f"{target}/{id}": subject}, said)
    except ValueError as error:
        raise ApplianceError(codes.CHANGE_REFUSED, f"{target} {id!r} is no digest: {error}") from error
    revocation = Revocation(
        target=target,
        id=id,
        from_index=start,
        reason=reason[:MAX_REASON_CHARACTERS],
        time=str(said["time"]),
        statement=digest_bytes(statement),
    )
    try:
        revocation.check()  # before it is entered: a malformed one would make the whole log unreadable, for ever
    except ValueError as error:
        raise ApplianceError(codes.CHANGE_REFUSED, f"{target} {id!r} cannot be revoked: {error}") from error
    parts.signer.sign(statement, role)
    parts.log.append([revocation.encode()])
    return revocation


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ApplianceError(codes.KEY_UNUSABLE, f"cannot be read: {error.strerror}", where=str(path)) from error


def _record(site: Site, path: Path) -> FileRecord:
    return FileRecord(path=path.relative_to(site.folder).as_posix(), digest=digest_file(path), size=path.stat().st_size)


def publish(parts: Parts, role: str, *, root: bytes | None, targets: bytes | None) -> dict[str, int]:
    """Publish what custodians elsewhere signed, or the same for a longer time; gives TUF role -> version.

    Raises:
        ApplianceError: APL-TRUST-032 the publisher's key is away, APL-TRUST-033 a policy is missing or a rotation was
            drafted too long ago, and those of `tuf.repository.publish`.
    """
    from appliance.trust.tuf import repository

    trust = parts.site.trust
    with parts.log.writing() as writer:  # nothing is signed between the check and the publication
        if targets is not None:
            _check_targets(trust, targets, writer.checkpoint().size)
        made = repository.publish(
            trust / "tuf",
            root=root,
            targets=targets,
            publisher=custody.open_publisher(trust, root=root),
            now=parts.clock.now(),
        )
        custody.settle(trust)
    versions = {"root": made.root, "targets": made.targets, "snapshot": made.snapshot, "timestamp": made.timestamp}
    _record_change(parts, role, "trust.publish", {"versions": versions})
    return versions


def _check_targets(trust: Path, targets: bytes, size: int) -> None:
    from appliance.trust import drafts
    from appliance.trust.tuf import repository

    contents = repository.contents(trust / "tuf", targets)
    missing = [name for name in custody.COPIES if name not in contents]
    if missing:
        raise ApplianceError(codes.CHANGE_REFUSED, f"without {', '.join(missing)} nobody could verify anything")
    drafts.check_windows(ceremony.load_policy(trust), policies.parse_policy(contents[policies.FILE_NAME]), size)
