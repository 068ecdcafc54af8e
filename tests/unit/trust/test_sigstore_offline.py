"""Bundles verify with the unmodified verifier, in a namespace without network, and only as they were made."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.base.canonical import parse_canonical
from appliance.base.clock import FixedClock
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony, keys, notes, signer, statements
from appliance.trust.signer import Signer
from appliance.trust.sigstore_offline import VerifiedStatement, verify_statement
from tests.unit.trust.conftest import Signing

ARTIFACT = b"what the statement is about"
DIGEST = digest_bytes(ARTIFACT)
KINDS = {
    "training-set": statements.training_set(
        name="t", digest=DIGEST, lineage=DIGEST, files={"rows.parquet": DIGEST}, facts={"rows": 3}
    ),
    "model": statements.model(name="m", package_digest=DIGEST, files={"model.onnx": DIGEST}, predicate={"owner": "o"}),
    "approval": statements.approval(name="m/package.json", subject_digest=DIGEST, predicate={"reason": "checked"}),
}


def verify(signing: Signing, bundle: bytes, role: str = "data-scientist") -> VerifiedStatement:
    return verify_statement(
        bundle, signing.config, identity=signing.enclave.identity(role), issuer=signing.enclave.issuer
    )


@pytest.fixture(scope="module")
def bundle(signing: Signing) -> bytes:
    return signing.signer.sign(KINDS["model"], "data-scientist")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_our_verification(signing: Signing, kind: str) -> None:
    verified = verify(signing, signing.signer.sign(KINDS[kind], "approver"), "approver")
    assert verified.statement == statements.parse_statement(KINDS[kind])
    assert verified.key_id == signing.keys.key_id("approver")
    assert json.loads(signing.signer.enclave.log().entry(verified.log_index))["kind"] == "dsse"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_unmodified_command_line_accepts(signing: Signing, tmp_path: Path, kind: str) -> None:
    assert cli(signing, tmp_path, signing.signer.sign(KINDS[kind], "data-engineer"), "data-engineer") == (0, "")


def test_the_unmodified_command_line_refuses_another_role(signing: Signing, tmp_path: Path, bundle: bytes) -> None:
    code, error = cli(signing, tmp_path, bundle, "approver")
    assert code != 0
    assert "SANs do not match" in error


def cli(signing: Signing, folder: Path, bundle: bytes, role: str) -> tuple[int, str]:
    """`sigstore verify identity` in an empty network namespace."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("needs user and network namespaces")
    (folder / "artifact").write_bytes(ARTIFACT)
    (folder / "bundle.json").write_bytes(bundle)
    command = ["unshare", "-rn", sys.executable, "-m", "sigstore"]
    command += ["--trust-config", str(signing.folder / "trust/trust-config.json"), "verify", "identity"]
    command += ["--bundle", str(folder / "bundle.json"), "--cert-identity", signing.enclave.identity(role)]
    command += ["--cert-oidc-issuer", signing.enclave.issuer, str(folder / "artifact")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr if done.returncode else ""


def test_bundles_are_stored_by_statement(signing: Signing, bundle: bytes) -> None:
    digest = digest_bytes(KINDS["model"])
    assert signer.load_bundle(signing.enclave.bundles, digest) == bundle
    with pytest.raises(ApplianceError) as caught:
        signer.load_bundle(signing.enclave.bundles, digest_bytes(b"other"))
    assert caught.value.code.id == "APL-TRUST-014"


def test_every_certificate_is_in_the_log_with_proof_of_possession(signing: Signing, bundle: bytes) -> None:
    log = signing.enclave.log()
    issued = [parse_canonical(entry) for entry in log.entries() if entry.startswith(b'{"certificate":')]
    raw = json.loads(bundle)["verificationMaterial"]["certificate"]["rawBytes"]
    (entry,) = [entry for entry in issued if entry["certificate"] == raw]
    assert (entry["role"], entry["key_id"]) == ("data-scientist", signing.keys.key_id("data-scientist"))
    from cryptography import x509

    public = x509.load_der_x509_certificate(base64.b64decode(raw)).public_key()
    proof = base64.b64decode(entry["possession"])
    assert keys.is_signature(signing.keys.public("data-scientist"), proof, keys.spki(public))  # type: ignore[arg-type]


def entry_of(document: dict[str, Any]) -> dict[str, Any]:
    entry = document["verificationMaterial"]["tlogEntries"][0]
    assert isinstance(entry, dict)
    return entry


def forged_checkpoint(signing: Signing, document: dict[str, Any], **changes: Any) -> None:
    proof = entry_of(document)["inclusionProof"]
    values = {"origin": "log.north.appliance.internal", "size": int(proof["treeSize"]), **changes}
    # By the log's own key, and marked with its key hash: the unmodified verifier looks no further.
    log = signing.enclave.log().key
    text = notes.checkpoint_text(values["origin"], values["size"], base64.b64decode(proof["rootHash"]))
    signature = base64.b64encode(log.id[:4] + signing.enclave.log_signer.sign(text)).decode()
    proof["checkpoint"]["envelope"] = text.decode() + f"\n\u2014 {log.origin} {signature}\n"


Change = Callable[[Signing, dict[str, Any]], None]


def change_payload(_: Signing, document: dict[str, Any]) -> None:
    payload = base64.b64decode(document["dsseEnvelope"]["payload"]).replace(b'"owner":"o"', b'"owner":"x"')
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


def drop_timestamp(_: Signing, document: dict[str, Any]) -> None:
    del document["verificationMaterial"]["timestampVerificationData"]


def drop_timestamp_and_promise(_: Signing, document: dict[str, Any]) -> None:
    del document["verificationMaterial"]["timestampVerificationData"]
    del entry_of(document)["inclusionPromise"]


def shift_time(_: Signing, document: dict[str, Any]) -> None:
    entry_of(document)["integratedTime"] = str(int(entry_of(document)["integratedTime"]) + 1)


def shift_tree(_: Signing, document: dict[str, Any]) -> None:
    proof = entry_of(document)["inclusionProof"]
    proof["treeSize"] = str(int(proof["treeSize"]) + 1)


def cut_proof(_: Signing, document: dict[str, Any]) -> None:
    entry_of(document)["inclusionProof"]["hashes"].pop()


def add_field(_: Signing, document: dict[str, Any]) -> None:
    document["extra"] = 1


def drop_entries(_: Signing, document: dict[str, Any]) -> None:
    document["verificationMaterial"]["tlogEntries"] = []


def other_origin(signing: Signing, document: dict[str, Any]) -> None:
    forged_checkpoint(signing, document, origin="log.other.appliance.internal")


def other_size(signing: Signing, document: dict[str, Any]) -> None:
    forged_checkpoint(signing, document, size=7_000)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (change_payload, "APL-TRUST-010"),
        (drop_timestamp_and_promise, "APL-TRUST-010"),
        (drop_timestamp, "APL-TRUST-010"),  # accepted by the unmodified verifier
        (shift_time, "APL-TRUST-010"),
        (shift_tree, "APL-TRUST-010"),
        (cut_proof, "APL-TRUST-010"),
        (add_field, "APL-TRUST-010"),
        (drop_entries, "APL-TRUST-010"),
        (other_origin, "APL-TRUST-003"),  # accepted by the unmodified verifier
        (other_size, "APL-TRUST-010"),  # accepted by the unmodified verifier
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_changed_bundles_are_refused(signing: Signing, bundle: bytes, change: Change, code: str) -> None:
    document = copy.deepcopy(json.loads(bundle))
    change(signing, document)
    with pytest.raises(ApplianceError) as caught:
        verify(signing, json.dumps(document).encode())
    assert caught.value.code.id == code


@pytest.mark.parametrize("junk", [b"", b"{}", b"[]", b"null", b"\xff", b'{"mediaType":1}', b"[" * 100_000])
def test_junk_is_refused(signing: Signing, junk: bytes) -> None:
    with pytest.raises(ApplianceError) as caught:
        verify(signing, junk)
    assert caught.value.code.id == "APL-TRUST-010"


def test_no_single_changed_character_verifies(signing: Signing, bundle: bytes) -> None:
    """Every 13th byte: certificate, proof, log entry, time stamp, envelope."""
    for position in range(0, len(bundle), 13):
        bad = bundle[:position] + bytes([bundle[position] ^ 1]) + bundle[position + 1 :]
        with pytest.raises(ApplianceError):
            verify(signing, bad)


def test_another_role_or_site_is_refused(signing: Signing, bundle: bytes, tmp_path: Path) -> None:
    with pytest.raises(ApplianceError, match="roles/approver"):
        verify(signing, bundle, "approver")
    other = ceremony.init_trust(tmp_path / "trust", "north", FixedClock(dt.datetime.now(dt.UTC)), {})
    with pytest.raises(ApplianceError):
        verify_statement(
            bundle, other.trust_config, identity=other.identity("data-scientist"), issuer=signing.enclave.issuer
        )


@pytest.mark.parametrize("years", [0, 4, 9])
def test_statements_outlive_their_certificates(tmp_path: Path, years: int) -> None:
    """Signed years ago, or on a clock ahead of the verifier's: only the times in the bundle count."""
    made = RoleKeys(tmp_path / "keys")
    made.create_all()
    clock = FixedClock(dt.datetime(2021, 5, 1, tzinfo=dt.UTC))
    enclave = ceremony.init_trust(tmp_path / "trust", "north", clock, made.publics())
    clock.at += dt.timedelta(days=365 * years)
    bundle = Signer(enclave, enclave.log(), made, clock).sign(KINDS["model"], "operator")
    verified = verify_statement(
        bundle, enclave.trust_config, identity=enclave.identity("operator"), issuer=enclave.issuer
    )
    assert verified.signed_at == clock.at


def test_what_is_not_a_statement_is_not_signed(signing: Signing) -> None:
    size = signing.enclave.log().size()
    with pytest.raises(ApplianceError) as caught:
        signing.signer.sign(b"{}", "operator")
    assert (caught.value.code.id, signing.enclave.log().size()) == ("APL-TRUST-009", size)


def test_a_bad_trust_config_is_refused(bundle: bytes) -> None:
    with pytest.raises(ApplianceError) as caught:
        verify_statement(bundle, b"{}", identity="x", issuer="y")
    assert caught.value.code.id == "APL-TRUST-012"
