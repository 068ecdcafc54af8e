"""The site's side of witnessing: requests out, answers in, and the newest checkpoint that a quorum cosigned.

Files of the trust folder::

    witnessing/pending          the checkpoint that was last sent out, with the cosignatures that came back
    witnessing/<name>.size      tree size that a witness cosigned last
    witnessed                   the newest checkpoint with a quorum

Rules
1. All witnesses are asked about one checkpoint, until a new export takes the newest one.
2. An answer is taken in only if its line verifies; the quorum is judged by the policy as it is now.
3. `witnessed` never goes back to a smaller tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.trust import ceremony, codes, cosignatures, log_check, notes, trust_config, witness
from appliance.trust.anchor import Anchor
from appliance.trust.tiles import Tree
from appliance.trust.witness_policy import NONE, WitnessPolicy

WITNESSED = "witnessed"
MAX_RESPONSE_BYTES = 16_384


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Where the pending checkpoint stands."""

    size: int
    names: tuple[str, ...]
    met: bool


def export_requests(trust: Path, target: Path, *, old_size: int | None) -> dict[Path, int]:
    """Write a request for each witness; gives path -> bytes.

    Raises:
        ApplianceError: APL-TRUST-033 the policy names no witness, APL-TRUST-027 a request would be too large.
    """
    policy, log = ceremony.load_witness_policy(trust), _log(trust)
    if not policy.witnesses:
        raise ApplianceError(
            codes.CHANGE_REFUSED, "the policy names no witness", hint="First: appliance trust witness-add."
        )
    head, tree = log_check.open_log(trust / "log", log)
    requests = {}
    for name in policy.witnesses:
        size = _last_size(trust, name) if old_size is None else old_size
        requests[target / f"{name}.request"] = witness.make_request(tree, head, size)
    for path, data in requests.items():
        atomic.write_bytes(path, data)
    atomic.write_bytes(trust / "witnessing" / "pending", head.note)
    return {path: len(data) for path, data in requests.items()}


def import_responses(trust: Path, responses: Sequence[str]) -> Imported:
    """Take in answers to the last export; each is judged before any is kept.

    Raises:
        ApplianceError: APL-TRUST-033 nothing was sent out, APL-TRUST-017 an answer does not fit; nothing changed.
    """
    policy, log = ceremony.load_witness_policy(trust), _log(trust)
    pending = trust / "witnessing" / "pending"
    if not pending.is_file():
        raise ApplianceError(
            codes.CHANGE_REFUSED, "no checkpoint was sent out", hint="First: appliance trust witness-export."
        )
    note = pending.read_bytes()
    for response in responses:
        note = cosignatures.with_lines(note, response, policy.witnesses.values())
    head = notes.open_checkpoint(note, log, where=str(pending))
    times = cosignatures.cosigned(note, policy.witnesses.values())
    atomic.write_bytes(pending, note)
    for name, key in policy.witnesses.items():
        if key.name in times:
            atomic.write_bytes(trust / "witnessing" / f"{name}.size", f"{head.size}\n".encode())
    met = policy.quorum != NONE and policy.is_met(times)
    if met and head.size >= _witnessed_size(trust, log):
        atomic.write_bytes(trust / WITNESSED, note)
    return Imported(size=head.size, names=tuple(sorted(times)), met=met)


def read_response(path: Path) -> str:
    """Raises:
    ApplianceError: APL-TRUST-017, the file cannot be read or is too large for an answer.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_RESPONSE_BYTES + 1)
        if len(data) > MAX_RESPONSE_BYTES:
            raise ValueError(f"more than {MAX_RESPONSE_BYTES} bytes")
        return data.decode()
    except (OSError, ValueError) as error:
        raise ApplianceError(codes.WITNESS_MISSING, f"not an answer of a witness: {error}", where=str(path)) from error


def newest_witnessed(anchor: Anchor) -> tuple[notes.Checkpoint, Tree]:
    """The newest checkpoint that meets the policy, and its tree; the newest of all where no witness is asked for.

    Raises:
        ApplianceError: APL-TRUST-017, there is none yet.
    """
    policy: WitnessPolicy = ceremony.load_witness_policy(anchor.folder)
    if policy.quorum != NONE and (anchor.folder / WITNESSED).is_file():
        head = open_witnessed(anchor)
        if not _is_by(head.note, anchor.log_key):
            raise ApplianceError(
                codes.WITNESS_MISSING,
                f"the log's key was rotated since witnesses saw {head.size} entries",
                hint="Have the newest checkpoint cosigned: appliance trust witness-export.",
            )
    else:
        head, _ = log_check.open_log(anchor.folder / "log", anchor.log_key)
    policy.witnessed_at(head.note)
    return head, Tree(folder=anchor.folder / "log", size=head.size)


def open_witnessed(anchor: Anchor) -> notes.Checkpoint:
    """The newest checkpoint that a quorum cosigned, by whichever key the log had then.

    Raises:
        ApplianceError: APL-TRUST-003, it is not by the log.
    """
    path = anchor.folder / WITNESSED
    note = path.read_bytes()
    logs = trust_config.parse(anchor.config).logs
    log = next((each for each in logs if _is_by(note, each)), logs[0])
    return notes.open_checkpoint(note, log, where=str(path))


def _is_by(note: bytes, log: notes.LogKey) -> bool:
    return (log.origin, log.id[:4]) in {(name, key_hash) for name, key_hash, _ in notes.signature_lines(note)}


def _log(trust: Path) -> notes.LogKey:
    return trust_config.log_of(ceremony.load_trust_config(trust))


def _last_size(trust: Path, name: str) -> int:
    path = trust / "witnessing" / f"{name}.size"
    return int(path.read_text()) if path.is_file() else 0


def _witnessed_size(trust: Path, log: notes.LogKey) -> int:
    path = trust / WITNESSED
    try:
        return notes.open_checkpoint(path.read_bytes(), log, where=str(path)).size
    except (OSError, ApplianceError):
        return 0  # none yet, or by a key that was rotated since
