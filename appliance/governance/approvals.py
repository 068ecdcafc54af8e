"""Approvals: a second person, with another key, allows one package for a time.

An approval is a signed statement (`trust.statements.APPROVAL`) about the digest of ``package.json``. Its predicate::

    name, version, artifact_id, package, registrar_key, reason, scope "live", approved_at, expires

Rules
1. The signer is an approver, the role or a person in it, by a key that is enrolled for that identity.
2. That key is not the one that registered the model.
3. It holds for exactly one package digest, and until `expires`.
4. The trust policy says how many different people must have approved; an approval that does not hold does not count.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.base.clock import parse_rfc3339, rfc3339
from appliance.base.errors import ApplianceError
from appliance.governance import codes
from appliance.governance.stages import Standing
from appliance.trust import ceremony, sigstore_offline, statements
from appliance.trust.anchor import Anchor
from appliance.trust.enrollment import Enrolled

ROLE = "approver"
MAX_REASON_CHARACTERS = 2_000
FIELDS = frozenset(
    ("name", "version", "artifact_id", "package", "registrar_key", "reason", "scope", "approved_at", "expires")
)


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A valid approval."""

    statement: str
    key_id: str
    reason: str
    approved_at: str
    expires: str
    log_index: int


def make_approval(standing: Standing, *, reason: str, now: dt.datetime, expires: dt.datetime) -> bytes:
    """The statement, to be signed as approver."""
    return statements.approval(
        name=f"{standing.name}/{standing.version}/package.json",
        subject_digest=standing.package,
        predicate={
            "name": standing.name,
            "version": standing.version,
            "artifact_id": standing.artifact_id,
            "package": standing.package,
            "registrar_key": standing.registrar_key,
            "reason": reason[:MAX_REASON_CHARACTERS],
            "scope": "live",
            "approved_at": rfc3339(now),
            "expires": rfc3339(expires),
        },
    )


def require_approval(
    standing: Standing, anchor: Anchor, *, enrolled: Mapping[str, Enrolled], now: dt.datetime
) -> Approval:
    """The newest approval of a version, when enough different people gave one that holds.

    Raises:
        ApplianceError: APL-MODEL-007 there is none that is valid, APL-MODEL-008 the approver registered the model,
            APL-MODEL-009 it has expired, APL-MODEL-016 too few different people approved.
    """
    where = f"{standing.name}/{standing.version}"
    if not standing.approvals:
        raise ApplianceError(codes.APPROVAL_MISSING, f"{where} is a {standing.stage} without approval", where=where)
    valid: dict[str, Approval] = {}
    refusals: list[ApplianceError] = []
    for statement in standing.approvals:
        try:
            identity, approval = _check(statement, standing, anchor, enrolled, now)
        except ApplianceError as error:
            refusals.append(error)
        else:
            valid.pop(identity, None)
            valid[identity] = approval  # the newest of each person, in order
    if not valid:
        raise refusals[-1]
    needed = _needed(anchor)
    if len(valid) < needed:
        raise ApplianceError(
            codes.APPROVALS_TOO_FEW,
            f"{where} is approved by {', '.join(sorted(valid))}; the trust policy asks for {needed} different people",
            where=where,
        )
    return list(valid.values())[-1]


def _needed(anchor: Anchor) -> int:
    wanted = anchor.policy.approvals_for("live")
    return wanted.threshold if wanted else 1


def _check(
    statement: str, standing: Standing, anchor: Anchor, enrolled: Mapping[str, Enrolled], now: dt.datetime
) -> tuple[str, Approval]:
    """The identity behind an approval, and the approval."""
    where = f"{standing.name}/{standing.version}"
    # 1. the signature, by an approver
    try:
        bundle = anchor.bundle(statement)
        verified = anchor.verify_identity(bundle, sigstore_offline.claimed_identity(bundle))
    except ApplianceError as error:
        raise ApplianceError(
            codes.APPROVAL_MISSING, f"the approval of {where} does not verify: {error.message}", where=error.where
        ) from error
    # 2. by a key that is enrolled for this approver, and is not the registrar's
    key = enrolled.get(verified.key_id)
    expected = (key.identity or ceremony.role_identity(anchor.site_name, key.role)) if key else None
    if key is None or key.role != ROLE or verified.identity != expected:
        raise ApplianceError(
            codes.APPROVAL_MISSING, f"the approval of {where} is by a key that is not an approver's", where=where
        )
    if verified.key_id == standing.registrar_key:
        raise ApplianceError(
            codes.APPROVAL_SAME_KEY, f"{where} was registered and approved by key {verified.key_id}", where=where
        )
    # 3. about this package
    predicate = verified.statement.predicate
    said = (verified.statement.predicate_type, *verified.statement.subjects.values())
    if said != (statements.APPROVAL, standing.package) or not _is_about(predicate, standing):
        raise ApplianceError(codes.APPROVAL_MISSING, f"the approval of {where} is about another package", where=where)
    # 4. in time
    if parse_rfc3339(predicate["expires"]) <= now:
        raise ApplianceError(
            codes.APPROVAL_EXPIRED, f"the approval of {where} expired {predicate['expires']}", where=where
        )
    return verified.identity, Approval(
        statement=statement,
        key_id=verified.key_id,
        reason=predicate["reason"],
        approved_at=predicate["approved_at"],
        expires=predicate["expires"],
        log_index=verified.log_index,
    )


def _is_about(predicate: Mapping[str, Any], standing: Standing) -> bool:
    if set(predicate) != FIELDS:
        return False
    expected = {
        "name": standing.name,
        "version": standing.version,
        "artifact_id": standing.artifact_id,
        "package": standing.package,
        "registrar_key": standing.registrar_key,
        "scope": "live",
    }
    return all(predicate[name] == value for name, value in expected.items())
