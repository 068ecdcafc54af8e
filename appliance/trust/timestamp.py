"""RFC 3161 timestamp tokens over the bytes of a signature.

Rules
1. The answer is a whole TimeStampResp (status granted), which is what Sigstore bundles carry.
2. The token holds the authority's certificate and names it by hash (RFC 5816).
3. Time has whole seconds, UTC.
4. A token has one byte form: `verify` writes the token again from its time, serial number and signature, and refuses
   it when the bytes differ. Parsers of such tokens ignore much that no signature covers.
5. What is left to verify then are the signature, and the certificates: the authority's was issued by the one above it,
   both were valid at the time in the token, and the authority's is for timestamps and nothing else.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import secrets
from collections.abc import Sequence

from asn1crypto import algos, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, keys
from appliance.trust.keys import SigningKey

POLICY = "1.3.6.1.4.1.99999.1.1"  # private arc, for the site's own use
MAX_SIGNATURE_BYTES = 127  # DER of an ECDSA signature by P-256 or P-384; its length has one byte

Chain = tuple[x509.Certificate, x509.Certificate]

_INTEGER, _OCTET_STRING, _SEQUENCE, _SET, _CONTEXT_0, _TIME = 0x02, 0x04, 0x30, 0x31, 0xA0, 0x18  # X.690 section 8.1.2


def stamp(data: bytes, *, certificate: x509.Certificate, key: SigningKey, when: dt.datetime) -> bytes:
    """DER TimeStampResp: `data` existed at `when`."""
    info = _info(data, int.from_bytes(secrets.token_bytes(16), "big") >> 1, when)
    der = certificates.to_der(certificate)
    attributes = _attributes(info, der)
    return _response(info, der, attributes, key.sign(_der(_SET, attributes)))


def verify(token: bytes, data: bytes, *, chain: Chain) -> dt.datetime:
    """The time in a token over `data`; `chain` is the authority's certificate and the one above it.

    Raises:
        ApplianceError: APL-TRUST-010.
    """
    from rfc3161_client import decode_timestamp_response

    # 1. the certificates, whatever the time
    der, authority = _authority(chain)
    # 2. one byte form: status, digest of the data, certificate and signed attributes are as this site writes them
    try:
        read = decode_timestamp_response(token).tst_info
        when, info = read.gen_time, _info(data, read.serial_number, read.gen_time)
    except (ValueError, TypeError, OverflowError) as error:
        raise _refused(str(error)) from error
    attributes = _attributes(info, der)
    signature = next((each for each in _tails(token) if _response(info, der, attributes, each) == token), None)
    if signature is None:
        raise _refused("it is not over this signature, or not in the form that this site writes")
    # 3. the signature, over the signed attributes (RFC 5652 section 5.4)
    if not keys.is_signature(authority, signature, _der(_SET, attributes)):
        raise _refused("it is not signed by the timestamp authority")
    # 4. the certificates, at that time
    for each in chain:
        if not each.not_valid_before_utc <= when <= each.not_valid_after_utc:
            raise _refused(f"{when} is outside the lifetime of {each.subject.rfc4514_string()}")
    assert isinstance(when, dt.datetime)
    return when


def chain_of(token: bytes, chains: Sequence[Chain]) -> Chain:
    """The chain whose authority the token names: the only one, or the one whose certificate it carries."""
    if len(chains) == 1:
        return chains[0]
    held = [chain for chain in chains if certificates.to_der(chain[0]) in token]
    return (held or list(chains))[0]


def _refused(reason: str) -> ApplianceError:
    return ApplianceError(codes.SIGNATURE_REFUSED, f"the timestamp does not verify: {reason}")


@functools.lru_cache(maxsize=8)
def _authority(chain: Chain) -> tuple[bytes, ec.EllipticCurvePublicKey]:
    """Certificate (DER) and key of the authority, when the certificates are fit at some time (RFC 3161 section 2.3)."""
    leaf, above = chain
    public = leaf.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise _refused("its key is not P-256, which the signature algorithm in the token asks for")
    try:
        leaf.verify_directly_issued_by(above)
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        ca = above.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise _refused(f"its certificate is unfit: {error!r}") from error
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise _refused("its certificate is not for timestamps alone")
    if not ca:
        raise _refused("its certificate is by one that may not issue any")
    return certificates.to_der(leaf), public


def _der(tag: int, *parts: bytes) -> bytes:
    """A definite, shortest encoding (X.690 section 10.1)."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def _oid(dotted: str) -> bytes:
    return bytes(core.ObjectIdentifier(dotted).dump())


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


_SIGNED_DATA, _TST_INFO = _oid("1.2.840.113549.1.7.2"), _oid("1.2.840.113549.1.9.16.1.4")
_CONTENT_TYPE, _MESSAGE_DIGEST = _oid("1.2.840.113549.1.9.3"), _oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE_V2 = _oid("1.2.840.113549.1.9.16.2.47")
_POLICY = _oid(POLICY)
_SHA256 = bytes(algos.DigestAlgorithm({"algorithm": "sha256"}).dump())
_ECDSA = bytes(algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}).dump())
_GRANTED = _der(_SEQUENCE, _integer(0))


def _tails(token: bytes) -> list[bytes]:
    """What can be the signature: the octet strings that the token can end with."""
    lengths = range(1, min(MAX_SIGNATURE_BYTES, len(token) - 2) + 1)
    return [token[-size:] for size in lengths if token[-size - 1] == size and token[-size - 2] == _OCTET_STRING]


def _info(data: bytes, serial: int, when: dt.datetime) -> bytes:
    """TSTInfo (RFC 3161 section 2.4.2)."""
    imprint = _der(_SEQUENCE, _SHA256, _der(_OCTET_STRING, hashlib.sha256(data).digest()))
    time = f"{when.astimezone(dt.UTC):%Y%m%d%H%M%SZ}".rjust(15, "0").encode()
    return _der(_SEQUENCE, _integer(1), _POLICY, imprint, _integer(serial), _der(_TIME, time))


def _attributes(info: bytes, certificate: bytes) -> bytes:
    """The signed attributes, in the order of DER, without a tag around them."""
    by_hash = _der(_SEQUENCE, _der(_OCTET_STRING, hashlib.sha256(certificate).digest()))  # ESSCertIDv2, RFC 5816
    attributes = (
        (_CONTENT_TYPE, _TST_INFO),
        (_MESSAGE_DIGEST, _der(_OCTET_STRING, hashlib.sha256(info).digest())),
        (_SIGNING_CERTIFICATE_V2, _der(_SEQUENCE, _der(_SEQUENCE, by_hash))),
    )
    return b"".join(sorted(_der(_SEQUENCE, kind, _der(_SET, value)) for kind, value in attributes))


@functools.lru_cache(maxsize=8)
def _issuer_and_serial(certificate: bytes) -> bytes:
    listed = asn1_x509.Certificate.load(certificate)
    return _der(_SEQUENCE, bytes(listed.issuer.dump()), _integer(listed.serial_number))


def _response(info: bytes, certificate: bytes, attributes: bytes, signature: bytes) -> bytes:
    """TimeStampResp around SignedData with one signer (RFC 3161 section 2.4.2, RFC 5652 section 5.1)."""
    signer = _der(
        _SEQUENCE,
        _integer(1),
        _issuer_and_serial(certificate),
        _SHA256,
        _der(_CONTEXT_0, attributes),
        _ECDSA,
        _der(_OCTET_STRING, signature),
    )
    signed = _der(
        _SEQUENCE,
        _integer(3),
        _der(_SET, _SHA256),
        _der(_SEQUENCE, _TST_INFO, _der(_CONTEXT_0, _der(_OCTET_STRING, info))),
        _der(_CONTEXT_0, certificate),
        _der(_SET, signer),
    )
    return _der(_SEQUENCE, _GRANTED, _der(_SEQUENCE, _SIGNED_DATA, _der(_CONTEXT_0, signed)))
