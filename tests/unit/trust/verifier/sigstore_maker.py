"""Makes Sigstore bundles of every kind that our own signer does not write, and the trusted root to judge them by.

Timestamps are by `openssl ts`: a token of somebody else's making.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.base.canonical import canonical
from appliance.trust import cosignatures, merkle
from tests.unit.trust.verifier.pack_maker import WITNESSES, witness_key

ARTIFACT = b"what was signed"
IDENTITY, ISSUER = "https://example.org/releases", "https://idp.example.org"
ORIGIN = "log.example.org"
FULCIO = "1.3.6.1.4.1.57264.1"
Key = Any
DETAILS = {
    "p256": "PKIX_ECDSA_P256_SHA_256",
    "p384": "PKIX_ECDSA_P384_SHA_384",
    "rsa": "PKIX_RSA_PKCS1V15_2048_SHA256",
    "ed25519": "PKIX_ED25519",
}
TS_CONFIG = """
[tsa]
default_tsa = t
[t]
serial = {folder}/serial
default_policy = 1.2.3.4
digests = sha256, sha384
signer_digest = {digest}
ess_cert_id_alg = sha256
ess_cert_id_chain = no
ordering = no
"""


def make_key(kind: str) -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1())


def hash_of(key: Key) -> hashes.HashAlgorithm | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    strong = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1"
    return hashes.SHA384() if strong else hashes.SHA256()


def sign(key: Key, data: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hash_of(key))  # type: ignore[arg-type]
    return bytes(key.sign(data, ec.ECDSA(hash_of(key))))


def spki(key: Key) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.DER, form))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


@dataclass
class Scene:
    """A private Sigstore; the fields say of which kinds its keys are."""

    folder: Path
    ca: str = "p384"
    ct: str = "p256"
    log: str = "p256"
    tsa: str = "rsa"
    leaf: str = "p256"
    when: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC).replace(microsecond=0))

    def __post_init__(self) -> None:
        self.root_key, self.issuing_key, self.tsa_key = (make_key(self.ca), make_key(self.ca), make_key(self.tsa))
        self.ct_key, self.log_key = make_key(self.ct), make_key(self.log)
        self.root = self._authority("root", self.root_key, "root", self.root_key, 1)
        self.issuing = self._authority("issuing", self.issuing_key, "root", self.root_key, 0)
        self.stamper = (
            self._builder("time", self.tsa_key, "root")
            .add_extension(usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .add_extension(above(self.root_key), critical=False)
            .sign(self.root_key, hash_of(self.root_key))  # type: ignore[arg-type]
        )
        if self.log == "ed25519":
            raw = spki(self.log_key)[-32:]
            self.log_id = hashlib.sha256(ORIGIN.encode() + b"\n\1" + raw).digest()
        else:
            self.log_id = hashlib.sha256(spki(self.log_key)).digest()

    def _builder(self, name: str, key: Key, issuer: str) -> x509.CertificateBuilder:
        subject, above = ([x509.NameAttribute(NameOID.COMMON_NAME, each)] for each in (name, issuer))
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(x509.Name(above))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.when - dt.timedelta(days=10))
            .not_valid_after(self.when + dt.timedelta(days=10))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    def _authority(self, name: str, key: Key, issuer: str, issuer_key: Key, length: int) -> x509.Certificate:
        return (
            self._builder(name, key, issuer)
            .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
            .add_extension(above(issuer_key), critical=False)
            .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(issuer_key, hash_of(issuer_key))  # type: ignore[arg-type]
        )

    def certify(
        self, key: Key, *, scts: int = 1, names: int = 1, code: bool = True, days: int = 0, authority: bool = False
    ) -> x509.Certificate:
        """A leaf; the arguments after the key are places for defects."""
        start = self.when - dt.timedelta(minutes=5) + dt.timedelta(days=days)
        purpose = ExtendedKeyUsageOID.CODE_SIGNING if code else ExtendedKeyUsageOID.SERVER_AUTH
        sans = [x509.UniformResourceIdentifier(IDENTITY), x509.UniformResourceIdentifier("https://other.example")]
        utf8 = b"\x0c" + bytes([len(ISSUER)]) + ISSUER.encode()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.issuing.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(minutes=10))
            .add_extension(usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(sans[:names]), critical=True)
            .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{FULCIO}.1"), ISSUER.encode()), False)
            .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{FULCIO}.8"), utf8), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(above(self.issuing_key), critical=False)
        )
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        algorithm = hash_of(self.issuing_key)
        if scts:
            bare = builder.sign(self.issuing_key, algorithm).tbs_certificate_bytes  # type: ignore[arg-type]
            listed = b"".join(self._sct(bare) for _ in range(scts))
            listed = struct.pack(">H", len(listed)) + listed
            value = b"\x04" + length(len(listed)) + listed
            oid = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        return builder.sign(self.issuing_key, algorithm)  # type: ignore[arg-type]

    def _sct(self, tbs: bytes) -> bytes:
        stamp = struct.pack(">Q", int(self.when.timestamp() * 1000))
        issuer = hashlib.sha256(spki(self.issuing_key)).digest()
        signed = b"\0\0" + stamp + b"\0\1" + issuer + len(tbs).to_bytes(3, "big") + tbs + b"\0\0"
        algorithms = {"p256": b"\4\3", "p384": b"\5\3", "rsa": b"\4\1", "ed25519": b"\x08\x07"}[self.ct]
        signature = sign(self.ct_key, signed)
        sct = b"\0" + hashlib.sha256(spki(self.ct_key)).digest() + stamp + b"\0\0" + algorithms
        sct += struct.pack(">H", len(signature)) + signature
        return struct.pack(">H", len(sct)) + sct

    def stamp(self, data: bytes) -> bytes:
        """An RFC 3161 response over `data`, now."""
        folder = self.folder
        digest = "sha384" if self.tsa == "p384" else "sha256"
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / "tsa.key").write_bytes(self.tsa_key.private_bytes(*form))
        (folder / "tsa.pem").write_bytes(pem(self.stamper))
        (folder / "data").write_bytes(data)
        (folder / "tsa.cnf").write_text(TS_CONFIG.format(folder=folder, digest=digest))
        query = ["openssl", "ts", "-query", "-data", "data", "-sha256", "-cert", "-no_nonce", "-out", "query"]
        reply = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-inkey", "tsa.key"]
        for command in (query, [*reply, "-signer", "tsa.pem", "-out", "token"]):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "token").read_bytes()

    def bundle(self, kind: str = "hashedrekord/0.0.1", **changes: Any) -> dict[str, Any]:
        """A bundle whose log entry is of this kind.

        Args:
            changes: `leaf` and `certificate` of another making, `version`, `promise` and `token` to leave one out,
                `names` of witnesses, `global_index` of a log that counts over several trees.
        """
        leaf = changes.get("leaf") or make_key(self.leaf)
        certificate = changes.get("certificate") or self.certify(leaf)
        dsse = not kind.startswith("hashedrekord") or changes.get("dsse", False)
        payload = statement()
        signed = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload) if dsse else ARTIFACT
        signature = sign(leaf, signed)
        body = canonical(entry(kind, certificate, signature, signed, payload))
        envelope = {
            "payload": text(payload),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": text(signature)}],
        }
        name = "sha384" if hash_of(leaf) and hash_of(leaf).name == "sha384" else "sha256"  # type: ignore[union-attr]
        digest = {"algorithm": f"SHA2_{name[3:]}", "digest": text(hashlib.new(name, ARTIFACT).digest())}
        message = {"messageDigest": digest, "signature": text(signature)}
        new = kind.endswith("0.0.2") and not kind.startswith("intoto")
        material: dict[str, Any] = {
            "certificate": {"rawBytes": text(der(certificate))},
            "tlogEntries": [self._entered(kind, body, new, changes)],
        }
        if changes.get("token", new):
            material["timestampVerificationData"] = {
                "rfc3161Timestamps": [{"signedTimestamp": text(self.stamp(signature))}]
            }
        version = changes.get("version", 3)
        if version < 3:
            chain = [{"rawBytes": text(der(each))} for each in (certificate, self.issuing)]
            material["x509CertificateChain"] = {"certificates": chain}
            del material["certificate"]
        media = f"application/vnd.dev.sigstore.bundle+json;version=0.{version}"
        content = {"dsseEnvelope": envelope} if dsse else {"messageSignature": message}
        return {"mediaType": media, "verificationMaterial": material, **content}

    def _entered(self, kind: str, body: bytes, new: bool, changes: dict[str, Any]) -> dict[str, Any]:
        leaves = [merkle.leaf_hash(each) for each in (b"before", b"and before", body, b"after", b"and after")]

        def subtree(low: int, high: int) -> bytes:
            return merkle.root(leaves[low:high])

        root, path = merkle.root(leaves), merkle.inclusion_path(2, 5, subtree)
        origin = f"{ORIGIN} - 1234567890" if changes.get("global_index") else ORIGIN
        note = f"{origin}\n5\n{text(root)}\n".encode()
        note += f"\n\u2014 {ORIGIN} {text(self.log_id[:4] + sign(self.log_key, note))}\n".encode()
        for each in changes.get("names", ()):
            when = int(self.when.timestamp())
            note += cosignatures.cosign(WITNESSES[each], witness_key(each), note, when).encode()
        index = changes.get("global_index", 2)
        made: dict[str, Any] = {
            "logIndex": str(index),
            "logId": {"keyId": text(self.log_id)},
            "kindVersion": dict(zip(("kind", "version"), kind.split("/"), strict=True)),
            "integratedTime": "0",
            "canonicalizedBody": text(body),
            "inclusionProof": {
                "logIndex": "2",
                "rootHash": text(root),
                "treeSize": "5",
                "hashes": [text(each) for each in path],
                "checkpoint": {"envelope": note.decode()},
            },
        }
        if changes.get("promise", not new):
            seconds = int(self.when.timestamp())
            made["integratedTime"] = str(seconds)
            promise = {
                "body": text(body),
                "integratedTime": seconds,
                "logID": self.log_id.hex(),
                "logIndex": index,
            }
            made["inclusionPromise"] = {"signedEntryTimestamp": text(sign(self.log_key, canonical(promise)))}
        if changes.get("proof") is False:
            del made["inclusionProof"]
        return made

    def trusted_root(self, **periods: dict[str, str]) -> dict[str, Any]:
        """`periods` maps tlogs, ctlogs, certificateAuthorities or timestampAuthorities to a validFor."""

        def valid(name: str) -> dict[str, str]:
            return periods.get(name, {"start": "1970-01-01T00:00:00.000Z"})

        def log(name: str, kind: str, key: Key, log_id: bytes, url: str) -> dict[str, Any]:
            public = {"rawBytes": text(spki(key)), "keyDetails": DETAILS[kind], "validFor": valid(name)}
            return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": {"keyId": text(log_id)}}

        def authority(name: str, *chain: x509.Certificate) -> dict[str, Any]:
            listed = [{"rawBytes": text(der(each))} for each in chain]
            subject = {"organization": "example", "commonName": name}
            return {
                "subject": subject,
                "uri": "https://ca",
                "certChain": {"certificates": listed},
                "validFor": valid(name),
            }

        ct_id = hashlib.sha256(spki(self.ct_key)).digest()
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log("tlogs", self.log, self.log_key, self.log_id, f"https://{ORIGIN}")],
            "ctlogs": [log("ctlogs", self.ct, self.ct_key, ct_id, "https://ct.example.org")],
            "certificateAuthorities": [authority("certificateAuthorities", self.issuing, self.root)],
            "timestampAuthorities": [authority("timestampAuthorities", self.stamper, self.root)],
        }


def statement(digest: str = hashlib.sha256(ARTIFACT).hexdigest()) -> bytes:
    subject = [{"name": "artifact", "digest": {"sha256": digest}}]
    form = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "x",
        "predicate": {"f": 0.5},
    }
    return json.dumps(form).encode()


def entry(kind: str, certificate: x509.Certificate, signature: bytes, signed: bytes, payload: bytes) -> dict[str, Any]:
    """The body of a log entry."""
    name, version = kind.split("/")
    algorithm = certificate.public_key()
    strong = isinstance(algorithm, ec.EllipticCurvePublicKey) and algorithm.curve.name == "secp384r1"
    hash_name = "sha384" if strong else "sha256"
    hashed = hashlib.new(hash_name, signed).digest()
    over = hashlib.sha256(payload).digest()
    old = {"algorithm": "sha256", "value": over.hex()}
    new = {
        "content": text(signature),
        "verifier": {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": text(der(certificate))}},
    }
    key = text(pem(certificate))
    spec: dict[str, Any] = {
        "hashedrekord/0.0.1": {
            "data": {"hash": {"algorithm": hash_name, "value": hashed.hex()}},
            "signature": {"content": text(signature), "publicKey": {"content": key}},
        },
        "dsse/0.0.1": {
            "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
            "payloadHash": old,
            "signatures": [{"signature": text(signature), "verifier": key}],
        },
        "intoto/0.0.2": {
            "content": {
                "envelope": {
                    "payloadType": "application/vnd.in-toto+json",
                    "signatures": [{"publicKey": key, "sig": text(text(signature).encode())}],
                },
                "hash": old,
                "payloadHash": old,
            }
        },
        "hashedrekord/0.0.2": {
            "hashedRekordV002": {
                "data": {"algorithm": f"SHA2_{hash_name[3:]}", "digest": text(hashed)},
                "signature": new,
            }
        },
        "dsse/0.0.2": {
            "dsseV002": {"payloadHash": {"algorithm": "SHA2_256", "digest": text(over)}, "signatures": [new]}
        },
    }[kind]
    return {"apiVersion": version, "kind": name, "spec": spec}


def above(key: Key) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def usage(**names: bool) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    every += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: names.get(name, False) for name in every})


def length(size: int) -> bytes:
    return (
        bytes([size]) if size < 0x80 else b"\x81" + bytes([size]) if size < 0x100 else b"\x82" + struct.pack(">H", size)
    )
