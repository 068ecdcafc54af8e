"""Role keys."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.governance.roles import ROLES, RoleKeys
from appliance.trust import keys
from appliance.trust.enrollment import enrolled
from tests.unit.governance.conftest import Governed


def test_every_role_has_its_own_key(governed: Governed) -> None:
    assert len({governed.keys.key_id(role) for role in ROLES}) == len(ROLES) == 5
    signature = governed.keys.sign("operator", b"data")
    assert keys.is_signature(governed.keys.public("operator"), signature, b"data")
    assert not keys.is_signature(governed.keys.public("approver"), signature, b"data")


def test_create_all_keeps_what_is_there(tmp_path: Path) -> None:
    made = RoleKeys(tmp_path)
    made.create("approver")
    before = made.key_id("approver")
    made.create_all()
    assert RoleKeys(tmp_path).key_id("approver") == before
    with pytest.raises(ApplianceError) as caught:
        made.create("approver")
    assert caught.value.code.id == "APL-TRUST-006"


@pytest.mark.parametrize("role", ["", "root", "../operator", "Operator"])
def test_other_names_are_refused(governed: Governed, role: str) -> None:
    with pytest.raises(ApplianceError, match="expected one of operator, ") as caught:
        governed.keys.sign(role, b"")
    assert caught.value.code.id == "APL-ROLE-001"


def test_enrolled_keys_come_from_the_log(governed: Governed) -> None:
    found = enrolled(governed.log.entries())
    assert {each.role for each in found.values()} == set(ROLES)
    assert found[governed.keys.key_id("auditor")].role == "auditor"


def test_publics_are_what_is_enrolled(governed: Governed) -> None:
    entries = list(governed.log.entries())
    assert base64.b64encode(governed.keys.publics()["approver"]) in entries[1]
