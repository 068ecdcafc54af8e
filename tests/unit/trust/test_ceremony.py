"""The ceremony makes everything or nothing, and what it makes is private where it must be."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
from pathlib import Path

import pytest

from appliance.base.canonical import parse_canonical
from appliance.base.clock import FixedClock, SystemClock
from appliance.base.errors import ApplianceError
from appliance.governance.roles import ROLES, RoleKeys
from appliance.trust import ceremony, trust_config

CLOCK = FixedClock(dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC))


@pytest.fixture
def keys(tmp_path: Path) -> RoleKeys:
    made = RoleKeys(tmp_path / "keys")
    made.create_all()
    return made


def test_it_opens_again(tmp_path: Path, keys: RoleKeys) -> None:
    made = ceremony.init_trust(tmp_path / "trust", "north", CLOCK, keys.publics())
    again = ceremony.open_enclave(tmp_path / "trust")
    assert again.site_name == "north"
    assert again.issuer == "https://idp.north.appliance.internal"
    assert again.identity("approver") == "https://north.appliance.internal/roles/approver"
    assert again.trust_config == made.trust_config
    assert trust_config.log_of(again.trust_config).text() == again.log().key.text()
    assert (tmp_path / "trust/log.vkey").read_text().strip() == again.log().key.text()


def test_the_log_begins_with_the_role_keys(tmp_path: Path, keys: RoleKeys) -> None:
    enclave = ceremony.init_trust(tmp_path / "trust", "north", CLOCK, keys.publics())
    root, *entries = [parse_canonical(entry) for entry in enclave.log().entries()]
    assert (root["kind"], root["signature"]) == ("root-key", None)
    assert [entry["role"] for entry in entries] == sorted(ROLES)
    assert all(entry["key_id"] == keys.key_id(entry["role"]) for entry in entries)


def test_every_window_starts_in_1970(tmp_path: Path) -> None:
    """A verifier whose clock battery died must not lose its keys."""
    enclave = ceremony.init_trust(tmp_path / "trust", "north", CLOCK, {})
    text = enclave.trust_config.decode()
    assert text.count('"start": "1970-01-01T00:00:00Z"') == text.count('"validFor"') == 4
    assert set(json.loads(text)["signingConfig"]) == {"mediaType", "caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls"}


def test_private_files_are_private(tmp_path: Path) -> None:
    ceremony.init_trust(tmp_path / "trust", "north", CLOCK, {})
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "trust/enclave").iterdir()}
    assert modes == {f"{name}.pem": 0o600 for name in ceremony.ALGORITHMS}
    assert stat.S_IMODE((tmp_path / "trust/enclave").stat().st_mode) == 0o700


def test_the_root_key_may_leave_the_site(tmp_path: Path) -> None:
    ceremony.init_trust(tmp_path / "trust", "north", CLOCK, {})
    (tmp_path / "trust/enclave/root.pem").unlink()
    ceremony.open_enclave(tmp_path / "trust")


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    ceremony.init_trust(tmp_path / "trust", "north", CLOCK, {})
    before = (tmp_path / "trust/trust-config.json").read_bytes()
    with pytest.raises(ApplianceError) as caught:
        ceremony.init_trust(tmp_path / "trust", "south", CLOCK, {})
    assert caught.value.code.id == "APL-TRUST-007"
    assert (tmp_path / "trust/trust-config.json").read_bytes() == before


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """At whichever sync it strikes."""
    real = os.fsync
    for calls in range(200):
        left = [calls]

        def fsync(handle: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(28, "No space left on device")
            real(handle)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            code = ""
            try:
                ceremony.init_trust(tmp_path / "trust", "north", CLOCK, {})
            except ApplianceError as error:
                code = error.code.id
        if not code:
            assert calls > 20
            return
        assert (code, list(tmp_path.iterdir())) == ("APL-BASE-002", [])
    pytest.fail("a ceremony makes more than 200 calls")


def test_no_trust_folder(tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as caught:
        ceremony.open_enclave(tmp_path / "trust")
    assert caught.value.code.id == "APL-TRUST-008"


@pytest.mark.parametrize("config", [b"", b"{}", b"[]", b'{"trustedRoot":{"tlogs":[]}}', b"x" * 2_000_000])
def test_bad_trust_configs(config: bytes) -> None:
    with pytest.raises(ApplianceError) as caught:
        trust_config.log_of(config)
    assert caught.value.code.id == "APL-TRUST-012"


def test_an_impossible_clock_is_refused(tmp_path: Path) -> None:
    enclave = ceremony.init_trust(tmp_path / "trust", "north", SystemClock(), {})
    with pytest.raises(ApplianceError, match="1970-01-01T00:00:00Z") as caught:
        enclave.check_clock(dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    assert caught.value.code.id == "APL-TRUST-013"
