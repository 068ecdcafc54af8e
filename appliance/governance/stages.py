"""Stages of a model version and the signed moves between them.

A move is an entry of the transparency log, canonical JSON::

    kind "model-stage", name, version, artifact_id, package, from, to, statement, reason, time, role, key_id, intent,
    signature

Rules
1. candidate -> approved -> live -> retired. A version that stops being live because another takes its place, or by a
   rollback, is approved again: it stays ready. Retired is the end.
2. At most one version of a name is live.
3. `signature` is by the role's key over the canonical move without it; the key is enrolled for it.
4. `statement` is the digest of the statement that goes with the move: the model statement for a new candidate, the
   approval where one is given or renewed, else null. Only the approver gives approvals, and no candidate becomes
   approved without one.
5. The log is the truth: the stage of a version is what its moves lead to (`replay`). The registry's database is an
   index of it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.errors import ApplianceError
from appliance.governance import codes
from appliance.governance.roles import RoleKeys
from appliance.trust import enrollment, keys
from appliance.trust.enrollment import Enrolled

Stage = Literal["candidate", "approved", "live", "retired"]
MARK = b'"kind":"model-stage"'
MAX_REASON_CHARACTERS = 2_000
ALLOWED: frozenset[tuple[Stage | None, Stage]] = frozenset(
    {
        (None, "candidate"),
        ("candidate", "approved"),
        ("approved", "live"),
        ("live", "approved"),
        ("approved", "approved"),  # with a new approval
        ("live", "live"),  # with a new approval
        ("candidate", "retired"),
        ("approved", "retired"),
        ("live", "retired"),
    }
)


class Move(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One move. `start` and `to` are stages, `start` is None for a new version; `intent` the audit record's index."""

    kind: Literal["model-stage"] = "model-stage"
    name: str
    version: int
    artifact_id: str
    package: str
    start: Stage | None = msgspec.field(name="from")
    to: Stage
    statement: str | None
    reason: str
    time: str
    role: str
    key_id: str
    intent: int
    signature: str = ""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a version stands after all moves.

    Attributes:
        registrar_key: id of the role key that registered it.
        statement: digest of the model statement.
        approvals: digests of all approvals, oldest first.
        moves: log indexes of its moves.
    """

    name: str
    version: int
    artifact_id: str
    package: str
    stage: Stage
    registrar: str
    registrar_key: str
    registered_at: str
    statement: str
    approvals: tuple[str, ...]
    moves: tuple[int, ...]

    @property
    def approval(self) -> str | None:
        """The newest approval; None before there is one."""
        return self.approvals[-1] if self.approvals else None


@dataclass(frozen=True, kw_only=True)
class History:
    """All versions, and per name those that went live, oldest first."""

    versions: dict[tuple[str, int], Standing]
    lives: dict[str, list[int]]

    def live(self, name: str) -> Standing | None:
        for standing in self.of(name):
            if standing.stage == "live":
                return standing
        return None

    def of(self, name: str) -> list[Standing]:
        """The versions of a name, oldest first."""
        return [self.versions[key] for key in sorted(self.versions) if key[0] == name]


def sign_move(move: Move, role_keys: RoleKeys, actor: str) -> bytes:
    """The log entry of a move, signed by the key of `actor`."""
    document = _document(move)
    del document["signature"]
    signature = base64.b64encode(role_keys.sign(actor, canonical(document))).decode()
    return canonical({**document, "signature": signature})


def replay(entries: Iterable[bytes]) -> History:
    """Follow all moves of a log.

    Raises:
        ApplianceError: APL-MODEL-013, a move is not signed as the rules say or not allowed.
    """
    entries = list(entries)
    known = enrollment.enrolled(entries)
    history = History(versions={}, lives={})
    for index, entry in enumerate(entries):
        if MARK in entry and (document := _parse(entry)) is not None:
            move = _check(document, index, known)
            _follow(history, move, index)
    return history


def _document(move: Move) -> dict[str, Any]:
    document = msgspec.to_builtins(move)
    assert isinstance(document, dict)
    return document


def _parse(entry: bytes) -> dict[str, Any] | None:
    # The mark may stand inside another entry's text: only an object of this kind is a move.
    try:
        document = parse_canonical(entry)
    except ApplianceError:
        return None
    return document if isinstance(document, dict) and document.get("kind") == "model-stage" else None


def _check(document: dict[str, Any], index: int, known: Mapping[str, Enrolled]) -> Move:
    try:
        move = msgspec.convert(document, Move, strict=True)
        signature = base64.b64decode(move.signature, validate=True)
    except ValueError as error:
        raise _refused(index, f"malformed: {error}") from error
    enrolled = known.get(move.key_id)
    if enrolled is None or enrolled.role != move.role or enrolled.index > index:
        raise _refused(index, f"key {move.key_id} is not enrolled for role {move.role}")
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    if not keys.is_signature(enrolled.public, signature, canonical(unsigned)):
        raise _refused(index, f"not signed by the key of {move.role}")
    return move


def _follow(history: History, move: Move, index: int) -> None:
    key = (move.name, move.version)
    before = history.versions.get(key)
    if (move.start, move.to) not in ALLOWED or move.start != (before.stage if before else None):
        raise _refused(index, f"{move.name}/{move.version} goes from {move.start} to {move.to}")
    if before and (before.artifact_id, before.package) != (move.artifact_id, move.package):
        raise _refused(index, f"{move.name}/{move.version} is another package than before")
    approves = before is not None and move.statement is not None
    if approves and move.role != "approver":
        raise _refused(index, f"{move.name}/{move.version} was approved by {move.role}")
    if not approves and (move.start == move.to or (move.start == "candidate" and move.to == "approved")):
        raise _refused(index, f"{move.name}/{move.version} goes from {move.start} to {move.to} without an approval")
    if before is None and move.statement is None:
        raise _refused(index, f"{move.name}/{move.version} was registered without a statement")
    if move.to == "live" and move.start != "live":
        live = history.live(move.name)
        if live is not None:
            raise _refused(index, f"{move.name}/{move.version} goes live beside version {live.version}")
        history.lives.setdefault(move.name, []).append(move.version)
    history.versions[key] = Standing(
        name=move.name,
        version=move.version,
        artifact_id=move.artifact_id,
        package=move.package,
        stage=move.to,
        registrar=before.registrar if before else move.role,
        registrar_key=before.registrar_key if before else move.key_id,
        registered_at=before.registered_at if before else move.time,
        statement=before.statement if before else (move.statement or ""),
        approvals=(*(before.approvals if before else ()), *([move.statement] if approves and move.statement else [])),
        moves=(*(before.moves if before else ()), index),
    )


def _refused(index: int, what: str) -> ApplianceError:
    return ApplianceError(codes.REGISTRY_ALTERED, f"move at log index {index}: {what}")
