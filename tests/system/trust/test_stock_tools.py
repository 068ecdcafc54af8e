"""Programs that we did not write accept what the product signed, without network, and refuse what was changed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.product import ENVIRONMENT, OFFLINE, command
from tests.system.trust import opinions
from tests.system.trust.governed_site import ISSUER, MODEL, Governed, identity, make_governed_site

pytestmark = pytest.mark.integration
APPROVAL = "https://appliance.internal/attestations/approval/v1"
STATEMENT = "https://appliance.internal/attestations/model/v1"
SIGNERS = {APPROVAL: identity("approver"), STATEMENT: identity("data-scientist")}


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Governed:
    return make_governed_site(tmp_path_factory.mktemp("governed"))


@pytest.fixture
def changed(governed: Governed, tmp_path: Path) -> Path:
    """A pack in which one byte of the model file is another one."""
    pack = tmp_path / "pack"
    shutil.copytree(governed.pack, pack)
    path = pack / "artifacts" / MODEL / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return pack


def ends_with(words: Sequence[object]) -> int:
    """Exit code of a program in an empty network namespace."""
    done = subprocess.run(
        [*OFFLINE, *map(str, words)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    print(done.stdout[-2000:], done.stderr[-2000:])  # shown where the test fails
    return done.returncode


def program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def statements_of(pack: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Predicate type -> bundle, and its statement."""
    found = {}
    for path in (pack / "bundles").iterdir():
        payload = json.loads(path.read_bytes())["dsseEnvelope"]["payload"]
        statement = json.loads(base64.b64decode(payload))
        found[statement["predicateType"]] = (path, statement)
    return found


def by_sigstore(pack: Path, kind: str, who: str, file: str) -> int:
    bundle, _ = statements_of(pack)[kind]
    return ends_with(
        [
            *(program("sigstore"), "--trust-config", pack / "trust-config.json", "verify", "identity"),
            *("--bundle", bundle, "--cert-identity", who, "--cert-oidc-issuer", ISSUER),
            pack / "artifacts" / MODEL / file,
        ]
    )


def by_model_signing(pack: Path) -> int:
    """The bundle that the model statement names, over the model's folder."""
    _, statement = statements_of(pack)[STATEMENT]
    bundle = pack / "bundles" / f"{statement['predicate']['model_signing'].removeprefix('sha256:')}.sigstore.json"
    return ends_with(
        [
            *(program("model_signing"), "verify", "sigstore", pack / "artifacts" / MODEL, "--signature", bundle),
            *("--trust_config", pack / "trust-config.json"),
            *("--identity", identity("data-scientist"), "--identity_provider", ISSUER),
        ]
    )


def test_the_network_is_empty() -> None:
    links = subprocess.run([*OFFLINE, "ip", "-brief", "address"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[:2] for line in links.splitlines()] == [["lo", "DOWN"]]


class TestSigstore:
    @pytest.mark.parametrize(("kind", "file"), [(APPROVAL, "package.json"), (STATEMENT, "model.onnx")])
    def test_accepts(self, governed: Governed, kind: str, file: str) -> None:
        assert by_sigstore(governed.pack, kind, SIGNERS[kind], file) == 0

    def test_refuses_a_changed_model(self, changed: Path) -> None:
        assert by_sigstore(changed, STATEMENT, SIGNERS[STATEMENT], "model.onnx") == 1

    def test_refuses_an_approval_by_somebody_else(self, governed: Governed) -> None:
        assert by_sigstore(governed.pack, APPROVAL, identity("data-scientist"), "package.json") == 1


class TestModelSigning:
    def test_accepts(self, governed: Governed) -> None:
        assert by_model_signing(governed.pack) == 0

    def test_refuses_a_changed_model(self, changed: Path) -> None:
        assert by_model_signing(changed) == 1


class TestOurVerifiers:
    """From the pack itself; no statement is about the changed file any more."""

    @pytest.mark.parametrize("name", opinions.BUILDS)
    def test_verifiers_of_the_pack(self, governed: Governed, changed: Path, name: str) -> None:
        verifier = str(governed.pack / "verifiers" / name)
        for pack, step in ((governed.pack, None), (changed, "subject")):
            assert opinions.ask([*OFFLINE, *opinions.command(verifier, str(pack), governed.root_digest)]) == step

    def test_the_auditor(self, governed: Governed, changed: Path) -> None:
        for pack, code in ((governed.pack, 0), (changed, 3)):
            assert ends_with(command("audit", "verify", pack, "--root-digest", governed.root_digest)) == code
