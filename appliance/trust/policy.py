"""The trust policy: who may sign what, in which windows each key counts, and how many approvals are needed.

It is one canonical JSON file, ``trust-policy.json`` (docs/reference/trust_formats.md). Auditors believe it because it
is a target of the TUF repository; the trust config beside it says how to check a signature, the policy whether to
accept it.

Rules
1. What is not listed is refused: a predicate type without signers, a key without a window.
2. Windows are judged at log indexes and signed times, never at a clock: both must lie inside, ends included.
3. A version is never reused: a later policy has a greater one.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.clock import parse_rfc3339
from appliance.base.digest import hex_of
from appliance.base.errors import ApplianceError
from appliance.trust import codes

FORMAT: Literal["https://appliance.internal/formats/trust-policy/v1"] = (
    "https://appliance.internal/formats/trust-policy/v1"
)
FILE_NAME = "trust-policy.json"
MAX_BYTES = 1_048_576
Use = Literal["log", "ct", "issuing", "timestamp"]
_SEGMENT = re.compile(r"[a-z0-9.-]+")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a key counts. `id` is the digest of its SPKI (log, ct) or of its certificate's DER (issuing, timestamp)."""

    use: Use
    id: str
    first_index: int
    last_index: int | None
    start: str = msgspec.field(name="from")
    until: str | None

    def fault(self, index: int, times: Sequence[dt.datetime]) -> str:
        """Why an entry at `index` with these signed times lies outside; empty when it lies inside."""
        last = self.last_index
        if index < self.first_index or (last is not None and index > last):
            return f"log index {index} is outside {self.first_index}..{'' if last is None else last}"
        start, until = parse_rfc3339(self.start), parse_rfc3339(self.until) if self.until else None
        for time in times:
            if time < start or (until is not None and time > until):
                return f"signed time {time.isoformat()} is outside {self.start}..{self.until or ''}"
        return ""


class Signers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may sign statements of a type. ``.../*`` matches one more path segment."""

    predicate_type: str
    identities: tuple[str, ...]


class Approvals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many different identities of `approvers` must approve for a scope."""

    scope: str
    threshold: int
    approvers: tuple[str, ...]


class TrustPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parsed policy."""

    format: Literal["https://appliance.internal/formats/trust-policy/v1"] = FORMAT
    version: int
    site: str
    origin: str
    issuer: str
    signers: tuple[Signers, ...]
    approvals: tuple[Approvals, ...]
    windows: tuple[Window, ...]

    def may_sign(self, identity: str, predicate_type: str) -> bool:
        return any(
            signers.predicate_type == predicate_type and any(matches(each, identity) for each in signers.identities)
            for signers in self.signers
        )

    def window(self, use: Use, id: str) -> Window | None:
        return next((window for window in self.windows if (window.use, window.id) == (use, id)), None)

    def approvals_for(self, scope: str) -> Approvals | None:
        return next((each for each in self.approvals if each.scope == scope), None)

    def encode(self) -> bytes:
        document: dict[str, Any] = msgspec.to_builtins(self)
        return canonical(document)


def matches(pattern: str, identity: str) -> bool:
    """Whether an identity of the policy names this one."""
    if not pattern.endswith("/*"):
        return pattern == identity
    head = pattern[:-1]
    return identity.startswith(head) and _SEGMENT.fullmatch(identity[len(head) :]) is not None


def parse_policy(data: bytes) -> TrustPolicy:
    """Raises:
    ApplianceError: APL-TRUST-016.
    """
    if len(data) > MAX_BYTES:
        raise ApplianceError(codes.POLICY_INVALID, f"{len(data)} bytes, at most {MAX_BYTES} are allowed")
    try:
        policy = msgspec.convert(parse_canonical(data), TrustPolicy, strict=True)
        if policy.encode() != data:  # a member with a default may be missing
            raise ValueError("the bytes differ from the form that is written")
        _check(policy)
    except (ValueError, ApplianceError) as error:
        raise ApplianceError(codes.POLICY_INVALID, str(error)) from error
    return policy


def _check(policy: TrustPolicy) -> None:
    if policy.version < 1:
        raise ValueError(f"expected a version from 1, got {policy.version}")
    _distinct("signers", [each.predicate_type for each in policy.signers])
    _distinct("approvals", [each.scope for each in policy.approvals])
    _distinct("windows", [(each.use, each.id) for each in policy.windows])
    for approvals in policy.approvals:
        if approvals.threshold < 1:
            raise ValueError(f"approvals for {approvals.scope}: expected a threshold from 1, got {approvals.threshold}")
    for window in policy.windows:
        hex_of(window.id)
        last = window.last_index
        if window.first_index < 0 or (last is not None and last < window.first_index - 1):
            raise ValueError(f"window of {window.id}: {window.first_index}..{last} is not a range")
        for time in (window.start, window.until):
            if time is not None and not _TIME.fullmatch(time):
                raise ValueError(f"window of {window.id}: {time!r} is not UTC in whole seconds")
            if time is not None:
                parse_rfc3339(time)


def _distinct(name: str, keys: Sequence[object]) -> None:
    if len(set(keys)) != len(keys):
        raise ValueError(f"{name}: one thing is listed twice")
