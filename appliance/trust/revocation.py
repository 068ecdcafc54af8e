"""Revocations: entries of the log that take trust away from a log index on.

Rules
1. A revocation counts because it is in the log, whoever signed it: taking trust away needs no permission, giving it
   does. A wrong one is visible to everybody and costs availability, never integrity.
2. It covers a signature whose log index is `from_index` or greater. Order is by index: a thief cannot backdate one, and
   no clock is asked. `from_index` may lie before the revocation, when a theft is found late.
3. A revocation of a statement covers that statement at any index.
4. A canonical entry of this kind with other members than these is not skipped: the log is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.clock import parse_rfc3339
from appliance.base.digest import hex_of
from appliance.base.errors import ApplianceError
from appliance.trust import codes

Target = Literal["identity", "role-key", "issuing", "timestamp", "ct", "statement"]
TARGETS: tuple[Target, ...] = ("identity", "role-key", "issuing", "timestamp", "ct", "statement")
MARK = b'"kind":"revocation"'
MAX_REASON_CHARACTERS = 2_000


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One revocation; `statement` is the digest of the signed statement that explains it."""

    kind: Literal["revocation"] = "revocation"
    target: Target
    id: str
    from_index: int
    reason: str
    time: str
    statement: str

    def check(self) -> None:
        """ValueError when a reader of the log would refuse the entry, and with it the log."""
        parse_rfc3339(self.time)
        hex_of(self.statement)
        if self.from_index < 0 or (self.target == "statement" and self.from_index):
            raise ValueError(f"from_index {self.from_index}")
        if self.target != "identity":
            hex_of(self.id)

    def encode(self) -> bytes:
        """The log entry.

        Raises:
            ApplianceError: APL-BASE-001, the reason has no canonical form.
        """
        return canonical(msgspec.to_builtins(self))


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a revocation may cover: where a statement was signed, by whom, and with which keys.

    Attributes:
        role_key: key id in the certificate.
        issuing, timestamp: digests of the authorities' certificates (DER).
        ct: digest of the CT key's SPKI.
    """

    index: int
    statement: str
    identity: str
    role_key: str
    issuing: str
    timestamp: str
    ct: str


def covering(revocations: Sequence[Revocation], signature: Signature) -> Revocation | None:
    """The first revocation that covers a signature."""
    ids: dict[Target, str] = {
        "identity": signature.identity,
        "role-key": signature.role_key,
        "issuing": signature.issuing,
        "timestamp": signature.timestamp,
        "ct": signature.ct,
        "statement": signature.statement,
    }
    return next(
        (each for each in revocations if ids[each.target] == each.id and signature.index >= each.from_index), None
    )


def revocations_of(entries: Iterable[bytes]) -> tuple[Revocation, ...]:
    """All revocations of a verified log, oldest first.

    Raises:
        ApplianceError: APL-TRUST-002, an entry of this kind is malformed.
    """
    found = ((index, _parse(entry, index)) for index, entry in enumerate(entries) if MARK in entry)
    return tuple(each for _, each in found if each is not None)


def _parse(entry: bytes, index: int) -> Revocation | None:
    # The mark may stand inside another entry's text: only an object of this kind is a revocation.
    try:
        document = parse_canonical(entry)
    except ApplianceError:
        return None
    if not isinstance(document, dict) or document.get("kind") != "revocation":
        return None
    try:
        revocation = msgspec.convert(document, Revocation, strict=True)
        revocation.check()
    except ValueError as error:
        raise ApplianceError(codes.LOG_BROKEN, f"entry {index} is a malformed revocation: {error}") from error
    return revocation
