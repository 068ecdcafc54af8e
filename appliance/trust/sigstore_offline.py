"""Verification of signed statements by the unmodified Sigstore verifier, without any network. Owns `sigstore`.

Checks, in this order
1. `sigstore.verify.Verifier` with our trust config: certificate chain, SCT, identity, issuer, log proof, entry
   timestamp, time stamp, DSSE signature, entry body.
2. What it leaves open: the checkpoint is by our log under its own name, its size and root are those of the proof, and
   the entry's index is that of the proof; the time stamp verifies as well (one of two times is enough for Sigstore)
   and says what the log says; base64 has no second spelling.
3. The payload is one of our statements, in canonical form.
4. The certificate names the role key that asked for it.

The caller checks that the statement is about the artifact at hand: `VerifiedStatement.statement.subjects`.
Not checked here: revocation, witnesses, key lifetimes, and that the log has not forked since.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, notes, timestamp, trust_config
from appliance.trust.signer import MAX_BUNDLE_BYTES
from appliance.trust.statements import PAYLOAD_TYPE, Statement, parse_statement

if TYPE_CHECKING:
    from sigstore.verify import Verifier

# Everything that a hostile bundle was seen to raise from the verifier and the parsers below it. `ValueError` covers
# pydantic; a bundle with an Ed25519 leaf ends in a TypeError, a time beyond all calendars in an OverflowError or, on
# some platforms, an OSError (sigstore 4.5.1).
_REFUSALS = (
    ValueError,
    OverflowError,
    OSError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    RecursionError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.DuplicateExtension,
)
_LOG_FIELDS = ("keyId", "signedEntryTimestamp", "rootHash", "hashes", "canonicalizedBody")
_BASE64 = frozenset((*_LOG_FIELDS, "rawBytes", "signedTimestamp", "payload", "sig"))


@dataclass(frozen=True, kw_only=True)
class VerifiedStatement:
    """A statement whose signature holds.

    Attributes:
        identity: SAN of the signer.
        key_id: of the role key that asked for the certificate.
        log_index: place of the signature in the transparency log.
        signed_at: time that the log and the timestamp authority signed for.
        log: that the proof is by.
        head: tree that the proof leads to.
        entry: the logged body.
        certificate: digest of the leaf (DER).
        issuing, timestamper: authorities whose certificates were used.
        ct: SHA-256 of the SPKI of the CT key.
    """

    statement: Statement
    identity: str
    key_id: str
    log_index: int
    signed_at: dt.datetime
    log: notes.LogKey
    head: notes.Checkpoint
    entry: bytes
    certificate: str
    issuing: x509.Certificate
    timestamper: x509.Certificate
    ct: bytes


def verify_statement(bundle: bytes, config: bytes, *, identity: str, issuer: str) -> VerifiedStatement:
    """Verify a bundle with the trust config `config`.

    Raises:
        ApplianceError: APL-TRUST-010 it does not verify, APL-TRUST-009 its payload is not a statement of ours,
            APL-TRUST-003 its checkpoint is not by our log, APL-TRUST-012 the trust config is not valid.
    """
    # Imported here: it takes 0.4 s, which commands that verify nothing need not pay.
    from sigstore.errors import Error
    from sigstore.models import Bundle
    from sigstore.verify import policy

    if len(bundle) > MAX_BUNDLE_BYTES:
        raise ApplianceError(
            codes.SIGNATURE_REFUSED, f"bundle of {len(bundle)} bytes, at most {MAX_BUNDLE_BYTES} are allowed"
        )
    verifier = _verifier(config)
    try:
        parsed = Bundle.from_json(bundle)
        kind, payload = verifier.verify_dsse(parsed, policy.Identity(identity=identity, issuer=issuer))
        certificate = parsed.signing_certificate
        key_id = certificates.token_subject(certificate)
        document = json.loads(bundle)
    except (Error, *_REFUSALS) as error:
        raise ApplianceError(codes.SIGNATURE_REFUSED, f"expected a signature by {identity}: {error}") from error
    if kind != PAYLOAD_TYPE:
        raise ApplianceError(codes.SIGNATURE_REFUSED, f"expected payload type {PAYLOAD_TYPE}, got {kind}")
    _check_spelling(document)
    trusted = _trusted(config)
    log, head, index, signed_at = _check_proof(document, trusted.logs)
    timestamper = _check_timestamp(document, trusted.timestampers, signed_at)
    if key_id is None:
        raise ApplianceError(codes.SIGNATURE_REFUSED, "the certificate names no role key")
    return VerifiedStatement(
        statement=parse_statement(payload),
        identity=identity,
        key_id=key_id,
        log_index=index,
        signed_at=signed_at,
        log=log,
        head=head,
        entry=notes.decode_base64(document["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"]),
        certificate=digest_bytes(certificates.to_der(certificate)),
        issuing=_issuer(certificate, trusted.authorities),
        timestamper=timestamper,
        ct=certificates.ct_log_id(certificate),
    )


def claimed_identity(bundle: bytes) -> str:
    """The identity in a bundle's certificate, unverified: what to ask `verify_statement` for.

    Raises:
        ApplianceError: APL-TRUST-010, there is none that can be read.
    """
    try:
        raw = json.loads(bundle)["verificationMaterial"]["certificate"]["rawBytes"]
        certificate = x509.load_der_x509_certificate(notes.decode_base64(raw))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (identity,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except _REFUSALS as error:
        raise ApplianceError(codes.SIGNATURE_REFUSED, f"the bundle names no signer: {error!r}") from error
    return identity


def _issuer(
    certificate: x509.Certificate, authorities: tuple[tuple[x509.Certificate, x509.Certificate], ...]
) -> x509.Certificate:
    # Sigstore verified the certificate with one of these, whose subject is its issuer (RFC 5280 section 6.1.3). Only
    # where several bear that name must the signature tell which: it costs a tenth of the verification.
    named = {each for chain in authorities for each in chain if each.subject == certificate.issuer}
    for issuing, _ in authorities:
        if named == {issuing}:
            return issuing
        try:
            certificate.verify_directly_issued_by(issuing)
        except _REFUSALS:
            continue
        return issuing
    raise ApplianceError(codes.SIGNATURE_REFUSED, "the certificate is by no authority of the trust config")


@functools.lru_cache(maxsize=4)
def _verifier(config: bytes) -> Verifier:
    from sigstore.errors import Error
    from sigstore.models import ClientTrustConfig
    from sigstore.verify import Verifier

    try:
        return Verifier(trusted_root=ClientTrustConfig.from_json(config.decode()).trusted_root)
    except (Error, *_REFUSALS) as error:
        raise ApplianceError(codes.TRUST_CONFIG_INVALID, str(error)) from error


@functools.lru_cache(maxsize=4)
def _trusted(config: bytes) -> trust_config.TrustedKeys:
    return trust_config.parse(config)


def _check_spelling(value: Any, name: str = "") -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _check_spelling(each, key)
    elif isinstance(value, list):
        for each in value:
            _check_spelling(each, name)
    elif name in _BASE64:
        try:
            notes.decode_base64(value)
        except _REFUSALS as error:
            raise ApplianceError(codes.SIGNATURE_REFUSED, f"{name} has another spelling: {error}") from error


def _check_proof(
    document: dict[str, Any], logs: tuple[notes.LogKey, ...]
) -> tuple[notes.LogKey, notes.Checkpoint, int, dt.datetime]:
    try:
        (entry,) = document["verificationMaterial"]["tlogEntries"]
        log_id = notes.decode_base64(entry["logId"]["keyId"])
        proof = entry["inclusionProof"]
        note = proof["checkpoint"]["envelope"].encode()
        index, size = int(proof["logIndex"]), int(proof["treeSize"])
        root = notes.decode_base64(proof["rootHash"])
        entry_index = int(entry["logIndex"])
        signed_at = dt.datetime.fromtimestamp(int(entry["integratedTime"]), dt.UTC)
    except _REFUSALS as error:
        raise ApplianceError(codes.SIGNATURE_REFUSED, f"the log proof is malformed: {error!r}") from error
    log = next((each for each in logs if each.id == log_id), None)
    if log is None:
        raise ApplianceError(codes.SIGNATURE_REFUSED, f"the log {log_id.hex()} is not in the trust config")
    head = notes.open_checkpoint(note, log, where="checkpoint of the bundle")
    if (head.size, head.root) != (size, root):
        raise ApplianceError(
            codes.SIGNATURE_REFUSED, f"the proof is for {size} entries, its checkpoint signs {head.size}"
        )
    if entry_index != index:
        raise ApplianceError(codes.SIGNATURE_REFUSED, f"the entry says index {entry_index}, its proof {index}")
    return log, head, index, signed_at


def _check_timestamp(
    document: dict[str, Any],
    chains: tuple[tuple[x509.Certificate, x509.Certificate], ...],
    signed_at: dt.datetime,
) -> x509.Certificate:
    try:
        stamps = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
        (token,) = [notes.decode_base64(stamp["signedTimestamp"]) for stamp in stamps]
        (signature,) = [notes.decode_base64(each["sig"]) for each in document["dsseEnvelope"]["signatures"]]
    except _REFUSALS as error:
        raise ApplianceError(codes.SIGNATURE_REFUSED, f"the timestamp is malformed: {error!r}") from error
    chain = timestamp.chain_of(token, chains)
    stamped_at = timestamp.verify(token, signature, chain=chain)
    if stamped_at != signed_at:
        raise ApplianceError(
            codes.SIGNATURE_REFUSED, f"the log says {signed_at.isoformat()}, the timestamp {stamped_at.isoformat()}"
        )
    return chain[0]
