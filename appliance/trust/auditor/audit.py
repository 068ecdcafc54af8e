"""Audits a pack: the steps of docs/reference/trust_formats.md, in order, over the unmodified Sigstore verifier.

Rules
1. Nothing in the pack is believed because it lies there: everything hangs on the pinned digest of the first root.
2. A step that fails ends the steps that rest on it. The steps of the pack come first; then all bundles are judged, and
   what rests on them.
3. Who judges: `material` root to policy; `log` checkpoint, tree and issuance; `times` witness, expiry and fresh;
   `memory` rollback and fork; `bundles` statements; `artifacts` subjects; `approvals` approval.
4. What was seen is remembered only after everything held.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from appliance.base import archive
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.trust import pack
from appliance.trust.auditor import approvals, artifacts, bundles, log, material, memory, times
from appliance.trust.auditor.case import Case, Question
from appliance.trust.auditor.log import JudgedLog
from appliance.trust.verdict import Verdict

__all__ = ["Question", "audit_pack"]


def audit_pack(path: Path, question: Question, progress: Progress) -> Verdict:
    """The verdict on a pack, a folder or a tar file. A pack that does not hold is a verdict, not an error; so is a
    memory that cannot be read (APL-TRUST-031), because a rollback would go unnoticed.

    Raises:
        ApplianceError: APL-BASE-002, the memory cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="audit-") as scratch:
        state = Path(scratch) / "tuf"
        known = question.memory / "tuf" if question.memory else None
        if known is not None and known.is_dir():
            shutil.copytree(known, state)
        folder = Path(scratch) / "pack" if path.is_file() else path
        case = Case(folder=folder, question=question, state=state, progress=progress)
        try:
            if path.is_file():
                archive.unpack(path, folder, max_bytes=pack.MAX_PACK_BYTES)
            pack.check_form(folder)
            case.holds("pack", "names, kinds and sizes of its files are within the limits")
        except ApplianceError as error:
            case.refuse(error, step="pack")
            return case.verdict(path)
        judged = _judge(case)
        if judged is not None and case.ok:
            memory.remember(case, judged)
        return case.verdict(path)


def _judge(case: Case) -> JudgedLog | None:
    """The log, when the steps of the pack hold; whether those of the bundles do is in the case."""
    try:
        believed = material.judge_material(case)
        judged = log.judge_log(case, believed)
        witnessed = times.judge_witnesses(case, believed.witnesses, judged.head)
        memory.judge_memory(case, judged)
        history = log.judge_history(case, believed, judged)
    except ApplianceError as error:
        case.refuse(error)
        return None
    files = artifacts.digests(case)
    asked = {*files.values(), *history.live.values()}
    accepted = bundles.judge_bundles(case, believed, history, judged, asked=asked)
    if witnessed is None:
        times.judge_without_witnesses(case, accepted)
    artifacts.judge_artifacts(case, files, accepted)
    approvals.judge_approvals(case, believed.policy, history, accepted)
    bundles.judge_completeness(case, history, accepted)
    return judged
