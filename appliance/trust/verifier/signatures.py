"""Public keys and signatures: ECDSA on P-256, P-384 and P-521, RSA PKCS #1 v1.5 from 2048 bits, Ed25519."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from .verdict import require

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_CURVES = {"secp256r1": "sha256", "secp384r1": "sha384", "secp521r1": "sha512"}
MIN_RSA_BITS = 2048


def load_key(data: bytes, *, pem: bool = False) -> PublicKey:
    """A key from SubjectPublicKeyInfo."""
    key = serialization.load_pem_public_key(data) if pem else serialization.load_der_public_key(data)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise ValueError(f"keys of this kind are not accepted: {type(key).__name__}")


def spki_of(key: PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def own_hash(key: PublicKey) -> str:
    """The hash that goes with a key where none is named."""
    return _CURVES[key.curve.name] if isinstance(key, ec.EllipticCurvePublicKey) else "sha256"


def is_signed(
    key: PublicKey, signature: bytes, data: bytes, hash_name: str | None = None, *, prehashed: bool = False
) -> bool:
    """Whether the key signed `data`, or with `prehashed` what has this hash."""
    plain = HASHES[hash_name or own_hash(key)]
    algorithm = Prehashed(plain) if prehashed else plain
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        else:
            require(not prehashed, "an Ed25519 signature needs the artifact, not its digest")
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
