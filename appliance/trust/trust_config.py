"""The trust config: one JSON file that says whom to believe. Unmodified Sigstore tools take it with ``--trust-config``.

Rules
1. Form: ClientTrustConfig v0.1 around a trusted root v0.1, with an empty signing config; verifiers require both.
2. Every ``validFor`` starts in 1970: a verifier with a dead clock battery must not lose its keys. Real lifetimes are in
   the certificates.
3. The base URL of a log is ``https://<origin>`` and its id the C2SP key hash, so that one checkpoint serves Sigstore
   and C2SP tools.
4. Keys of a kind stand newest first.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, keys, notes

FILE_NAME = "trust-config.json"
MAX_BYTES = 1_048_576  # of a trust config; ours has 6 kB
# What JSON of another shape, and keys and certificates of another kind, make the parsers raise.
_REFUSALS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
)
_SINCE = {"start": "1970-01-01T00:00:00Z"}
_DETAILS = {"secp256r1": "PKIX_ECDSA_P256_SHA_256", "secp384r1": "PKIX_ECDSA_P384_SHA_384"}


@dataclass(frozen=True, kw_only=True)
class TrustedKeys:
    """Whom to believe, newest first: a key that was rotated out stays for what it signed.

    Attributes:
        authorities: issuing certificate and its root.
        timestampers: certificate of a timestamp authority and its root.
    """

    logs: tuple[notes.LogKey, ...]
    cts: tuple[keys.PublicKey, ...]
    authorities: tuple[tuple[x509.Certificate, x509.Certificate], ...]
    timestampers: tuple[tuple[x509.Certificate, x509.Certificate], ...]

    @property
    def log(self) -> notes.LogKey:
        return self.logs[0]


def build(site_name: str, trusted: TrustedKeys) -> bytes:
    """The bytes of ``trust-config.json``."""
    domain = f"{site_name}.appliance.internal"
    trusted_root = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [_instance(f"https://{log.origin}", log.public, log.id) for log in trusted.logs],
        "certificateAuthorities": [_authority(f"https://ca.{domain}", *chain) for chain in trusted.authorities],
        "ctlogs": [
            _instance(f"https://ct.{domain}", public, hashlib.sha256(keys.spki(public)).digest())
            for public in trusted.cts
        ],
        "timestampAuthorities": [_authority(f"https://tsa.{domain}", *chain) for chain in trusted.timestampers],
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


def parse(config: bytes) -> TrustedKeys:
    """Read a trust config of ours; the unmodified verifier reads it again, by its own rules.

    Raises:
        ApplianceError: APL-TRUST-012.
    """
    if len(config) > MAX_BYTES:
        raise ApplianceError(codes.TRUST_CONFIG_INVALID, f"{len(config)} bytes, at most {MAX_BYTES} are allowed")
    try:
        root = json.loads(config)["trustedRoot"]
        trusted = TrustedKeys(
            logs=tuple(_log(entry) for entry in root["tlogs"]),
            cts=tuple(_public(entry) for entry in root["ctlogs"]),
            authorities=tuple(_chain(entry) for entry in root["certificateAuthorities"]),
            timestampers=tuple(_chain(entry) for entry in root["timestampAuthorities"]),
        )
        if not (trusted.logs and trusted.cts and trusted.authorities and trusted.timestampers):
            raise ValueError("names no log, CT key, issuing authority or timestamp authority")
    except (*_REFUSALS, ApplianceError) as error:
        raise ApplianceError(codes.TRUST_CONFIG_INVALID, f"not a trust config of ours: {error!r}") from error
    return trusted


def log_of(config: bytes) -> notes.LogKey:
    """The transparency log that a trust config names, by its newest key.

    Raises:
        ApplianceError: APL-TRUST-012.
    """
    return parse(config).log


def _log(entry: dict[str, Any]) -> notes.LogKey:
    return notes.log_key(str(entry["baseUrl"]).removeprefix("https://"), _public(entry))


def _public(entry: dict[str, Any]) -> keys.PublicKey:
    return keys.parse_public(base64.b64decode(entry["publicKey"]["rawBytes"], validate=True))


def _chain(entry: dict[str, Any]) -> tuple[x509.Certificate, x509.Certificate]:
    leaf, root = (
        x509.load_der_x509_certificate(base64.b64decode(each["rawBytes"], validate=True))
        for each in entry["certChain"]["certificates"]
    )
    return leaf, root


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
