"""The egress report as evidence: a file, and a statement about it in the log of a site.

The statement is the product's own SLSA verification summary, signed by an auditor of the site: the thing is the report,
by digest; it passed when there were no attempts. Whoever can verify the site's other statements can verify this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.base import atomic
from appliance.base.canonical import canonical, parse_canonical
from appliance.base.digest import digest_bytes, digest_json
from appliance.trust import statements
from appliance.trust.anchor import Anchor
from appliance.trust.signer import Signer

REPORT, STATEMENT = "egress.json", "egress.sigstore.json"
RESOURCE = "egress"
LEVEL = "APPLIANCE_NO_EGRESS"
ROLE = "auditor"


class EvidenceError(Exception):
    """A statement that holds is about something else."""


def write(
    folder: Path, report: Mapping[str, Any], *, about: str, inputs: Mapping[str, str], signer: Signer, role: str = ROLE
) -> None:
    """Write both files into `folder`; the statement is entered in the log.

    Args:
        about: name of what was tried, such as ``core/1.0``.
        inputs: URI -> digest of what the report depends on, such as the manifest of the bundle.

    Raises:
        ApplianceError: those of `Signer.sign`.
    """
    told = canonical(dict(report))
    statement = statements.verification_summary(
        resource=f"{RESOURCE}:{about}",
        digest=digest_bytes(told),
        verifier=signer.enclave.identity(role),
        verified_at=report["ended_at"],
        policy="declared",
        policy_digest=digest_json(report["declared"]),
        inputs=inputs,
        passed=report["attempts"] == 0,
        levels=(LEVEL,),
    )
    atomic.write_bytes(folder / REPORT, told)
    atomic.write_bytes(folder / STATEMENT, signer.sign(statement, role))


def read(folder: Path, *, about: str, anchor: Anchor, role: str = ROLE) -> dict[str, Any]:
    """The report in `folder`, once its statement is verified.

    Raises:
        ApplianceError: those of `Anchor.verify`: the statement does not count.
        EvidenceError: it is about another report, or says another thing than the report.
    """
    told = (folder / REPORT).read_bytes()
    statement = anchor.verify((folder / STATEMENT).read_bytes(), role).statement
    expected = statements.VERIFICATION_SUMMARY, {f"{RESOURCE}:{about}": digest_bytes(told)}
    got = statement.predicate_type, dict(statement.subjects)
    if got != expected:
        raise EvidenceError(f"expected a statement on {expected}, got {got}")
    report: dict[str, Any] = parse_canonical(told)
    passed = "PASSED" if report["attempts"] == 0 else "FAILED"
    if statement.predicate["verificationResult"] != passed:
        raise EvidenceError(f"expected {passed}, got {statement.predicate['verificationResult']}")
    return report
