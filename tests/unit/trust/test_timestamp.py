"""Timestamp tokens: the form of RFC 3161, read by two other implementations, and only by the authority at its time."""

from __future__ import annotations

import datetime as dt
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from asn1crypto import cms, tsp
from cryptography import x509

from appliance.base.errors import ApplianceError
from appliance.trust import certificates, keys, timestamp

START, END = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2036, 1, 1, tzinfo=dt.UTC)
NOW = dt.datetime(2026, 5, 1, 8, 30, 59, tzinfo=dt.UTC)
DATA = b"the bytes of a signature"


@dataclass
class Authority:
    """A timestamp authority below a root of its own."""

    root_key: keys.MemoryKey = field(default_factory=lambda: keys.generate("p384"))
    key: keys.MemoryKey = field(default_factory=lambda: keys.generate("p256"))

    def __post_init__(self) -> None:
        self.root = certificates.issue_root(self.root_key, name="root", start=START, end=END)
        self.leaf = certificates.issue_timestamper(
            self.key, name="tsa", root=self.root, root_key=self.root_key, start=START, end=END
        )

    @property
    def chain(self) -> tuple[x509.Certificate, x509.Certificate]:
        return self.leaf, self.root

    def stamp(self, data: bytes = DATA, when: dt.datetime = NOW) -> bytes:
        return timestamp.stamp(data, certificate=self.leaf, key=self.key, when=when)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def refusal(token: bytes, chain: timestamp.Chain, data: bytes = DATA) -> str:
    with pytest.raises(ApplianceError) as caught:
        timestamp.verify(token, data, chain=chain)
    assert caught.value.code.id == "APL-TRUST-010"
    return caught.value.message


def test_the_time_comes_back(authority: Authority) -> None:
    for _ in range(50):  # serial numbers and signatures differ in length
        assert timestamp.verify(authority.stamp(), DATA, chain=authority.chain) == NOW


def test_openssl_reads_it(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(authority.stamp())
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "root").write_bytes(certificates.to_pem(authority.root))
    (tmp_path / "leaf").write_bytes(certificates.to_pem(authority.leaf))
    command = ["openssl", "ts", "-verify", "-in", "token", "-data", "data", "-CAfile", "root", "-untrusted", "leaf"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "Verification: OK"), done.stderr


def test_asn1crypto_would_write_the_same_bytes(authority: Authority) -> None:
    """Every level, built again by a library from what it reads."""
    token = authority.stamp()
    read = tsp.TimeStampResp.load(token, strict=True)
    signed = read["time_stamp_token"]["content"]
    info = signed["encap_content_info"]["content"].parsed
    (signer,) = signed["signer_infos"]
    attributes = [{"type": each["type"].native, "values": each["values"]} for each in signer["signed_attrs"]]
    assert cms.CMSAttributes(attributes).dump(force=True) == signer["signed_attrs"].untag().dump()
    assert read.dump(force=True) == token
    assert (info["gen_time"].native, info["policy"].native) == (NOW, timestamp.POLICY)


def test_another_signature(authority: Authority) -> None:
    assert "not over this signature" in refusal(authority.stamp(), authority.chain, b"other bytes")


def test_every_flipped_bit_is_refused(authority: Authority) -> None:
    token = authority.stamp()
    for position in range(len(token)):
        for bit in (0, 5):
            altered = token[:position] + bytes([token[position] ^ (1 << bit)]) + token[position + 1 :]
            refusal(altered, authority.chain)


@pytest.mark.parametrize("cut", [0, 1, 2, 10, -1])
def test_a_cut_or_longer_token(authority: Authority, cut: int) -> None:
    token = authority.stamp()
    refusal(token[:cut], authority.chain)
    refusal(token + b"\0", authority.chain)


def test_a_token_with_fractions_of_a_second(authority: Authority) -> None:
    token = authority.stamp().replace(b"20260501083059Z", b"202605010830.9Z")
    refusal(token, authority.chain)


@pytest.mark.parametrize("when", [START - dt.timedelta(seconds=1), END + dt.timedelta(seconds=1)])
def test_a_time_outside_the_certificates(authority: Authority, when: dt.datetime) -> None:
    assert "is outside the lifetime of" in refusal(authority.stamp(when=when), authority.chain)


def test_an_authority_below_another_root(authority: Authority) -> None:
    other = Authority()
    assert "its certificate is unfit" in refusal(authority.stamp(), (authority.leaf, other.root))
    assert "not in the form" in refusal(authority.stamp(), other.chain)


def test_a_signature_by_another_key_over_the_right_bytes(authority: Authority) -> None:
    other = Authority()
    token = timestamp.stamp(DATA, certificate=authority.leaf, key=other.key, when=NOW)
    assert "not signed by the timestamp authority" in refusal(token, authority.chain)


def test_a_certificate_for_another_use(authority: Authority) -> None:
    issuing = certificates.issue_authority(
        authority.key, name="ca", root=authority.root, root_key=authority.root_key, start=START, end=END
    )
    token = timestamp.stamp(DATA, certificate=issuing, key=authority.key, when=NOW)
    assert "certificate" in refusal(token, (issuing, authority.root))


def test_a_certificate_by_one_that_is_no_authority(authority: Authority) -> None:
    below = certificates.issue_timestamper(
        keys.generate("p256"), name="b", root=authority.leaf, root_key=authority.key, start=START, end=END
    )
    assert "its certificate is unfit" in refusal(authority.stamp(), (below, authority.leaf))


def test_a_key_of_another_curve(authority: Authority) -> None:
    key = keys.generate("p384")
    leaf = certificates.issue_timestamper(
        key, name="tsa", root=authority.root, root_key=authority.root_key, start=START, end=END
    )
    token = timestamp.stamp(DATA, certificate=leaf, key=key, when=NOW)
    assert "its key is not P-256" in refusal(token, (leaf, authority.root))
