"""A site with roles, a log and an audit."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.base.clock import FixedClock
from appliance.governance.audit import Audit
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony
from appliance.trust.ceremony import Enclave
from appliance.trust.signer import Signer
from appliance.trust.tlog import TransparencyLog


@dataclass(frozen=True, kw_only=True)
class Governed:
    folder: Path
    clock: FixedClock
    keys: RoleKeys
    enclave: Enclave
    log: TransparencyLog
    audit: Audit
    signer: Signer


@pytest.fixture
def governed(tmp_path: Path) -> Governed:
    clock = FixedClock(dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC))
    keys = RoleKeys(tmp_path / "keys")
    keys.create_all()
    enclave = ceremony.init_trust(tmp_path / "trust", "north", clock, keys.publics())
    log = enclave.log()
    return Governed(
        folder=tmp_path,
        clock=clock,
        keys=keys,
        enclave=enclave,
        log=log,
        audit=Audit(log, keys, clock),
        signer=Signer(enclave, log, keys, clock),
    )
