"""Kinds of bundles that verify, and defects: a change to a good one with promise, proof and token, and its step."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from tests.unit.trust.verifier.sigstore_maker import ORIGIN, text

Document = dict[str, Any]


KINDS = {
    "Rekor 1, message": {"kind": "hashedrekord/0.0.1"},
    "Rekor 1, message and token": {"kind": "hashedrekord/0.0.1", "token": True},
    "Rekor 1, message, only a token": {"kind": "hashedrekord/0.0.1", "token": True, "promise": False},
    "Rekor 1, envelope": {"kind": "dsse/0.0.1"},
    "Rekor 1, intoto": {"kind": "intoto/0.0.2"},
    "Rekor 1, bundle 0.2, several trees": {"kind": "dsse/0.0.1", "version": 2, "global_index": 9_000_000},
    "Rekor 1, bundle 0.1, promise only": {"kind": "hashedrekord/0.0.1", "version": 1, "proof": False},
    "Rekor 2, message": {"kind": "hashedrekord/0.0.2"},
    "Rekor 2, envelope": {"kind": "dsse/0.0.2"},
    "Rekor 2, envelope as record": {"kind": "hashedrekord/0.0.2", "dsse": True},
}


def entry_of(document: Document) -> Document:
    found: Document = document["verificationMaterial"]["tlogEntries"][0]
    return found


def flip(value: str, where: int = -1) -> str:
    raw = bytearray(base64.b64decode(value))
    raw[where] ^= 1
    return text(bytes(raw))


def at(path: str, change: Callable[[Any], Any]) -> Callable[[Document], None]:
    def apply(document: Document) -> None:
        *above, last = path.split(".")
        place: Any = document
        for name in above:
            place = place[int(name)] if name.isdigit() else place[name]
        key: Any = int(last) if last.isdigit() else last
        place[key] = change(place[key])

    return apply


def drop(path: str) -> Callable[[Document], None]:
    def apply(document: Document) -> None:
        *above, last = path.split(".")
        place: Any = document
        for name in above:
            place = place[int(name)] if name.isdigit() else place[name]
        del place[last]

    return apply


ENTRY = "verificationMaterial.tlogEntries.0"


STAMPS = "verificationMaterial.timestampVerificationData.rfc3161Timestamps"


DEFECTS: dict[str, tuple[Callable[[Document], Any], str]] = {
    "an unknown member": (lambda d: d.update(extra=1), "format"),
    "another media type": (at("mediaType", lambda _: "application/json"), "format"),
    "no content": (drop("dsseEnvelope"), "format"),
    "two contents": (lambda d: d.update(messageSignature={"signature": ""}), "format"),
    "two entries": (at("verificationMaterial.tlogEntries", lambda x: x * 2), "format"),
    "no entry": (at("verificationMaterial.tlogEntries", lambda _: []), "format"),
    "two signatures": (at("dsseEnvelope.signatures", lambda x: x * 2), "format"),
    "an index with a sign": (at(f"{ENTRY}.logIndex", lambda _: "+2"), "format"),
    "an index that is a number": (at(f"{ENTRY}.logIndex", lambda _: 2), "format"),
    "a great index": (at(f"{ENTRY}.logIndex", lambda _: "9" * 40), "format"),
    "a proof of many hashes": (at(f"{ENTRY}.inclusionProof.hashes", lambda x: x * 40), "format"),
    "a short hash": (at(f"{ENTRY}.inclusionProof.hashes.0", lambda _: "AAAA"), "format"),
    "base64 without padding": (at("dsseEnvelope.payload", lambda x: x.rstrip("=") if "=" in x else x[:-1]), "format"),
    "a key instead of a certificate": (at("verificationMaterial", lambda x: {**x, "publicKey": {}}), "format"),
    "many tokens": (at(STAMPS, lambda x: x * 17), "format"),
    "the certificate is altered": (at("verificationMaterial.certificate.rawBytes", flip), "certificate"),
    "the certificate has a tail": (
        at("verificationMaterial.certificate.rawBytes", lambda x: text(base64.b64decode(x) + b"\0")),
        "certificate",
    ),
    "the signature is altered": (at("dsseEnvelope.signatures.0.sig", flip), "signature"),
    "the payload type is another": (at("dsseEnvelope.payloadType", lambda _: "text/plain"), "signature"),
    "another log": (at(f"{ENTRY}.logId.keyId", flip), "promise"),
    "the promise is altered": (at(f"{ENTRY}.inclusionPromise.signedEntryTimestamp", flip), "promise"),
    "the time is moved": (at(f"{ENTRY}.integratedTime", lambda x: str(int(x) + 1)), "promise"),
    "the promised index is moved": (at(f"{ENTRY}.logIndex", lambda _: "3"), "promise"),
    "the token is altered": (at(f"{STAMPS}.0.signedTimestamp", flip), "timestamp"),
    "the token is of something else": (at(f"{STAMPS}.0.signedTimestamp", lambda x: flip(x, 120)), "timestamp"),
    "the token has a tail": (
        at(f"{STAMPS}.0.signedTimestamp", lambda x: text(base64.b64decode(x) + b"\0")),
        "timestamp",
    ),
    "no signed time": (lambda d: (drop(f"{ENTRY}.inclusionPromise")(d), at(STAMPS, lambda _: [])(d)), "time"),
    "no proof": (drop(f"{ENTRY}.inclusionProof"), "inclusion"),
    "the tree size is another": (at(f"{ENTRY}.inclusionProof.treeSize", lambda _: "6"), "inclusion"),
    "the root hash is another": (at(f"{ENTRY}.inclusionProof.rootHash", flip), "inclusion"),
    "a hash of the proof is altered": (at(f"{ENTRY}.inclusionProof.hashes.0", flip), "inclusion"),
    "the proof is short": (at(f"{ENTRY}.inclusionProof.hashes", lambda x: x[:-1]), "inclusion"),
    "the proof is long": (at(f"{ENTRY}.inclusionProof.hashes", lambda x: [*x, x[0]]), "inclusion"),
    "the proof's index is another": (at(f"{ENTRY}.inclusionProof.logIndex", lambda _: "3"), "inclusion"),
    "the checkpoint is edited": (
        at(f"{ENTRY}.inclusionProof.checkpoint.envelope", lambda x: x.replace("\n5\n", "\n6\n")),
        "inclusion",
    ),
    "the checkpoint's line has another name": (
        at(f"{ENTRY}.inclusionProof.checkpoint.envelope", lambda x: x.replace(f"\u2014 {ORIGIN}", "\u2014 other")),
        "inclusion",
    ),
    "the checkpoint has no lines": (
        at(f"{ENTRY}.inclusionProof.checkpoint.envelope", lambda x: x.partition("\n\n")[0] + "\n\n"),
        "inclusion",
    ),
    "the body is of another kind": (at(f"{ENTRY}.kindVersion.version", lambda _: "0.0.9"), "entry"),
}
