"""Whether a subject may be erased: two people agreed, by their records in the audit. Pure.

Rules
1. A request and an approval are audit records about the subject's token, which names nobody.
2. The approval is by an approver, comes after a request, and is not by the key that requested or that now acts.
3. It holds for `VALID_DAYS` and for one erasure: what was erased after it has used it up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from appliance.base.clock import parse_rfc3339
from appliance.governance.audit import Record

REQUEST, APPROVE, ERASED = "subject.request-erasure", "subject.approve-erasure", "subject.erasure"
APPROVER = "approver"
VALID_DAYS = 7


def objection(records: Iterable[Record], token: str, *, key_id: str, now: dt.datetime) -> str:
    """Why the holder of `key_id` may not erase the subject now; empty when nothing stands against it.

    Args:
        records: of the audit, oldest first, verified.
    """
    requesters: set[str] = set()
    approvals: list[Record] = []
    for record in records:
        fields = record.fields
        if fields["phase"] != "intent" or fields["arguments"].get("subject") != token:
            continue
        if fields["action"] == REQUEST:
            requesters.add(fields["key_id"])
        elif fields["action"] == APPROVE and fields["role"] == APPROVER and requesters:
            approvals.append(record)
        elif fields["action"] == ERASED:
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
