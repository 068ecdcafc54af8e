"""Signs statements: a Sigstore bundle (v0.3) per statement, made without any network.

Steps of one signature
1. The statement is parsed as strictly as a verifier will parse it, and the clock is checked.
2. A P-256 key is made for this signature alone; the role's key signs its public half (proof of possession).
3. The authority issues a ten-minute certificate with the role's identity and the id of the role's key.
4. The certificate and the DSSE envelope become two entries of the log, in one append; signatures that threads make at
   once share its commit.
5. The bundle gets the log's signed entry timestamp, a timestamp token over the signature bytes, and the inclusion proof
   with the checkpoint. Version 0.0.1 of the entry kind is used: every Sigstore client since 4.0 accepts it.
6. It is stored under the digest of its statement.

A crash after step 4, or a new key of the log just then, leaves entries without a bundle: an unused certificate, visible
to auditors.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509

from appliance.base import atomic
from appliance.base.canonical import canonical
from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import hex_of
from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, keys, notes, timestamp
from appliance.trust.ceremony import Enclave
from appliance.trust.statements import PAYLOAD_TYPE, parse_statement
from appliance.trust.tiles import Tree
from appliance.trust.tlog import TransparencyLog

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
ENTRY_KIND = {"kind": "dsse", "version": "0.0.1"}
NOTE_LINES = 5  # of a checkpoint with one signature: three of text, an empty one, the signature
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
                "role": role.partition("/")[0],
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
        index = self._log.append([issued, body])[-1]
        # The head of that commit or a later one, whose tree holds the entry as well; signed by two keys where the log's
        # was rotated meanwhile.
        head = self._log.checkpoint()
        note, tree = notes.without_others(head, self._log.key), Tree(folder=self._log.folder, size=head.size)
        proof = {
            "logIndex": str(index),
            "rootHash": _base64(head.root),
            "treeSize": str(head.size),
            "hashes": [_base64(each) for each in tree.inclusion(index)],
            "checkpoint": {"envelope": note.decode()},
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
            "kindVersion": ENTRY_KIND,
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
        return _encode(
            certificate=_base64(certificates.to_der(signed.certificate)),
            entry=entry,
            token=_base64(token),
            envelope={"payload": _base64(signed.statement), "payloadType": PAYLOAD_TYPE},
            signature=_base64(signed.signature),
        )


def one_form(bundle: bytes) -> bytes:
    """The bytes that a signer here would have written for the values of a bundle; unverified.

    No signature covers the spelling of a bundle: space between its parts, the order and presence of members, leading
    zeros. Where this gives other bytes than it was given, somebody else wrote or changed them.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it has not the members of a bundle.
    """
    document = json.loads(bundle)
    material, envelope = document["verificationMaterial"], document["dsseEnvelope"]
    (entry,), (signature,) = material["tlogEntries"], envelope["signatures"]
    (stamp,) = material["timestampVerificationData"]["rfc3161Timestamps"]
    proof, note = entry["inclusionProof"], entry["inclusionProof"]["checkpoint"]["envelope"]
    if note.count("\n") != NOTE_LINES:
        raise ValueError("its checkpoint has not exactly one signature")
    written = {
        "logIndex": str(int(entry["logIndex"])),
        "logId": {"keyId": entry["logId"]["keyId"]},
        "kindVersion": ENTRY_KIND,
        "integratedTime": str(int(entry["integratedTime"])),
        "inclusionPromise": {"signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"]},
        "inclusionProof": {
            "logIndex": str(int(proof["logIndex"])),
            "rootHash": proof["rootHash"],
            "treeSize": str(int(proof["treeSize"])),
            "hashes": proof["hashes"],
            "checkpoint": {"envelope": note},
        },
        "canonicalizedBody": entry["canonicalizedBody"],
    }
    return _encode(
        certificate=material["certificate"]["rawBytes"],
        entry=written,
        token=stamp["signedTimestamp"],
        envelope={"payload": envelope["payload"], "payloadType": envelope["payloadType"]},
        signature=signature["sig"],
    )


def _encode(
    *, certificate: str, entry: Mapping[str, Any], token: str, envelope: Mapping[str, str], signature: str
) -> bytes:
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "certificate": {"rawBytes": certificate},
            "tlogEntries": [entry],
            "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": token}]},
        },
        "dsseEnvelope": {**envelope, "signatures": [{"sig": signature}]},
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
