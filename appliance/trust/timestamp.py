"""RFC 3161 timestamp tokens over the bytes of a signature.

Rules
1. The answer is a whole TimeStampResp (status granted), which is what Sigstore bundles carry.
2. The token holds the authority's certificate and names it by hash (RFC 5816).
3. Time has whole seconds, UTC.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets

from asn1crypto import cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509

from appliance.trust import certificates
from appliance.trust.keys import SigningKey

POLICY = "1.3.6.1.4.1.99999.1.1"  # private arc, for the site's own use


def stamp(data: bytes, *, certificate: x509.Certificate, key: SigningKey, when: dt.datetime) -> bytes:
    """DER TimeStampResp: `data` existed at `when`."""
    der = certificates.to_der(certificate)
    listed = asn1_x509.Certificate.load(der)
    info = tsp.TSTInfo(
        {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": {
                "hash_algorithm": {"algorithm": "sha256"},
                "hashed_message": hashlib.sha256(data).digest(),
            },
            "serial_number": int.from_bytes(secrets.token_bytes(16), "big") >> 1,
            "gen_time": when.astimezone(dt.UTC).replace(microsecond=0),
        }
    ).dump()
    attributes = cms.CMSAttributes(
        [
            {"type": "content_type", "values": ["tst_info"]},
            {"type": "message_digest", "values": [hashlib.sha256(info).digest()]},
            {
                "type": "signing_certificate_v2",
                "values": [tsp.SigningCertificateV2({"certs": [{"cert_hash": hashlib.sha256(der).digest()}]})],
            },
        ]
    )
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(info)},
            "certificates": [listed],
            "signer_infos": [
                {
                    "version": "v1",
                    "sid": cms.SignerIdentifier(
                        {
                            "issuer_and_serial_number": {
                                "issuer": listed.issuer,
                                "serial_number": listed.serial_number,
                            }
                        }
                    ),
                    "digest_algorithm": {"algorithm": "sha256"},
                    "signed_attrs": attributes,
                    "signature_algorithm": {"algorithm": "sha256_ecdsa"},
                    "signature": key.sign(attributes.dump()),
                }
            ],
        }
    )
    response = tsp.TimeStampResp(
        {
            "status": {"status": "granted"},
            "time_stamp_token": {"content_type": "signed_data", "content": signed},
        }
    )
    return bytes(response.dump())
