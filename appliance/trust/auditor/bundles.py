"""Judges the signed statements of a pack, and whether all of them are there.

Rules
1. Every bundle is judged; the first step that it fails is named, and the others go on.
2. `format`: it is in the one form in which a site writes bundles. `sigstore` and the steps after it: the unmodified
   verifier and what it leaves open, for whoever of the site the bundle names.
3. `prefix`: its tree is a prefix of the pack's; where it is not although both are signed, that is a fork.
4. `entry`: the log explains its certificate, before its use.
5. `window`, `revoked`, `signer`: see `appliance.trust.judgement`. `statement`: the file is named after the digest.
6. Of an accepted statement is kept what later steps ask for, and no more: packs hold many.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.digest import hex_of
from appliance.base.errors import ApplianceError
from appliance.trust import codes, judgement, signer, sigstore_offline
from appliance.trust.anchor import check_prefix
from appliance.trust.auditor.case import Case
from appliance.trust.auditor.history import LogHistory
from appliance.trust.auditor.log import JudgedLog
from appliance.trust.auditor.material import Material
from appliance.trust.auditor.memory import save_evidence
from appliance.trust.sigstore_offline import VerifiedStatement


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A statement that counts.

    Attributes:
        about: those of its subjects' digests that were asked for.
        scope: of an approval; "" elsewhere.
    """

    digest: str
    predicate_type: str
    identity: str
    signed_at: dt.datetime
    about: frozenset[str]
    scope: str


def judge_bundles(
    case: Case, material: Material, history: LogHistory, log: JudgedLog, *, asked: Collection[str]
) -> list[Accepted]:
    """The statements that count; `asked` are the digests about which later steps want to know who said something."""
    paths = sorted((case.folder / "bundles").glob("*"))
    case.progress.begin("statements", len(paths))
    accepted = []
    for path in paths:
        place = f"bundles/{path.name}"
        try:
            found = _judge_bundle(case, path, material, history, log)
        except ApplianceError as error:
            case.refuse(error, name="statements", path=place)
        else:
            detail = f"{found.statement.predicate_type} by {found.identity}, log index {found.log_index}"
            case.holds("signature", detail, place, name="statements")
            accepted.append(_kept(found, asked))
        case.progress.advance(1)
    case.established.append(f"{len(accepted)} statements are signed, logged, inside their windows and not revoked")
    case.established.append(f"revocation is judged up to log index {log.tree.size - 1}")
    return accepted


def verify_bundle(data: bytes, config: bytes, issuer: str) -> VerifiedStatement:
    """Verify a bundle of a pack, whoever of the site signed it; where it stands in the log is another matter.

    Raises:
        ApplianceError: APL-TRUST-036 it has not the one form of a bundle in a pack; see
            `sigstore_offline.verify_statement`.
    """
    try:
        written = signer.one_form(data)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ApplianceError(codes.BUNDLE_MALFORMED, f"not a bundle of a site: {error!r}") from error
    if written != data:
        raise ApplianceError(codes.BUNDLE_MALFORMED, "not in the one form in which a site writes bundles")
    identity = sigstore_offline.claimed_identity(data)
    return sigstore_offline.verify_statement(data, config, identity=identity, issuer=issuer)


def judge_completeness(case: Case, history: LogHistory, accepted: Sequence[Accepted]) -> None:
    """Tell which logged statements are not here; their absence refuses nothing."""
    here = {each.digest for each in accepted}
    missing = sum(digest not in here for digest in history.signed)
    if missing:
        case.not_established.append(f"what logged statements say that are not in the pack or do not verify: {missing}")
    else:
        case.established.append("every statement that the log names is in the pack")
    unexplained = sum(each.statement not in here for each in history.revocations)
    if unexplained:
        case.not_established.append(
            f"why revocations were made whose statements are not in the pack or do not verify: {unexplained}"
        )
    if history.revocations:
        case.established.append(f"revocations of the log that were applied: {len(history.revocations)}")


def _judge_bundle(case: Case, path: Path, material: Material, history: LogHistory, log: JudgedLog) -> VerifiedStatement:
    found = verify_bundle(path.read_bytes(), material.config, material.policy.issuer)
    _check_place(case, found, log)
    try:
        history.issuance.require(found.certificate, found.log_index)
    except ApplianceError as error:
        raise ApplianceError(codes.NOT_IN_LOG, error.message) from error
    judgement.judge(found, material.policy, history.revocations)
    if path.name != f"{hex_of(found.statement.digest)}.sigstore.json":
        raise ApplianceError(codes.STATEMENT_INVALID, "the file has not the digest of its statement as name")
    return found


def _check_place(case: Case, verified: VerifiedStatement, log: JudgedLog) -> None:
    try:
        check_prefix(verified, log.tree)
    except ApplianceError:
        own = verified.head
        if own.size <= log.tree.size and log.tree.root(own.size) != own.root:
            save_evidence(case, own.note, log, own.size)
        raise


def _kept(verified: VerifiedStatement, asked: Collection[str]) -> Accepted:
    statement = verified.statement
    scope = statement.predicate.get("scope")
    return Accepted(
        digest=statement.digest,
        predicate_type=statement.predicate_type,
        identity=verified.identity,
        signed_at=verified.signed_at,
        about=frozenset(digest for digest in statement.subjects.values() if digest in asked),
        scope=scope if isinstance(scope, str) else "",
    )
