"""The trust config: one JSON file that says whom to believe. Unmodified Sigstore tools take it with ``--trust-config``.

Rules
1. Form: ClientTrustConfig v0.1 around a trusted root v0.1, with an empty signing config; verifiers require both.
2. Every ``validFor`` starts in 1970: a verifier with a dead clock battery must not lose its keys. Real lifetimes are in
   the certificates.
3. ``tlogs[0].baseUrl`` is ``https://<origin of the log>`` and its id the C2SP key hash, so that one checkpoint serves
   Sigstore and C2SP tools.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, keys, notes

MAX_BYTES = 1_048_576  # of a trust config; ours has 6 kB
_SINCE = {"start": "1970-01-01T00:00:00Z"}
_DETAILS = {"secp256r1": "PKIX_ECDSA_P256_SHA_256", "secp384r1": "PKIX_ECDSA_P384_SHA_384"}


def build(
    *,
    site_name: str,
    log: notes.LogKey,
    root: x509.Certificate,
    authority: x509.Certificate,
    timestamper: x509.Certificate,
    ct_public: keys.PublicKey,
) -> bytes:
    """The bytes of ``trust-config.json``."""
    domain = f"{site_name}.appliance.internal"
    trusted_root = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [_instance(f"https://{log.origin}", log.public, log.id)],
        "certificateAuthorities": [_authority(f"https://ca.{domain}", authority, root)],
        "ctlogs": [
            _instance(f"https://ct.{domain}", ct_public, hashlib.sha256(keys.spki(ct_public)).digest()),
        ],
        "timestampAuthorities": [_authority(f"https://tsa.{domain}", timestamper, root)],
    }
    config = {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": trusted_root,
        "signingConfig": {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [],
            "oidcUrls": [],
            "rekorTlogUrls": [],
            "tsaUrls": [],
        },
    }
    return json.dumps(config, indent=2).encode() + b"\n"


def log_of(config: bytes) -> notes.LogKey:
    """The transparency log that a trust config names.

    Raises:
        ApplianceError: APL-TRUST-012.
    """
    if len(config) > MAX_BYTES:
        raise ApplianceError(codes.TRUST_CONFIG_INVALID, f"{len(config)} bytes, at most {MAX_BYTES} are allowed")
    try:
        (entry,) = json.loads(config)["trustedRoot"]["tlogs"]
        origin = str(entry["baseUrl"]).removeprefix("https://")
        public = keys.parse_public(base64.b64decode(entry["publicKey"]["rawBytes"], validate=True))
        return notes.log_key(origin, public)
    except (ValueError, KeyError, TypeError) as error:
        raise ApplianceError(codes.TRUST_CONFIG_INVALID, f"names no transparency log: {error!r}") from error


def timestampers_of(config: bytes) -> tuple[x509.Certificate, ...]:
    """The timestamp authority that a trust config names: its certificate and those above it.

    Raises:
        ApplianceError: APL-TRUST-012.
    """
    try:
        (entry,) = json.loads(config)["trustedRoot"]["timestampAuthorities"]
        return tuple(
            x509.load_der_x509_certificate(base64.b64decode(each["rawBytes"], validate=True))
            for each in entry["certChain"]["certificates"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ApplianceError(codes.TRUST_CONFIG_INVALID, f"names no timestamp authority: {error!r}") from error


def _instance(url: str, public: keys.PublicKey, log_id: bytes) -> dict[str, Any]:
    details = _DETAILS[public.curve.name] if isinstance(public, ec.EllipticCurvePublicKey) else "PKIX_ED25519"
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": _base64(keys.spki(public)), "keyDetails": details, "validFor": _SINCE},
        "logId": {"keyId": _base64(log_id)},
    }


def _authority(url: str, leaf: x509.Certificate, root: x509.Certificate) -> dict[str, Any]:
    (name,) = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "subject": {"organization": certificates.ORGANIZATION, "commonName": name.value},
        "uri": url,
        "certChain": {
            "certificates": [{"rawBytes": _base64(certificates.to_der(each))} for each in (leaf, root)],
        },
        "validFor": _SINCE,
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
