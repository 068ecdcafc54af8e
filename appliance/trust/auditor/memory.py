"""Judges a log by what this auditor saw before, and remembers what it saw now.

Rules
1. What was seen before is kept in a folder of the auditor's own: the greatest tree, and the trust roots. A memory that
   cannot be read is an error: a rollback would go unnoticed.
2. `rollback`: the log is not smaller than the one before. `fork`: it extends it.
3. Where two trees of one log differ, both signed, the evidence convinces others and is kept.
4. Nothing is remembered unless every step holds.
"""

from __future__ import annotations

from appliance.base import atomic
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import codes, fork_evidence, witness
from appliance.trust.auditor.case import Case
from appliance.trust.auditor.log import JudgedLog

SEEN = "seen.json"


def judge_memory(case: Case, log: JudgedLog) -> None:
    """Rule 2.

    Raises:
        ApplianceError: APL-TRUST-018 the log is smaller, APL-TRUST-019 it is another one, APL-TRUST-031.
    """
    memory, head = case.question.memory, log.head
    before = witness.read_seen(memory / SEEN) if memory else None
    if before is None:
        case.not_established.append("that nothing was taken back: this auditor has not seen the log before")
        return
    if before.origin != head.origin:
        raise ApplianceError(codes.FORKED, f"the memory is of {before.origin}, the pack of {head.origin}")
    if head.size < before.size:
        raise ApplianceError(codes.ROLLED_BACK, f"{head.size} entries, {before.size} were seen before")
    case.holds("rollback", f"not smaller than the {before.size} entries that were seen before")
    if log.tree.root(before.size) != before.root_hash:
        save_evidence(case, before.note.encode(), log, before.size)
        raise ApplianceError(codes.FORKED, f"the tree of {before.size} entries was another one when it was seen before")
    case.holds("fork", f"extends the {before.size} entries that were seen before")
    case.established.append(f"it extends the tree of {before.size} entries that this auditor saw before")


def save_evidence(case: Case, note: bytes, log: JudgedLog, size: int) -> None:
    """Keep that `note`, of `size` entries, and the log's head cannot both be true; without a memory nothing is kept."""
    if case.question.memory is None:
        return
    data = fork_evidence.make_evidence(note, log.head, log.tree, size)
    path = case.question.memory / f"fork-{digest_bytes(data)[7:19]}.json"
    atomic.write_bytes(path, data)
    case.evidence = path


def remember(case: Case, log: JudgedLog) -> None:
    """Rule 4 is the caller's.

    Raises:
        ApplianceError: APL-BASE-002.
    """
    memory = case.question.memory
    if memory is None:
        return
    for path in sorted(case.state.glob("*.json")):
        atomic.write_bytes(memory / "tuf" / path.name, path.read_bytes())
    witness.write_seen(memory / SEEN, witness.seen(log.head))
