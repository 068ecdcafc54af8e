"""What the entries of a log say: what was issued, revoked, signed, and put live.

Rules
1. The entries are replayed, each verified when it is read: once for the keys that count, once for revocations, once for
   the rest. They are not held: a replay costs a seventh of what parsing its entries does.
2. Kept are, as the judgement of later bundles needs them: a line per statement, the certificate entry of each, the
   revocations, the enrolled keys, and the package that is live of each model. Memory grows with the signatures that
   were made, not with the records of what was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.base.canonical import parse_canonical
from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.trust import enrollment, log_check, notes, revocation
from appliance.trust.issuance import Issuance
from appliance.trust.policy import TrustPolicy
from appliance.trust.revocation import Revocation
from appliance.trust.trust_config import TrustedKeys

STEP_ENTRIES = 1_000  # between two signs of progress


@dataclass(kw_only=True)
class LogHistory:
    """What the entries say.

    Attributes:
        kinds: how many entries of each kind there are.
        signed: digests of the statements that were signed -> log index.
        live: name of a model -> digest of the package that is live.
    """

    issuance: Issuance
    revocations: tuple[Revocation, ...]
    kinds: Counter[str] = field(default_factory=Counter)
    signed: dict[str, int] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)


def read_history(
    folder: Path, head: notes.Checkpoint, trusted: TrustedKeys, policy: TrustPolicy, progress: Progress
) -> LogHistory:
    """Read the log in `folder` below `head`, oldest entry first.

    Raises:
        ApplianceError: APL-TRUST-002, the log is damaged or a revocation is malformed.
    """
    history = LogHistory(
        issuance=Issuance(trusted=trusted, policy=policy, enrolled=enrollment.enrolled(_entries(folder, head))),
        revocations=revocation.revocations_of(_entries(folder, head)),
    )
    progress.begin("entries", head.size)
    for index, entry in enumerate(_entries(folder, head)):
        history.issuance.take(index, entry)
        _take(history, index, _document(entry))
        if index % STEP_ENTRIES == STEP_ENTRIES - 1:
            progress.advance(STEP_ENTRIES)
    progress.advance(head.size % STEP_ENTRIES)
    return history


def _entries(folder: Path, head: notes.Checkpoint) -> Iterator[bytes]:
    return (entry for _, entry in log_check.replay(folder, head))


def _take(history: LogHistory, index: int, document: dict[str, Any]) -> None:
    kind = str(document.get("kind", "other"))
    history.kinds[kind] += 1
    if kind == "dsse":
        try:
            digest = PREFIX + document["spec"]["payloadHash"]["value"]
        except (KeyError, TypeError):
            return
        history.signed.setdefault(digest, index)
    elif kind == "model-stage":
        name, package = str(document.get("name")), str(document.get("package"))
        if document.get("to") == "live":
            history.live[name] = package
        elif history.live.get(name) == package:
            del history.live[name]


def _document(entry: bytes) -> dict[str, Any]:
    try:
        document = parse_canonical(entry)
    except ApplianceError:
        return {}
    return document if isinstance(document, dict) else {}
