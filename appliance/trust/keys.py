"""Private keys and how they are kept.

Rules
1. Everything that signs takes a `SigningKey`; where the key lives is the business of its `KeyStore`. `FileKeys` is the
   store of the embedded profile: one PKCS#8 PEM file per key in a folder of mode 0700.
2. A key file that others can read, that belongs to another user or that is a link is not used.
3. A key is never overwritten.
4. A key's id is ``sha256:<hex>`` of its SubjectPublicKeyInfo. ECDSA signatures are DER, with SHA-256 on P-256 and
   SHA-384 on P-384; Ed25519 signs the message itself.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from appliance.base import atomic
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import codes

Algorithm = Literal["p256", "p384", "ed25519"]
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

MAX_KEY_BYTES = 16_384  # of a key file; a PKCS#8 P-384 key has 300


class SigningKey(Protocol):
    """A private key that may be out of reach, for example on a token."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`, see rule 4."""


class KeyStore(Protocol):
    """Keys by name."""

    def create(self, name: str, algorithm: Algorithm) -> SigningKey: ...

    def load(self, name: str) -> SigningKey: ...

    def holds(self, name: str) -> bool: ...


class MemoryKey:
    """A key in this process: read from a file, or made for one signature."""

    def __init__(self, private: PrivateKey) -> None:
        self._private = private

    @property
    def public(self) -> PublicKey:
        return self._private.public_key()

    def sign(self, data: bytes) -> bytes:
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.sign(data)
        return self._private.sign(data, ec.ECDSA(hash_of(self._private.curve)))


def generate(algorithm: Algorithm) -> MemoryKey:
    return MemoryKey(_generate(algorithm))


def _generate(algorithm: Algorithm) -> PrivateKey:
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if algorithm == "p256" else ec.SECP384R1())


def hash_of(curve: ec.EllipticCurve) -> hashes.HashAlgorithm:
    """The hash that goes with a curve: of the same strength."""
    return hashes.SHA384() if curve.name == "secp384r1" else hashes.SHA256()


def spki(public: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def raw_public(public: PublicKey) -> bytes:
    """The 32 bytes of an Ed25519 key."""
    assert isinstance(public, ed25519.Ed25519PublicKey)
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def key_id(public: PublicKey) -> str:
    return digest_bytes(spki(public))


def parse_public(data: bytes) -> PublicKey:
    """A public key from DER SubjectPublicKeyInfo.

    Raises:
        ApplianceError: APL-TRUST-005, not a P-256, P-384 or Ed25519 key.
    """
    try:
        public = serialization.load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ApplianceError(codes.KEY_UNUSABLE, f"not a public key: {error}") from error
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in ("secp256r1", "secp384r1"):
        return public
    raise ApplianceError(codes.KEY_UNUSABLE, "expected a P-256, P-384 or Ed25519 public key")


def is_signature(public: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` is by the key."""
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, data)
        else:
            public.verify(signature, data, ec.ECDSA(hash_of(public.curve)))
    except InvalidSignature:
        return False
    return True


class FileKeys:
    """A folder of key files, ``<name>.pem``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def holds(self, name: str) -> bool:
        return self._path(name).is_file()

    def create(self, name: str, algorithm: Algorithm) -> SigningKey:
        """Raises:
        ApplianceError: APL-TRUST-006 the name is taken, APL-BASE-002 it cannot be written.
        """
        path = self._path(name)
        if path.exists():
            raise ApplianceError(codes.KEY_EXISTS, f"there is a key {name} already", where=str(path))
        private = _generate(algorithm)
        data = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        atomic.write_bytes(path, data, mode=0o600)
        self._folder.chmod(0o700)
        return MemoryKey(private)

    def load(self, name: str) -> SigningKey:
        """Raises:
        ApplianceError: APL-TRUST-004 others can read it, APL-TRUST-005 it is missing or not a key that we use.
        """
        path = self._path(name)
        try:
            private = serialization.load_pem_private_key(_read_guarded(path), password=None)
        except OSError as error:
            raise ApplianceError(
                codes.KEY_UNUSABLE, f"key {name} cannot be read: {error.strerror}", where=str(path)
            ) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ApplianceError(
                codes.KEY_UNUSABLE, f"key {name} is not an unencrypted PKCS#8 PEM file", where=str(path)
            ) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise ApplianceError(
                codes.KEY_UNUSABLE,
                f"key {name} is a {type(private).__name__}, expected ECDSA or Ed25519",
                where=str(path),
            )
        return MemoryKey(private)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.pem"


def _read_guarded(path: Path) -> bytes:
    # The checks are on the open file, so that it cannot be swapped between the check and the reading.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            raise ApplianceError(codes.KEY_UNSAFE, f"expected mode 0600, got {mode:04o}", where=str(path))
        if status.st_uid != os.geteuid():
            raise ApplianceError(
                codes.KEY_UNSAFE,
                f"belongs to user {status.st_uid}, the command runs as {os.geteuid()}",
                where=str(path),
            )
        return file.read(MAX_KEY_BYTES)
