"""Judges how old a pack is. The host's clock is never asked.

Rules
1. `witness`: the cosignatures meet the quorum of the witness policy; the newest time by which they do is the witnessed
   time. Where the policy asks for no witness, the newest signed time of a statement that holds stands in for it, and
   that nobody but the log itself vouches for it is said.
2. `expiry`: no trust metadata had expired at that time.
3. `fresh`: that time is not before the one that was asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from appliance.base.clock import rfc3339
from appliance.base.errors import ApplianceError
from appliance.trust import codes, cosignatures, notes
from appliance.trust.auditor.bundles import Accepted
from appliance.trust.auditor.case import Case
from appliance.trust.auditor.material import read_roots
from appliance.trust.witness_policy import WitnessPolicy


def judge_witnesses(case: Case, policy: WitnessPolicy, head: notes.Checkpoint) -> dt.datetime | None:
    """All three rules; gives the witnessed time, None where the policy asks for no witness.

    Raises:
        ApplianceError: APL-TRUST-017, APL-TUF-002, APL-TRUST-020.
    """
    seconds = policy.witnessed_at(head.note)
    if seconds is None:
        case.holds("witness", "the policy asks for no witness")
        case.not_established.append("that the log shows everybody the same tree: the policy asks for no witness")
        return None
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    names = ", ".join(sorted(cosignatures.cosigned(head.note, policy.witnesses.values())))
    case.holds("witness", f"cosigned by {names}: as many as the policy asks for, {rfc3339(when)}")
    case.established.append(f"the quorum of witnesses saw this tree at {rfc3339(when)}: {names}")
    _judge_age(case, when, "witnessed")
    return when


def judge_without_witnesses(case: Case, accepted: Sequence[Accepted]) -> None:
    """Rules 2 and 3, by the log's own newest time: the best there is where the policy asks for no witness."""
    try:
        if not accepted:
            case.not_established.append("that the trust metadata had not expired: nobody signed a time")
            if case.question.not_older_than is not None:
                raise ApplianceError(codes.STALE, "nobody signed a time")
            return
        newest = max(each.signed_at for each in accepted)
        case.not_established.append(f"the newest time, {rfc3339(newest)}, by anybody but the log itself")
        _judge_age(case, newest, "signed by the log")
    except ApplianceError as error:
        case.refuse(error)


def _judge_age(case: Case, newest: dt.datetime, how: str) -> None:
    read_roots(case, newest)
    case.holds("expiry", f"nothing had expired at {rfc3339(newest)}, {how}")
    wanted = case.question.not_older_than
    if wanted is None:
        case.not_established.append(
            f"that it is recent: its newest time is {rfc3339(newest)}, and no age was asked for"
        )
        return
    if newest < wanted:
        raise ApplianceError(codes.STALE, f"newest time {rfc3339(newest)}, asked for {rfc3339(wanted)} or later")
    case.holds("fresh", f"{how} {rfc3339(newest)}, not before {rfc3339(wanted)}")
