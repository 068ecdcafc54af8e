"""What happened between two packs of one log, for the auditor who comes back; each was audited before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.trust import ceremony, codes, log_check, pack, signer, statements, trust_config
from appliance.trust.auditor.history import LogHistory, read_history
from appliance.trust.policy import TrustPolicy
from appliance.trust.sigstore_offline import claimed_identity


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A pack, as far as a comparison needs it."""

    size: int
    root: bytes
    policy: TrustPolicy
    witnesses: frozenset[str]
    history: LogHistory


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A statement, as its bundle reads. `kind` and `identity` are empty where the pack has no bundle of it.

    Attributes:
        kind: the predicate type.
        subjects: names, in the order of the statement.
        identity: of the signer.
    """

    digest: str
    log_index: int
    kind: str = ""
    identity: str = ""
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """From the older pack to the newer one.

    Attributes:
        entries: kind -> number of new log entries.
        statements: what was signed meanwhile.
        windows: sentences about keys that came, or whose window ended.
    """

    old_size: int
    new_size: int
    entries: dict[str, int]
    statements: tuple[Signed, ...]
    revocations: tuple[dict[str, Any], ...]
    windows: tuple[str, ...]
    witnesses: tuple[str, ...]
    live: tuple[str, ...]


def snapshot(path: Path) -> Snapshot:
    """Read a pack, folder or tar file, or the trust folder of a site.

    Raises:
        ApplianceError: APL-TRUST-026 it is neither, APL-TRUST-002 or -003 its log does not hold, APL-TRUST-012 or -016.
    """
    with pack.opened(path) as folder:
        return _snapshot(folder)


def _snapshot(folder: Path) -> Snapshot:
    trusted = trust_config.parse(ceremony.load_trust_config(folder))
    policy = ceremony.load_policy(folder)
    head, _ = log_check.open_log(folder / "log", trusted.log)
    return Snapshot(
        size=head.size,
        root=head.root,
        policy=policy,
        witnesses=frozenset(ceremony.load_witness_policy(folder).witnesses),
        history=read_history(folder / "log", head, trusted, policy, NoProgress()),
    )


def difference(old: Path, new: Path) -> Difference:
    """Compare two packs of one log.

    Raises:
        ApplianceError: APL-TRUST-018 the second is smaller, APL-TRUST-019 it does not extend the first; see `snapshot`.
    """
    with pack.opened(old) as first, pack.opened(new) as second:
        return _difference(first, second, where=str(new))


def _difference(old: Path, new: Path, *, where: str) -> Difference:
    before, after = _snapshot(old), _snapshot(new)
    if before.policy.origin != after.policy.origin:
        raise ApplianceError(
            codes.CHANGE_REFUSED, f"two logs: {before.policy.origin} and {after.policy.origin}", where=where
        )
    if after.size < before.size:
        raise ApplianceError(
            codes.ROLLED_BACK,
            f"{after.size} entries, {before.size} before",
            where=where,
            hint="Name the older pack first. If you did, the site was set back: keep both as evidence.",
        )
    _, tree = log_check.open_log(new / "log", trust_config.log_of(ceremony.load_trust_config(new)))
    if tree.root(before.size) != before.root:
        raise ApplianceError(codes.FORKED, f"the first {before.size} entries are other ones", where=where)
    kinds: Counter[str] = after.history.kinds - before.history.kinds
    return Difference(
        old_size=before.size,
        new_size=after.size,
        entries=dict(sorted(kinds.items())),
        statements=tuple(
            _signed(new, digest, index)
            for digest, index in after.history.signed.items()
            if digest not in before.history.signed
        ),
        revocations=tuple(
            {"target": each.target, "id": each.id, "from_index": each.from_index, "reason": each.reason}
            for each in after.history.revocations[len(before.history.revocations) :]
        ),
        windows=tuple(_windows(before.policy, after.policy)),
        witnesses=tuple(
            [f"+ {name}" for name in sorted(after.witnesses - before.witnesses)]
            + [f"- {name}" for name in sorted(before.witnesses - after.witnesses)]
        ),
        live=tuple(
            f"{name}: {package}"
            for name, package in sorted(after.history.live.items())
            if before.history.live.get(name) != package
        ),
    )


def _signed(folder: Path, digest: str, index: int) -> Signed:
    try:
        bundle = signer.load_bundle(folder / "bundles", digest)
        statement = statements.statement_of(bundle)
        identity = claimed_identity(bundle)
    except (ApplianceError, ValueError, KeyError, TypeError, RecursionError):
        return Signed(digest=digest, log_index=index)
    return Signed(
        digest=digest,
        log_index=index,
        kind=statement.predicate_type,
        identity=identity,
        subjects=tuple(statement.subjects),
    )


def _windows(before: TrustPolicy, after: TrustPolicy) -> list[str]:
    lines = []
    for window in after.windows:
        then = before.window(window.use, window.id)
        if then is None:
            lines.append(f"+ {window.use} {window.id} from log index {window.first_index}")
        elif then != window:
            lines.append(f"~ {window.use} {window.id} up to log index {window.last_index}")
    gone = [each for each in before.windows if after.window(each.use, each.id) is None]
    return lines + [f"- {each.use} {each.id}" for each in gone]
