"""Signs statements: a Sigstore bundle (v0.3) per statement, made without any network.

Steps of one signature
1. The statement is parsed as strictly as a verifier will parse it, and the clock is checked.
2. A P-256 key is made for this signature alone; the role's key signs its public half (proof of possession).
3. The authority issues a ten-minute certificate with the role's identity and the id of the role's key.
4. The certificate and the DSSE envelope become two entries of the log, in one append.
5. The bundle gets the log's signed entry timestamp, a timestamp token over the signature bytes, and the inclusion proof
   with the checkpoint. Version 0.0.1 of the entry kind is used: every Sigstore client since 4.0 accepts it.
6. It is stored under the digest of its statement.

A crash after step 4 leaves entries without a bundle: an unused certificate, visible to auditors.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509

from appliance.base import atomic
from appliance.base.canonical import canonical
from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import hex_of
from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, keys, timestamp
from appliance.trust.ceremony import Enclave
from appliance.trust.statements import PAYLOAD_TYPE, parse_statement
from appliance.trust.tlog import TransparencyLog

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MAX_BUNDLE_BYTES = 32 * 1024 * 1024  # a statement in base64 and its proofs


class RoleSigner(Protocol):
    """The role keys; `governance.roles.RoleKeys` is one."""

    def sign(self, role: str, data: bytes) -> bytes: ...

    def key_id(self, role: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class _Signed:
    statement: bytes
    certificate: x509.Certificate
    signature: bytes
    when: dt.datetime


class Signer:
    """Signs for the roles whose keys `roles` holds."""

    def __init__(self, enclave: Enclave, log: TransparencyLog, roles: RoleSigner, clock: Clock) -> None:
        self.enclave = enclave
        self._log = log
        self._roles = roles
        self._clock = clock

    def sign(self, statement: bytes, role: str) -> bytes:
        """The bundle, which is also stored under ``bundles/``.

        Raises:
            ApplianceError: APL-TRUST-009 not a statement, APL-TRUST-013 the clock is off, APL-BASE-002 nothing can be
                written, or the errors of the role's key and of `TransparencyLog.append`.
        """
        parsed = parse_statement(statement)
        now = self._clock.now()
        self.enclave.check_clock(now)
        leaf = keys.generate("p256")
        possession = self._roles.sign(role, keys.spki(leaf.public))
        certificate = certificates.issue_leaf(
            leaf.public,
            identity=self.enclave.identity(role),
            issuer=self.enclave.issuer,
            token_subject=self._roles.key_id(role),
            authority=self.enclave.authority,
            authority_key=self.enclave.authority_key,
            ct_key=self.enclave.ct_key,
            now=now,
        )
        signed = _Signed(
            statement=statement,
            certificate=certificate,
            signature=leaf.sign(pre_authentication(statement)),
            when=now,
        )
        issued = canonical(
            {
                "kind": "certificate",
                "role": role,
                "key_id": self._roles.key_id(role),
                "possession": _base64(possession),
                "certificate": _base64(certificates.to_der(certificate)),
                "time": rfc3339(now),
            }
        )
        bundle = self._enter(signed, issued)
        atomic.write_bytes(bundle_path(self.enclave.bundles, parsed.digest), bundle)
        return bundle

    def _enter(self, signed: _Signed, issued: bytes) -> bytes:
        body = _entry_body(signed)
        with self._log.writing() as writer:
            index = writer.append([issued, body])[-1]
            head, tree = writer.checkpoint(), writer.tree
            proof = {
                "logIndex": str(index),
                "rootHash": _base64(head.root),
                "treeSize": str(head.size),
                "hashes": [_base64(each) for each in tree.inclusion(index)],
                "checkpoint": {"envelope": head.note.decode()},
            }
        integrated_s = int(signed.when.timestamp())
        promise = canonical(
            {
                "body": _base64(body),
                "integratedTime": integrated_s,
                "logID": self._log.key.id.hex(),
                "logIndex": index,
            }
        )
        entry = {
            "logIndex": str(index),
            "logId": {"keyId": _base64(self._log.key.id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(integrated_s),
            "inclusionPromise": {"signedEntryTimestamp": _base64(self.enclave.log_signer.sign(promise))},
            "inclusionProof": proof,
            "canonicalizedBody": _base64(body),
        }
        token = timestamp.stamp(
            signed.signature,
            certificate=self.enclave.timestamper,
            key=self.enclave.timestamp_key,
            when=signed.when,
        )
        bundle: dict[str, Any] = {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {
                "certificate": {"rawBytes": _base64(certificates.to_der(signed.certificate))},
                "tlogEntries": [entry],
                "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": _base64(token)}]},
            },
            "dsseEnvelope": {
                "payload": _base64(signed.statement),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": _base64(signed.signature)}],
            },
        }
        return json.dumps(bundle, separators=(",", ":")).encode()


def pre_authentication(payload: bytes) -> bytes:
    """What a DSSE signature is over."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def bundle_path(folder: Path, statement_digest: str) -> Path:
    return folder / f"{hex_of(statement_digest)}.sigstore.json"


def load_bundle(folder: Path, statement_digest: str) -> bytes:
    """Raises:
    ApplianceError: APL-TRUST-014.
    """
    path = bundle_path(folder, statement_digest)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ApplianceError(
            codes.BUNDLE_MISSING, f"statement {statement_digest}: {error.strerror}", where=str(path)
        ) from error


def _entry_body(signed: _Signed) -> bytes:
    envelope = canonical(
        {
            "payload": _base64(signed.statement),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": _base64(signed.signature)}],
        }
    )
    return canonical(
        {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(envelope).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(signed.statement).hexdigest()},
                "signatures": [
                    {
                        "signature": _base64(signed.signature),
                        "verifier": _base64(certificates.to_pem(signed.certificate)),
                    }
                ],
            },
        }
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
