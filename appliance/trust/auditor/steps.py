"""Which step of docs/reference/trust_formats.md an error belongs to; every verifier of ours names the same ones.

The auditor leaves the steps of a signature to the unmodified verifier: where that one refuses, the step is `sigstore`.
"""

from __future__ import annotations

from appliance.base.errors import ApplianceError
from appliance.trust import codes

SIGSTORE = "sigstore"
_OF_CODE = {
    codes.PACK_INVALID.id: "pack",
    codes.TARGET_DIFFERS.id: "targets",
    "APL-TUF-001": "metadata",
    "APL-TUF-002": "expiry",
    "APL-TUF-003": "metadata",
    "APL-TUF-004": "targets",
    "APL-TUF-005": "root",
    "APL-TUF-006": "metadata",
    "APL-TUF-008": "metadata",
    "APL-TUF-012": "targets",
    "APL-TUF-014": "metadata",
    "APL-TUF-015": "metadata",
    codes.POLICY_INVALID.id: "policy",
    codes.TRUST_CONFIG_INVALID.id: "policy",
    codes.KEY_UNUSABLE.id: "policy",
    codes.MEMORY_UNREADABLE.id: "rollback",
    codes.CHECKPOINT_REFUSED.id: "checkpoint",
    codes.LOG_BROKEN.id: "tree",
    codes.WITNESS_MISSING.id: "witness",
    codes.ROLLED_BACK.id: "rollback",
    codes.FORKED.id: "fork",
    codes.STALE.id: "fresh",
    codes.ISSUANCE_UNEXPLAINED.id: "issuance",
    codes.BUNDLE_MALFORMED.id: "format",
    codes.SIGNATURE_REFUSED.id: SIGSTORE,
    codes.STATEMENT_INVALID.id: "statement",
    codes.NOT_A_PREFIX.id: "prefix",
    codes.NOT_IN_LOG.id: "entry",
    codes.OUTSIDE_WINDOW.id: "window",
    codes.REVOKED.id: "revoked",
    codes.SIGNER_NOT_ALLOWED.id: "signer",
    codes.SUBJECT_UNKNOWN.id: "subject",
    codes.APPROVALS_MISSING.id: "approval",
}


def step_of(error: ApplianceError) -> str:
    """The step that an error belongs to."""
    if error.code.id.startswith("APL-TUF") and (error.where or "").endswith("root.json"):
        return "root"
    return _OF_CODE.get(error.code.id, "pack")
