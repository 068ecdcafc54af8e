"""RFC 3161 timestamp tokens over the bytes of a signature.

Rules
1. The answer is a whole TimeStampResp (status granted), which is what Sigstore bundles carry.
2. The token holds the authority's certificate and names it by hash (RFC 5816).
3. Time has whole seconds, UTC.
4. A token has one byte form: `verify` writes the token again from its time, serial number and signature, and refuses
   it when the bytes differ. Parsers of such tokens ignore much that no signature covers.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence

from asn1crypto import cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes
from appliance.trust.keys import SigningKey

POLICY = "1.3.6.1.4.1.99999.1.1"  # private arc, for the site's own use


def stamp(data: bytes, *, certificate: x509.Certificate, key: SigningKey, when: dt.datetime) -> bytes:
    """DER TimeStampResp: `data` existed at `when`."""
    info = _info(data, int.from_bytes(secrets.token_bytes(16), "big") >> 1, when)
    der = certificates.to_der(certificate)
    return _response(info, der, key.sign(_attributes(info, der).dump()))


def verify(token: bytes, data: bytes, *, chain: Sequence[x509.Certificate]) -> dt.datetime:
    """The time in a token over `data`; `chain` is the authority's certificate and those above it.

    Raises:
        ApplianceError: APL-TRUST-010.
    """
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    builder = VerifierBuilder().tsa_certificate(chain[0]).add_root_certificate(chain[-1])
    for certificate in chain[1:-1]:
        builder = builder.add_intermediate_certificate(certificate)
    try:
        response = decode_timestamp_response(token)
        builder.build().verify_message(response, data)
        when = response.tst_info.gen_time
        again = _response(
            _info(data, response.tst_info.serial_number, when), certificates.to_der(chain[0]), _signature(token)
        )
    except (VerificationError, InvalidSignature, ValueError, TypeError, KeyError) as error:
        raise ApplianceError(codes.SIGNATURE_REFUSED, f"the timestamp does not verify: {error}") from error
    if again != token:
        raise ApplianceError(codes.SIGNATURE_REFUSED, "the timestamp is not in the form that this site writes")
    assert isinstance(when, dt.datetime)
    return when


def _signature(token: bytes) -> bytes:
    (signer,) = tsp.TimeStampResp.load(token, strict=True)["time_stamp_token"]["content"]["signer_infos"]
    return bytes(signer["signature"].native)


def _info(data: bytes, serial: int, when: dt.datetime) -> bytes:
    info = tsp.TSTInfo(
        {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": {
                "hash_algorithm": {"algorithm": "sha256"},
                "hashed_message": hashlib.sha256(data).digest(),
            },
            "serial_number": serial,
            "gen_time": when.astimezone(dt.UTC).replace(microsecond=0),
        }
    )
    return bytes(info.dump())


def _attributes(info: bytes, certificate: bytes) -> cms.CMSAttributes:
    return cms.CMSAttributes(
        [
            {"type": "content_type", "values": ["tst_info"]},
            {"type": "message_digest", "values": [hashlib.sha256(info).digest()]},
            {
                "type": "signing_certificate_v2",
                "values": [tsp.SigningCertificateV2({"certs": [{"cert_hash": hashlib.sha256(certificate).digest()}]})],
            },
        ]
    )


def _response(info: bytes, certificate: bytes, signature: bytes) -> bytes:
    listed = asn1_x509.Certificate.load(certificate)
    signer = {
        "version": "v1",
        "sid": cms.SignerIdentifier(
            {"issuer_and_serial_number": {"issuer": listed.issuer, "serial_number": listed.serial_number}}
        ),
        "digest_algorithm": {"algorithm": "sha256"},
        "signed_attrs": _attributes(info, certificate),
        "signature_algorithm": {"algorithm": "sha256_ecdsa"},
        "signature": signature,
    }
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(info)},
            "certificates": [listed],
            "signer_infos": [signer],
        }
    )
    response = tsp.TimeStampResp(
        {
            "status": {"status": "granted"},
            "time_stamp_token": {"content_type": "signed_data", "content": signed},
        }
    )
    return bytes(response.dump())
