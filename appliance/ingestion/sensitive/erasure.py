"""Erasures by two people: of a subject, and of a letter. One asks, another one agrees, then the keys are destroyed.

Rules
1. Asking, agreeing and erasing are audit records about the thing's name. A subject's is its token, which names nobody.
2. The approval is by an approver, comes after a request, and is not by the key that requested or that now acts.
3. It holds for `VALID_DAYS` and for one erasure: what was erased after it has used it up.
4. Several things at once are erased when nothing stands against any of them, else none is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.base.clock import Clock, parse_rfc3339
from appliance.base.errors import ApplianceError, Code
from appliance.governance import codes as governance_codes
from appliance.governance.audit import Audit, Record
from appliance.governance.roles import RoleKeys
from appliance.trust.data_keys import DataKeys

APPROVER = "approver"
VALID_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is erased.

    Attributes:
        argument: of the audit records, which names the thing.
        request, approve, erased: actions of the audit records.
        unapproved: the error of an erasure that was asked for.
    """

    argument: str
    request: str
    approve: str
    erased: str
    unapproved: Code


class Erasures:
    """Of one kind, on one site."""

    def __init__(self, *, kind: Kind, audit: Audit, role_keys: RoleKeys, data_keys: DataKeys, clock: Clock) -> None:
        self._kind = kind
        self._audit = audit
        self._role_keys = role_keys
        self._data_keys = data_keys
        self._clock = clock

    def approve(self, names: Iterable[str], *, actor: str, reason: str) -> None:
        """Agree to erasures that somebody else asked for. Raises APL-AUDIT-001."""
        for name in names:
            self._note(actor, self._kind.approve, name, reason)

    def erase(self, names: Sequence[str], ids: Sequence[bytes], *, actor: str, reason: str) -> int:
        """Destroy the keys `ids` of the things `names`, or ask for it where nobody has agreed yet; gives how many.

        Raises:
            ApplianceError: `Kind.unapproved`, the requests are recorded; APL-AUDIT-001, -002 the audit does not hold;
                those of the data keys.
        """
        checked = self._audit.check()
        if not checked.ok:
            raise ApplianceError(governance_codes.AUDIT_BROKEN, checked.fault, where=checked.where)
        key_id, now, wanted = self._role_keys.key_id(actor), self._clock.now(), set(names)
        records = [
            each for each in self._audit.records() if each.fields["arguments"].get(self._kind.argument) in wanted
        ]
        found = {name: objection(records, self._kind, name, key_id=key_id, now=now) for name in names}
        against = {name: why for name, why in found.items() if why}
        if against:
            for name in against:
                self._note(actor, self._kind.request, name, reason)
            name, why = next(iter(against.items()))
            raise ApplianceError(
                self._kind.unapproved, why if len(names) == 1 else f"{len(against)} of {len(names)}; {name}: {why}"
            )
        intents = [
            self._audit.begin(role=actor, action=self._kind.erased, arguments=self._arguments(name, reason))
            for name in names
        ]
        keys = self._data_keys.erase(ids)
        for intent in intents:
            self._audit.end(intent, outcome="done", detail=f"{keys} keys destroyed")
        return keys

    def _note(self, actor: str, action: str, name: str, reason: str) -> None:
        intent = self._audit.begin(role=actor, action=action, arguments=self._arguments(name, reason))
        self._audit.end(intent, outcome="done", detail="")

    def _arguments(self, name: str, reason: str) -> dict[str, str]:
        return {self._kind.argument: name, "reason": reason}


def objection(records: Iterable[Record], kind: Kind, name: str, *, key_id: str, now: dt.datetime) -> str:
    """Why the holder of `key_id` may not erase the thing now; empty when nothing stands against it. Pure.

    Args:
        records: of the audit, oldest first, verified.
    """
    requesters: set[str] = set()
    approvals: list[Record] = []
    for record in records:
        fields = record.fields
        if fields["phase"] != "intent" or fields["arguments"].get(kind.argument) != name:
            continue
        if fields["action"] == kind.request:
            requesters.add(fields["key_id"])
        elif fields["action"] == kind.approve and fields["role"] == APPROVER and requesters:
            approvals.append(record)
        elif fields["action"] == kind.erased:
            requesters, approvals = set(), []
    if not approvals:
        return "nobody approved it"
    oldest = now - dt.timedelta(days=VALID_DAYS)
    current = [each for each in approvals if parse_rfc3339(each.fields["time"]) >= oldest]
    if not current:
        return f"the approval is older than {VALID_DAYS} days"
    if all(each.fields["key_id"] in {*requesters, key_id} for each in current):
        return "it was approved by the key that asks for it"
    return ""
