"""A release names every file that it brings: 20,000 subjects are signed, logged, exported and accepted by everybody."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.base.digest import digest_bytes, hex_of
from appliance.trust import keys, rotation, statements
from appliance.trust.ceremony import role_identity
from appliance.trust.signer import Signer
from tests.product import OFFLINE
from tests.system.trust.opinions import ask, command, write_builds
from tests.unit.trust.trusting import TrustingSite, make_site

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SUBJECTS = 20_000
BUILDER = "builder/b1"
SHELL_LIMIT_S = 120
SIGSTORE = Path(sys.executable).with_name("sigstore")


class Builder:
    """The key of a build machine, which holds no role of the site."""

    def __init__(self) -> None:
        self.key = keys.generate("p256")

    def sign(self, role: str, data: bytes) -> bytes:
        return self.key.sign(data)

    def key_id(self, role: str) -> str:
        return keys.key_id(self.key.public)


def content(number: int) -> bytes:
    return b"file %d of the release" % number


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> TrustingSite:
    made = make_site(tmp_path_factory.mktemp("site"))
    write_builds(made.folder)
    return made


@pytest.fixture(scope="module")
def release(site: TrustingSite) -> str:
    """Digest of the signed release statement."""
    builder, enclave = Builder(), site.signer().enclave
    identity = role_identity("north", BUILDER)
    rotation.enroll(
        site.trust, enclave.log(), builder.key.public, role="builder", identity=identity, store=site.store,
        now=site.later(),
    )  # fmt: skip
    statement = statements.release(
        subjects={f"files/{number:05}": digest_bytes(content(number)) for number in range(SUBJECTS)},
        build_type="https://appliance.internal/builds/release/v1",
        parameters={"version": "1.0.0"},
        dependencies={},
        builder=identity,
        started="2026-03-01T11:00:00Z",
        finished="2026-03-01T12:00:00Z",
    )
    Signer(enclave, enclave.log(), builder, site.clock).sign(statement, BUILDER)
    return digest_bytes(statement)


@pytest.fixture(scope="module")
def pack(site: TrustingSite, release: str) -> Path:
    """With the last file of the release."""
    return site.export("pack", artifacts={"last": content(SUBJECTS - 1)})


@pytest.mark.parametrize(("number", "code"), [(SUBJECTS - 1, 0), (SUBJECTS, 1)])
def test_the_unmodified_verifier(pack: Path, release: str, tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "file").write_bytes(content(number))
    asked = [
        *(*OFFLINE, str(SIGSTORE), "--trust-config", str(pack / "trust-config.json"), "verify", "identity"),
        *("--bundle", str(pack / "bundles" / f"{hex_of(release)}.sigstore.json")),
        *("--cert-identity", role_identity("north", BUILDER)),
        *("--cert-oidc-issuer", "https://idp.north.appliance.internal", str(tmp_path / "file")),
    ]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr[-2000:]


def test_the_auditor(site: TrustingSite, pack: Path) -> None:
    verdict = site.audit(pack)
    assert verdict.ok, verdict.text()


@pytest.mark.parametrize("verifier", ["verify.py", "verify.sh"])
def test_the_other_verifiers(site: TrustingSite, pack: Path, verifier: str) -> None:
    start = time.monotonic()
    assert ask(command(str(site.folder / verifier), str(pack), site.root_digest)) is None
    assert time.monotonic() - start < SHELL_LIMIT_S


def test_a_file_that_is_not_of_the_release(site: TrustingSite, pack: Path) -> None:
    other = pack / "artifacts" / "other"
    other.write_bytes(content(SUBJECTS))
    try:
        assert site.audit(pack).step == "subject"
        for verifier in ("verify.py", "verify.sh"):
            assert ask(command(str(site.folder / verifier), str(pack), site.root_digest)) == "subject"
    finally:
        other.unlink()
