"""Judges the log of a pack by itself: who signed it, whether it is whole, and what was issued by it.

Rules
1. `checkpoint`: the tree head is by the log's key under its own name.
2. `tree`: the entries hash to the signed root, every tile is right, and no revocation is malformed.
3. `issuance`: every certificate of the log was asked for by an enrolled key of its role.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.base.errors import ApplianceError
from appliance.trust import codes, log_check, notes
from appliance.trust.auditor.case import Case
from appliance.trust.auditor.history import LogHistory, read_history
from appliance.trust.auditor.material import Material
from appliance.trust.tiles import Tree


@dataclass(frozen=True, kw_only=True)
class JudgedLog:
    """A log whose signed head and whole tree hold."""

    head: notes.Checkpoint
    tree: Tree


def judge_log(case: Case, material: Material) -> JudgedLog:
    """Rules 1 and 2, but for revocations.

    Raises:
        ApplianceError: APL-TRUST-003, APL-TRUST-002.
    """
    folder = case.folder / "log"
    head, tree = log_check.open_log(folder, material.trusted.log)
    case.holds("checkpoint", f"{head.size} entries, signed by the log", "log/checkpoint")
    check = log_check.check_log(folder, material.trusted.log)
    if not check.ok:
        bad = check.bad[0]
        raise ApplianceError(codes.LOG_BROKEN, f"{bad.path}: {bad.reason}", where=f"log/{bad.path}")
    case.holds("tree", f"{head.size} entries hash to the signed root {head.root.hex()}", "log")
    case.established.append(f"the log of {head.size} entries hashes to its signed checkpoint")
    return JudgedLog(head=head, tree=tree)


def judge_history(case: Case, material: Material, log: JudgedLog) -> LogHistory:
    """What the entries say; rule 3, and revocations.

    Raises:
        ApplianceError: APL-TRUST-002, APL-TRUST-028.
    """
    history = read_history(case.folder / "log", log.head, material.trusted, material.policy, case.progress)
    faults, count = history.issuance.faults(), len(history.issuance.issued)
    if faults:
        raise ApplianceError(codes.ISSUANCE_UNEXPLAINED, f"{len(faults)} certificates, first: {faults[0]}", where="log")
    case.holds("issuance", f"{count} certificates, each asked for by an enrolled key", "log")
    case.established.append(f"each of the {count} certificates was asked for by an enrolled key")
    return history
