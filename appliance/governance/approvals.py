"""Approvals: a second person, with another key, allows one package for a time.

An approval is a signed statement (`trust.statements.APPROVAL`) about the digest of ``package.json``. Its predicate::

    name, version, artifact_id, package, registrar_key, reason, scope "live", approved_at, expires

Rules
1. The signer's identity is the role approver, by a key that is enrolled for it.
2. That key is not the one that registered the model.
3. It holds for exactly one package digest, and until `expires`.
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
from appliance.trust import statements
from appliance.trust.anchor import Anchor
from appliance.trust.keys import PublicKey

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
    standing: Standing, anchor: Anchor, *, enrolled: Mapping[str, tuple[str, PublicKey]], now: dt.datetime
) -> Approval:
    """The approval of a version, verified.

    Raises:
        ApplianceError: APL-MODEL-007 there is none that is valid, APL-MODEL-008 the approver registered the model,
            APL-MODEL-009 it has expired.
    """
    where = f"{standing.name}/{standing.version}"
    if standing.approval is None:
        raise ApplianceError(codes.APPROVAL_MISSING, f"{where} is a {standing.stage} without approval", where=where)
    # 1. the signature, by the role
    try:
        verified = anchor.verify(anchor.bundle(standing.approval), ROLE)
    except ApplianceError as error:
        raise ApplianceError(
            codes.APPROVAL_MISSING, f"the approval of {where} does not verify: {error.message}", where=error.where
        ) from error
    # 2. another key than the registrar's, enrolled for the role
    if verified.key_id == standing.registrar_key:
        raise ApplianceError(
            codes.APPROVAL_SAME_KEY, f"{where} was registered and approved by key {verified.key_id}", where=where
        )
    if enrolled.get(verified.key_id, ("",))[0] != ROLE:
        raise ApplianceError(
            codes.APPROVAL_MISSING, f"the approval of {where} is by a key that is not an approver's", where=where
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
    return Approval(
        statement=standing.approval,
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
