"""Key files: made once, private, refused otherwise."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.trust import keys


@pytest.mark.parametrize("algorithm", ["p256", "p384", "ed25519", "mldsa65"])
def test_sign_and_verify(tmp_path: Path, algorithm: keys.Algorithm) -> None:
    store = keys.FileKeys(tmp_path / "keys")
    made = store.create("a", algorithm)
    again = store.load("a")
    assert keys.key_id(made.public) == keys.key_id(again.public)
    signature = again.sign(b"data")
    public = keys.parse_public(keys.spki(made.public))
    assert keys.is_signature(public, signature, b"data")
    assert not keys.is_signature(public, signature, b"other")
    assert not keys.is_signature(public, b"", b"data")


def test_files_are_private(tmp_path: Path) -> None:
    keys.FileKeys(tmp_path / "keys").create("a", "p256")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "a.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    store = keys.FileKeys(tmp_path)
    store.create("a", "p256")
    (tmp_path / "a.pem").chmod(mode)
    with pytest.raises(ApplianceError, match=f"expected mode 0600, got {mode:04o}") as caught:
        store.load("a")
    assert caught.value.code.id == "APL-TRUST-004"


def test_a_link_is_refused(tmp_path: Path) -> None:
    keys.FileKeys(tmp_path).create("a", "p256")
    (tmp_path / "b.pem").symlink_to(tmp_path / "a.pem")
    with pytest.raises(ApplianceError, match="key b cannot be read"):
        keys.FileKeys(tmp_path).load("b")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    store = keys.FileKeys(tmp_path)
    store.create("a", "p256")
    before = (tmp_path / "a.pem").read_bytes()
    with pytest.raises(ApplianceError) as caught:
        store.create("a", "p256")
    assert caught.value.code.id == "APL-TRUST-006"
    assert (tmp_path / "a.pem").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_not_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pem").write_bytes(content)
    (tmp_path / "a.pem").chmod(0o600)
    with pytest.raises(ApplianceError) as caught:
        keys.FileKeys(tmp_path).load("a")
    assert caught.value.code.id == "APL-TRUST-005"


def test_a_missing_key_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as caught:
        keys.FileKeys(tmp_path).load("a")
    assert (caught.value.code.id, caught.value.where) == ("APL-TRUST-005", str(tmp_path / "a.pem"))


def test_foreign_public_keys_are_refused() -> None:
    with pytest.raises(ApplianceError, match="not a public key"):
        keys.parse_public(b"junk")
