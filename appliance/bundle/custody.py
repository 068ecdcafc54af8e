"""The custody of an import: who did what with it and when, as the audit records say. Pure.

There is no custody log beside the audit: these are its records about one import, so that a line cannot be added, taken
away or changed without breaking the chain. Each carries ``import`` (its id) and ``manifest`` (what was in hand).

Rules
1. An import is released by `NEEDED` approvers with different keys, none of them that of an importer.
2. A release counts for what was scanned last: one given before another scan is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.governance.audit import Record
from appliance.trust import enrollment
from appliance.trust.ceremony import role_identity

RECEIVED, COPIED, SCANNED = "airlock.received", "airlock.copied", "airlock.scanned"
APPROVED, RELEASED, RECEIPT = "airlock.approved", "airlock.released", "airlock.receipt"
CLEAN, REJECTED = "clean", "rejected"
APPROVER = "approver"
NEEDED = 2


@dataclass(kw_only=True)
class Standing:
    """How far an import is.

    Attributes:
        received, scanned, released: the arguments of the newest record of that kind.
        approvers: ids of the keys whose release counts.
        released_at: RFC 3339; empty while it is not.
    """

    importers: set[str] = field(default_factory=set)
    received: Mapping[str, str] = field(default_factory=dict)
    scanned: Mapping[str, str] = field(default_factory=dict)
    approvers: list[str] = field(default_factory=list)
    released: Mapping[str, str] = field(default_factory=dict)
    released_at: str = ""

    @property
    def objection(self) -> str:
        """Why it may not be released; empty when nothing stands against it."""
        if self.scanned.get("outcome") != CLEAN:
            return "it was not scanned, or not found clean"
        counting = [each for each in self.approvers if each not in self.importers]
        if len(counting) < NEEDED:
            return f"{len(counting)} of {NEEDED} approvers released it, by keys of their own"
        return ""


def records_of(records: Iterable[Record], id: str) -> list[Record]:
    """The custody of the import `id`, oldest first; `records` are of the audit, verified."""
    return [
        each
        for each in records
        if each.fields["phase"] == "intent"
        and str(each.fields["action"]).startswith("airlock.")
        and each.fields["arguments"].get("import") == id
    ]


def standing(custody: Iterable[Record]) -> Standing:
    """What the custody of one import amounts to."""
    found = Standing()
    for record in custody:
        fields = record.fields
        action, arguments, key_id = fields["action"], fields["arguments"], str(fields["key_id"])
        if action == RECEIVED:
            found.importers.add(key_id)
            found.received = arguments
        elif action == SCANNED:
            found.scanned, found.approvers = arguments, []
        elif action == APPROVED and fields["role"] == APPROVER and key_id not in found.approvers:
            found.approvers.append(key_id)
        elif action == RELEASED:
            found.released, found.released_at = arguments, str(fields["time"])
    return found


def names_of(entries: Sequence[bytes], site_name: str) -> dict[str, str]:
    """Id of each key that the log enrolls -> the identity that acts with it; `entries` are verified."""
    return {
        key_id: found.identity or role_identity(site_name, found.role)
        for key_id, found in enrollment.enrolled(entries).items()
    }


def as_lines(custody: Iterable[Record], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The form that people and receipts see; `names` maps the id of each key to whose it is."""
    return [
        {
            "time": record.fields["time"],
            "step": str(record.fields["action"]).removeprefix("airlock."),
            "role": record.fields["role"],
            "key_id": record.fields["key_id"],
            "who": names.get(str(record.fields["key_id"]), ""),
            "log_index": record.index,
            "record": record.digest,
            "details": {name: each for name, each in record.fields["arguments"].items() if name != "import"},
        }
        for record in custody
    ]
