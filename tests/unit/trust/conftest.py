"""A site that can sign."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony
from appliance.trust.ceremony import Enclave
from appliance.trust.signer import Signer


@dataclass(frozen=True, kw_only=True)
class Signing:
    folder: Path
    enclave: Enclave
    keys: RoleKeys
    signer: Signer

    @property
    def config(self) -> bytes:
        return self.enclave.trust_config


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    """Shared by tests that only add to it."""
    folder = tmp_path_factory.mktemp("site")
    keys = RoleKeys(folder / "keys")
    keys.create_all()
    enclave = ceremony.init_trust(folder / "trust", "north", SystemClock(), keys.publics())
    signer = Signer(enclave, enclave.log(), keys, SystemClock())
    return Signing(folder=folder, enclave=enclave, keys=keys, signer=signer)
