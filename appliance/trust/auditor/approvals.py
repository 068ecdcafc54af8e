"""Judges whether what is live was approved.

Rules
1. `approval`: of every package that the log says is live, as many different identities approved as the policy asks
   for, each one of its approvers and each for the scope ``live``.
2. Where the policy asks for no approval, nothing is judged and nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence

from appliance.base.errors import ApplianceError
from appliance.trust import codes, statements
from appliance.trust import policy as policies
from appliance.trust.auditor.bundles import Accepted
from appliance.trust.auditor.case import Case
from appliance.trust.auditor.history import LogHistory
from appliance.trust.policy import TrustPolicy

SCOPE = "live"


def judge_approvals(case: Case, policy: TrustPolicy, history: LogHistory, accepted: Sequence[Accepted]) -> None:
    """Rule 1."""
    wanted = policy.approvals_for(SCOPE)
    if wanted is None:
        return
    given = [each for each in accepted if each.predicate_type == statements.APPROVAL and each.scope == SCOPE]
    for name, package in sorted(history.live.items()):
        people = {
            each.identity
            for each in given
            if package in each.about and any(policies.matches(pattern, each.identity) for pattern in wanted.approvers)
        }
        detail = f"approved by {', '.join(sorted(people)) or 'nobody'}"
        if len(people) < wanted.threshold:
            error = ApplianceError(codes.APPROVALS_MISSING, f"{detail}; the policy asks for {wanted.threshold}")
            case.refuse(error, name=name)
        else:
            case.holds("approval", detail, name=name)
            case.established.append(f"the package that is live as {name} was {detail}")
