"""X.509 certificates of the signing ceremony: root, issuing authority, timestamp authority, ten-minute leaves.

Rules
1. Authorities sign through `SigningKey`, so their keys may live on a token: the certificate is built with a throw-away
   key of the same algorithm and its signature replaced by the authority's.
2. What unmodified Sigstore verifiers require of a leaf: P-256, empty subject, critical SAN, EKU code signing, the
   issuer as raw text in 1.3.6.1.4.1.57264.1.1 (and as UTF8String in .1.8), exactly one embedded SCT.
3. The id of the role key that asked for a leaf stands in it as the token subject (1.3.6.1.4.1.57264.1.24).
4. The SCT is a P-256 signature over the certificate as it is without the SCT (RFC 6962 section 3.2).
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import struct

from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.trust import keys
from appliance.trust.keys import SigningKey

FULCIO_ISSUER_TEXT = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
FULCIO_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
FULCIO_TOKEN_SUBJECT = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.24")
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")

LEAF_LIFETIME = dt.timedelta(minutes=10)
CLOCK_SLACK = dt.timedelta(minutes=1)  # a leaf is valid from so long before now
ORGANIZATION = "Appliance"


def issue_root(key: SigningKey, *, name: str, start: dt.datetime, end: dt.datetime) -> x509.Certificate:
    """A self-signed root authority."""
    builder = _authority(key, name=name, issuer=_name(name), path_length=1, start=start, end=end)
    return _sign(builder, key)


def issue_authority(
    key: SigningKey, *, name: str, root: x509.Certificate, root_key: SigningKey, start: dt.datetime, end: dt.datetime
) -> x509.Certificate:
    """An authority that issues leaves only."""
    builder = _authority(key, name=name, issuer=root.subject, path_length=0, start=start, end=end)
    builder = builder.add_extension(_authority_key(root_key), critical=False).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
    )
    return _sign(builder, root_key)


def issue_timestamper(
    key: SigningKey, *, name: str, root: x509.Certificate, root_key: SigningKey, start: dt.datetime, end: dt.datetime
) -> x509.Certificate:
    """The certificate of a timestamp authority; RFC 3161 section 2.3 wants its key usage critical."""
    builder = (
        _builder(key, subject=_name(name), issuer=root.subject, start=start, end=end)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(_authority_key(root_key), critical=False)
    )
    return _sign(builder, root_key)


def issue_leaf(
    public: keys.PublicKey,
    *,
    identity: str,
    issuer: str,
    token_subject: str,
    authority: x509.Certificate,
    authority_key: SigningKey,
    ct_key: SigningKey,
    now: dt.datetime,
) -> x509.Certificate:
    """A leaf for one signature: `identity` is its SAN (a URI), `issuer` the identity provider."""
    start = now - CLOCK_SLACK
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + LEAF_LIFETIME)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_authority_key(authority_key), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
        .add_extension(x509.UnrecognizedExtension(FULCIO_ISSUER_TEXT, issuer.encode()), critical=False)
        .add_extension(_text_extension(FULCIO_ISSUER, issuer), critical=False)
        .add_extension(_text_extension(FULCIO_TOKEN_SUBJECT, token_subject), critical=False)
    )
    unstamped = _throw_away(builder, authority_key).tbs_certificate_bytes
    sct = _sct(unstamped, authority_key, ct_key, start)
    return _sign(builder.add_extension(sct, critical=False), authority_key)


def token_subject(certificate: x509.Certificate) -> str | None:
    """The role key id in a leaf (rule 3)."""
    for extension in certificate.extensions:
        if extension.oid == FULCIO_TOKEN_SUBJECT and isinstance(extension.value, x509.UnrecognizedExtension):
            return _text_of(extension.value.value)
    return None


@functools.lru_cache(maxsize=64)  # a role key's id stands in each of its certificates
def _text_of(extension: bytes) -> str | None:
    text = core.UTF8String.load(extension, strict=True).native
    return text if isinstance(text, str) else None


def ct_log_id(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the SPKI of the key that signed the embedded timestamp."""
    listed = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
    (sct,) = listed.value
    return bytes(sct.log_id)


def public_of(certificate: x509.Certificate) -> keys.PublicKey:
    """Raises:
    ApplianceError: APL-TRUST-005, the key is of a kind that we do not use.
    """
    return keys.parse_public(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def to_der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def to_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _authority(
    key: SigningKey, *, name: str, issuer: x509.Name, path_length: int, start: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    return (
        _builder(key, subject=_name(name), issuer=issuer, start=start, end=end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    )


def _builder(
    key: SigningKey, *, subject: x509.Name, issuer: x509.Name, start: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(key: SigningKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public)


def _text_extension(oid: x509.ObjectIdentifier, text: str) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(oid, core.UTF8String(text).dump())


def _sct(
    unstamped: bytes, authority_key: SigningKey, ct_key: SigningKey, when: dt.datetime
) -> x509.UnrecognizedExtension:
    stamp_ms = int(when.timestamp() * 1000)
    issuer_hash = hashlib.sha256(keys.spki(authority_key.public)).digest()
    log_id = hashlib.sha256(keys.spki(ct_key.public)).digest()
    # RFC 6962 section 3.2: version 1, certificate_timestamp, time, precert_entry, issuer, TBS, no extensions
    signed = struct.pack(">BBQH", 0, 0, stamp_ms, 1) + issuer_hash + len(unstamped).to_bytes(3, "big")
    signature = ct_key.sign(signed + unstamped + b"\0\0")
    sct = b"\0" + log_id + struct.pack(">Q", stamp_ms) + b"\0\0" + b"\x04\x03"  # SHA-256, ECDSA
    sct += struct.pack(">H", len(signature)) + signature
    listed = struct.pack(">H", len(sct)) + sct
    listed = struct.pack(">H", len(listed)) + listed
    return x509.UnrecognizedExtension(SCT_LIST, core.OctetString(listed).dump())


@functools.lru_cache(maxsize=2)
def _stand_in(curve: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1() if curve == "secp384r1" else ec.SECP256R1())


def _throw_away(builder: x509.CertificateBuilder, key: SigningKey) -> x509.Certificate:
    assert isinstance(key.public, ec.EllipticCurvePublicKey)  # authorities are ECDSA, see `ceremony`
    algorithm = keys.hash_of(key.public.curve)
    assert isinstance(algorithm, hashes.SHA256 | hashes.SHA384)
    return builder.sign(_stand_in(key.public.curve.name), algorithm)


def _sign(builder: x509.CertificateBuilder, key: SigningKey) -> x509.Certificate:
    made = _throw_away(builder, key)
    outer = asn1_x509.Certificate.load(to_der(made))
    signed = asn1_x509.Certificate(
        {
            "tbs_certificate": asn1_x509.TbsCertificate.load(made.tbs_certificate_bytes),
            "signature_algorithm": outer["signature_algorithm"],
            "signature_value": key.sign(made.tbs_certificate_bytes),
        }
    )
    return x509.load_der_x509_certificate(signed.dump())
