"""The private certificate authority of a site's servers, and one certificate for each server.

Keys are ECDSA P-256, in PKCS#8 files of mode 0600. A leaf is for 127.0.0.1 and localhost, for servers and clients, and
carries the server's name. A leaf that ends within `RENEW_BEFORE` is made anew; the authority is not.
"""

from __future__ import annotations

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.base import atomic
from appliance.base.clock import Clock
from appliance.deploy.servers.place import HOST, Place, damaged

AUTHORITY_LIFE = dt.timedelta(days=3650)
LEAF_LIFE = dt.timedelta(days=397)  # the longest that browsers accept for a server
RENEW_BEFORE = dt.timedelta(days=30)
BACKDATED = dt.timedelta(minutes=5)  # for a client whose clock is a little behind


def issue(place: Place, names: tuple[str, ...], clock: Clock) -> None:
    """Make what is missing or near its end.

    Raises:
        ApplianceError: APL-SERVERS-007, the authority cannot be read.
    """
    place.certificates.mkdir(parents=True, exist_ok=True, mode=0o700)
    now = clock.now()
    key, certificate = _authority(place, now)
    for name in names:
        if not _stands(place, name, now, certificate):
            _issue_leaf(place, name, now, key, certificate)


def java_stores(place: Place, name: str, password: str) -> None:
    """``<name>.p12`` and ``<name>-trust.p12`` beside the certificate, for programs that read no PEM files."""
    encryption = serialization.BestAvailableEncryption(password.encode())
    leaf, authority = _certificate(place, name), _certificate(place, "ca")
    store = pkcs12.serialize_key_and_certificates(name.encode(), _key(place, name), leaf, [authority], encryption)
    trust = pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(authority, b"ca")], encryption)
    atomic.write_bytes(place.certificates / f"{name}.p12", store, mode=0o600)
    atomic.write_bytes(place.certificates / f"{name}-trust.p12", trust, mode=0o600)


def _authority(place: Place, now: dt.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    if not place.authority.exists() and not place.key("ca").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("appliance servers")
        builder = _builder(name, name, key, now, AUTHORITY_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(authority=True), critical=True)
        _keep(place, "ca", key, builder.sign(key, hashes.SHA256()))
    return _key(place, "ca"), _certificate(place, "ca")


def _issue_leaf(
    place: Place, name: str, now: dt.datetime, key: ec.EllipticCurvePrivateKey, authority: x509.Certificate
) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(name), authority.subject, own, now, LEAF_LIFE)
    names = [x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(authority=False), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    _keep(place, name, own, builder.sign(key, hashes.SHA256()))


def _stands(place: Place, name: str, now: dt.datetime, authority: x509.Certificate) -> bool:
    if not place.certificate(name).exists() or not place.key(name).exists():
        return False
    leaf = _certificate(place, name)
    return leaf.issuer == authority.subject and leaf.not_valid_after_utc - RENEW_BEFORE > now


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime, life: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _keep(place: Place, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    atomic.write_bytes(place.key(name), text, mode=0o600)
    atomic.write_bytes(place.certificate(name), certificate.public_bytes(serialization.Encoding.PEM))


def _key(place: Place, name: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(place.key(name).read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise damaged(place.key(name), f"not a private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise damaged(place.key(name), "expected an ECDSA key")
    return key


def _certificate(place: Place, name: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(place.certificate(name).read_bytes())
    except (OSError, ValueError) as error:
        raise damaged(place.certificate(name), f"not a certificate: {error}") from error
