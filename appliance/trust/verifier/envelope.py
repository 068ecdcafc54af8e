"""The form of a Sigstore bundle, and of the log entry about it. Parsing only: nothing here verifies a signature."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from .encoding import conform, decode_base64, parse_json, parse_number
from .verdict import require

MAX_BUNDLE_BYTES = 32 * 1024 * 1024
MAX_TOKENS, MAX_PROOF = 16, 64
_OLD, _NEW = "application/vnd.dev.sigstore.bundle+json;version=0.", "application/vnd.dev.sigstore.bundle.v0.3+json"
_VERSIONS = {f"{_OLD}1": 1, f"{_OLD}2": 2, f"{_OLD}3": 3, _NEW: 3}
DIGESTS = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}
_CERTIFICATE = {"rawBytes": decode_base64}
_PROOF = {
    "logIndex?": parse_number, "treeSize": parse_number, "rootHash": decode_base64, "hashes?": [decode_base64],
    "checkpoint": {"envelope": str},
}  # fmt: skip
_ENTRY = {
    "logId": {"keyId": decode_base64}, "logIndex?": parse_number, "integratedTime?": parse_number,
    "kindVersion": {"kind": str, "version": str}, "canonicalizedBody": decode_base64,
    "inclusionPromise?": {"signedEntryTimestamp": decode_base64}, "inclusionProof?": _PROOF,
}  # fmt: skip
_MESSAGE = {"messageDigest?": {"algorithm": set(DIGESTS), "digest": decode_base64}, "signature": decode_base64}
_SIGNATURE = {"sig": decode_base64, "keyid?": str}
_MATERIAL = {
    "certificate?": _CERTIFICATE, "x509CertificateChain?": {"certificates": [_CERTIFICATE]}, "tlogEntries": [_ENTRY],
    "timestampVerificationData?": {"rfc3161Timestamps?": [{"signedTimestamp": decode_base64}]},
}  # fmt: skip
_BUNDLE = {
    "mediaType": set(_VERSIONS), "verificationMaterial": _MATERIAL, "messageSignature?": _MESSAGE,
    "dsseEnvelope?": {"payload": decode_base64, "payloadType": str, "signatures": [_SIGNATURE]},
}  # fmt: skip
# The one form of a bundle in a pack, with its values blank.
_ONE_FORM = (
    '{"mediaType":"","verificationMaterial":{"certificate":{"rawBytes":""},"tlogEntries":[{"logIndex":"",'
    '"logId":{"keyId":""},"kindVersion":{"kind":"","version":""},"integratedTime":"","inclusionPromise":'
    '{"signedEntryTimestamp":""},"inclusionProof":{"logIndex":"","rootHash":"","treeSize":"","hashes":[],'
    '"checkpoint":{"envelope":""}},"canonicalizedBody":""}],"timestampVerificationData":{"rfc3161Timestamps":'
    '[{"signedTimestamp":""}]}},"dsseEnvelope":{"payload":"","payloadType":"","signatures":[{"sig":""}]}}'
)
# Of each kind of entry: what the hash in it is over, and where in its spec hash, signature and certificate stand. A
# list on the way has one item. Rekor 1 has certificates in PEM and hashes in hex; Rekor 2 has DER and base64.
_KINDS = {
    "hashedrekord/0.0.1": ("signed", "data hash", "signature content", "signature publicKey content"),
    "dsse/0.0.1": ("payload", "payloadHash", "signatures signature", "signatures verifier"),
    "intoto/0.0.2": (
        "payload", "content payloadHash", "content envelope signatures sig", "content envelope signatures publicKey",
    ),
    "hashedrekord/0.0.2": (
        "signed", "hashedRekordV002 data", "hashedRekordV002 signature content",
        "hashedRekordV002 signature verifier x509Certificate rawBytes",
    ),
    "dsse/0.0.2": (
        "payload", "dsseV002 payloadHash", "dsseV002 signatures content",
        "dsseV002 signatures verifier x509Certificate rawBytes",
    ),
}  # fmt: skip


class Bundle:
    """As parsed, unverified. There is an `envelope` or a `message`; they and `entry` are as the forms above say."""

    def __init__(self, data: bytes) -> None:
        require(len(data) <= MAX_BUNDLE_BYTES, f"{len(data)} bytes, at most {MAX_BUNDLE_BYTES} are allowed")
        document = conform(parse_json(data), _BUNDLE)
        self.version = _VERSIONS[document["mediaType"]]
        material = document["verificationMaterial"]
        leaf, chain = material["certificate"], material["x509CertificateChain"]
        require((leaf is None) != (chain is None), "needs a certificate or a chain")
        # The certificates above the leaf must be in the trusted root to count, and need not be here.
        self.certificate: bytes = (leaf or require(chain["certificates"], "an empty chain")[0])["rawBytes"]
        self.message, self.envelope = document["messageSignature"], document["dsseEnvelope"]
        require((self.message is None) != (self.envelope is None), "needs one message or one envelope")
        signature = self.message or {"signature": _only(self.envelope["signatures"], "signature")["sig"]}
        self.signature: bytes = signature["signature"]
        stamps = (material["timestampVerificationData"] or {}).get("rfc3161Timestamps") or []
        require(len(stamps) <= MAX_TOKENS, f"{len(stamps)} timestamps")
        self.tokens: list[bytes] = [each["signedTimestamp"] for each in stamps]
        self.entry = _only(material["tlogEntries"], "log entry")
        self.kind = "{kind}/{version}".format(**self.entry["kindVersion"])
        self.index: int = self.entry["logIndex"] or 0  # ProtoJSON leaves out zeros
        self.body: bytes = self.entry["canonicalizedBody"]  # what is logged: the leaf of the tree
        hashes = (self.entry["inclusionProof"] or {}).get("hashes") or []
        require(len(hashes) <= MAX_PROOF and all(len(each) == 32 for each in hashes), "malformed inclusion proof")


def _only(listed: list[Any], what: str) -> Any:
    require(len(listed) == 1, f"expected one {what}, got {len(listed)}")
    return listed[0]


def check_one_form(data: bytes) -> None:
    """A parsed bundle is spelled as sites write it: no signature covers that."""
    document = json.loads(data)
    require(json.dumps(document, separators=(",", ":")).encode() == data, "not JSON as sites write it")
    require(json.dumps(_blank(document), separators=(",", ":")) == _ONE_FORM, "not the members that sites write")
    (entry,) = document["verificationMaterial"]["tlogEntries"]
    note = entry["inclusionProof"]["checkpoint"]["envelope"]
    require(note.count("\n") == 5, "its checkpoint has not exactly one signature")
    require(document["mediaType"] == _NEW, f"of the media type {document['mediaType']}")


def _blank(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _blank(each) for name, each in value.items()}
    return [_blank(each) for each in value if isinstance(each, dict)] if isinstance(value, list) else ""


def pre_authentication(envelope: dict[str, Any]) -> bytes:
    """What a DSSE signature is over (DSSE protocol, PAE)."""
    kind, payload = envelope["payloadType"].encode(), envelope["payload"]
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def check_entry(bundle: Bundle, certificate: bytes, artifact_hash: Callable[[str], bytes] | None) -> None:
    """The logged body is about this certificate, this signature and what was signed."""
    body = conform(parse_json(bundle.body), {"apiVersion": str, "kind": str, "spec": dict})
    require(f"{body['kind']}/{body['apiVersion']}" == bundle.kind, f"the body is not of kind {bundle.kind}")
    require(bundle.kind in _KINDS, f"entries of kind {bundle.kind[:40]!r} are not known")
    over, hash_place, signature_place, key_place = _KINDS[bundle.kind]
    signature = _at(body["spec"], signature_place, decode_base64)
    if bundle.kind == "intoto/0.0.2":
        signature = decode_base64(signature.decode())  # this kind encodes signatures twice
    require(signature == bundle.signature, "the entry has another signature")
    key = _at(body["spec"], key_place, decode_base64)
    key = key if key_place.endswith("rawBytes") else _from_pem(key)
    require(key == certificate, "the entry has another certificate")
    named = _at(body["spec"], hash_place, {"algorithm": str, "value?": bytes.fromhex, "digest?": decode_base64})
    hash_name = DIGESTS.get(named["algorithm"], named["algorithm"])
    require(hash_name in DIGESTS.values(), f"the entry has hash {hash_name!r}")
    if bundle.envelope:
        signed = bundle.envelope["payload"] if over == "payload" else pre_authentication(bundle.envelope)
        expected = hashlib.new(hash_name, signed).digest()
    else:
        require(over == "signed", "the entry is about an envelope")
        expected = require(artifact_hash, "no artifact was given")(hash_name)
    require((named["value"] or named["digest"]) == expected, "the entry is about something else")


def _at(value: Any, place: str, form: Any) -> Any:
    for name in place.split():
        value = conform(value, {name: object, "*": object}, "the entry")[name]
        value = _only(value, name) if isinstance(value, list) else value
    return conform(value, form, place)


def _from_pem(text: bytes) -> bytes:
    head, *lines, foot = text.decode("ascii").strip().split("\n")
    require(head == "-----BEGIN CERTIFICATE-----" and foot == "-----END CERTIFICATE-----", "not a certificate")
    return decode_base64("".join(lines))
