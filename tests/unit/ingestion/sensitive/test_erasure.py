"""When two people have agreed to an erasure, by the records of the audit."""

import datetime as dt

import pytest

from appliance.base.clock import rfc3339
from appliance.governance.audit import Record
from appliance.ingestion.sensitive.erasure import VALID_DAYS, objection
from appliance.ingestion.sensitive.subjects import ERASURE
from tests.small_site import NOW

REQUEST, APPROVE, ERASED = ERASURE.request, ERASURE.approve, ERASURE.erased
ENGINEER, ALICE = "sha256:engineer", "sha256:alice"


def record(action, key, *, days_ago=0, role="approver", subject="token", phase="intent"):
    fields = {"action": action, "key_id": key, "role": role, "phase": phase, "arguments": {"subject": subject}}
    return Record(index=0, digest="", fields={**fields, "time": rfc3339(NOW - dt.timedelta(days=days_ago))})


ASKED = record(REQUEST, ENGINEER, role="data-engineer")
GIVEN = record(APPROVE, ALICE)
CASES = [
    ("asked and approved", [ASKED, GIVEN], ""),
    ("nothing", [], "nobody approved it"),
    ("asked only", [ASKED], "nobody approved it"),
    ("approved before it was asked", [GIVEN, ASKED], "nobody approved it"),
    ("approved by who asked", [ASKED, record(APPROVE, ENGINEER)], "by the key that asks"),
    ("approved by another who asked", [record(REQUEST, ALICE), ASKED, GIVEN], "by the key that asks"),
    ("of another subject", [ASKED, record(APPROVE, ALICE, subject="other")], "nobody approved it"),
    ("by another role", [ASKED, record(APPROVE, ALICE, role="operator")], "nobody approved it"),
    ("an outcome is no approval", [ASKED, record(APPROVE, ALICE, phase="outcome")], "nobody approved it"),
    ("just in time", [ASKED, record(APPROVE, ALICE, days_ago=VALID_DAYS)], ""),
    ("too old", [ASKED, record(APPROVE, ALICE, days_ago=VALID_DAYS + 1)], "older than 7 days"),
    ("used up", [ASKED, GIVEN, record(ERASED, ENGINEER)], "nobody approved it"),
    ("asked and approved again", [ASKED, GIVEN, record(ERASED, ENGINEER), ASKED, GIVEN], ""),
]


@pytest.mark.parametrize(("records", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_two_people_must_agree(records, message):
    found = objection(records, ERASURE, "token", key_id=ENGINEER, now=NOW)
    assert (message in found) if message else found == ""
