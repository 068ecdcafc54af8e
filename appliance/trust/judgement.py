"""Whether a signature that holds is to be accepted: windows, revocations, and who may sign what. Pure.

Checks, in this order
1. `window`: log, CT, issuing and timestamp key each have a window in the policy, and the signature lies inside, by log
   index and by signed time.
2. `revoked`: no revocation of the log covers it.
3. `signer`: the policy lets this identity sign this kind of statement.
"""

from __future__ import annotations

from collections.abc import Sequence

from appliance.base.digest import PREFIX, digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, keys
from appliance.trust.policy import TrustPolicy, Use
from appliance.trust.revocation import Revocation, Signature, covering
from appliance.trust.sigstore_offline import VerifiedStatement


def judge(verified: VerifiedStatement, policy: TrustPolicy, revocations: Sequence[Revocation]) -> None:
    """Accept a verified statement, or say why not.

    Raises:
        ApplianceError: APL-TRUST-021 outside a window, APL-TRUST-022 revoked, APL-TRUST-023 not by a listed signer.
    """
    signature = signature_of(verified)
    used: dict[Use, str] = {
        "log": keys.key_id(verified.log.public),
        "ct": signature.ct,
        "issuing": signature.issuing,
        "timestamp": signature.timestamp,
    }
    # 1. windows
    for use, id in used.items():
        window = policy.window(use, id)
        fault = window.fault(verified.log_index, [verified.signed_at]) if window else "the policy gives it no window"
        if fault:
            raise ApplianceError(codes.OUTSIDE_WINDOW, f"{use} key {id}: {fault}")
    # 2. revocations
    revocation = covering(revocations, signature)
    if revocation is not None:
        raise ApplianceError(
            codes.REVOKED,
            f"{revocation.target} {revocation.id} is revoked from log index {revocation.from_index}, this is "
            f"{verified.log_index}: {revocation.reason}",
        )
    # 3. who may sign what
    kind = verified.statement.predicate_type
    if not policy.may_sign(verified.identity, kind):
        raise ApplianceError(codes.SIGNER_NOT_ALLOWED, f"{verified.identity} may not sign {kind}")


def signature_of(verified: VerifiedStatement) -> Signature:
    """What a revocation may cover."""
    return Signature(
        index=verified.log_index,
        statement=verified.statement.digest,
        identity=verified.identity,
        role_key=verified.key_id,
        issuing=digest_bytes(certificates.to_der(verified.issuing)),
        timestamp=digest_bytes(certificates.to_der(verified.timestamper)),
        ct=PREFIX + verified.ct.hex(),
    )
