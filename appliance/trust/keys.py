"""Private keys and how they are kept.

Rules
1. Everything that signs takes a `SigningKey`; where the key lives is the business of its `KeyStore`. `FileKeys` is the
   store of the embedded profile: one PKCS#8 PEM file per key in a folder of mode 0700, encrypted where a passphrase is
   given. `appliance.trust.keystores` has the others.
2. A key file that others can read, that belongs to another user or that is a link is not used.
3. A key is never overwritten.
4. A key's id is ``sha256:<hex>`` of its SubjectPublicKeyInfo. ECDSA signatures are DER, with SHA-256 on P-256 and
   SHA-384 on P-384; Ed25519 and ML-DSA-65 sign the message itself.
5. ML-DSA-65 (FIPS 204) is for TUF custodians only; nothing that a Sigstore verifier reads is signed with it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from pathlib import Path
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import codes
from appliance.trust.keystores import codes as keystore_codes
from appliance.trust.keystores import pkcs8

Algorithm = Literal["p256", "p384", "ed25519", "mldsa65"]
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
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
        if isinstance(self._private, ec.EllipticCurvePrivateKey):
            return self._private.sign(data, ec.ECDSA(hash_of(self._private.curve)))
        return self._private.sign(data)

    def derive(self, purpose: bytes) -> bytes:
        """See `FileKeys.derive`: HKDF-SHA256 (RFC 5869) over the 32 secret bytes."""
        if not isinstance(self._private, ed25519.Ed25519PrivateKey):
            raise ApplianceError(codes.KEY_UNUSABLE, f"expected an Ed25519 key, got {type(self._private).__name__}")
        return HKDF(hashes.SHA256(), 32, None, purpose).derive(self._private.private_bytes_raw())


def generate(algorithm: Algorithm) -> MemoryKey:
    return MemoryKey(_generate(algorithm))


def _generate(algorithm: Algorithm) -> PrivateKey:
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "mldsa65":
        return mldsa.MLDSA65PrivateKey.generate()
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


def is_lattice(public: PublicKey) -> bool:
    """Whether it is an ML-DSA key, which breaking elliptic curves does not break."""
    return isinstance(public, mldsa.MLDSA65PublicKey)


def parse_public(data: bytes) -> PublicKey:
    """A public key from DER SubjectPublicKeyInfo.

    Raises:
        ApplianceError: APL-TRUST-005, not a P-256, P-384, Ed25519 or ML-DSA-65 key.
    """
    try:
        public = serialization.load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ApplianceError(codes.KEY_UNUSABLE, f"not a public key: {error}") from error
    if isinstance(public, ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey):
        return public
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in ("secp256r1", "secp384r1"):
        return public
    raise ApplianceError(codes.KEY_UNUSABLE, "expected a P-256, P-384, Ed25519 or ML-DSA-65 public key")


def public_text(public: PublicKey) -> bytes:
    """A public key as one line for people to carry: base64 of its SubjectPublicKeyInfo."""
    return base64.b64encode(spki(public)) + b"\n"


def parse_public_text(text: bytes) -> PublicKey:
    """Raises:
    ApplianceError: APL-TRUST-005.
    """
    try:
        return parse_public(base64.b64decode(text.strip(), validate=True))
    except binascii.Error as error:
        raise ApplianceError(codes.KEY_UNUSABLE, f"not a public key: {error}") from error


def is_signature(public: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` is by the key."""
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, data, ec.ECDSA(hash_of(public.curve)))
        else:
            public.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def checked_name(name: str) -> str:
    """A name that is one in every kind of store.

    Raises:
        ApplianceError: APL-TRUST-005.
    """
    if not _NAME.fullmatch(name):
        raise ApplianceError(codes.KEY_UNUSABLE, f"a key name has letters a to z, digits and -, got {name!r}")
    return name


class FileKeys:
    """A folder of key files, ``<name>.pem``; with a `passphrase` all of them are encrypted with it."""

    def __init__(self, folder: Path, passphrase: str | None = None) -> None:
        self._folder = folder
        self._passphrase = passphrase

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
        plain = serialization.NoEncryption()
        if self._passphrase is None:
            data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        else:
            der = private.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain)
            data = pkcs8.encrypt(der, self._passphrase)
        draft = path.with_name(f".new-{os.getpid()}-{path.name}")
        try:
            atomic.write_bytes(draft, data, mode=0o600)
            self._folder.chmod(0o700)
            atomic.move(draft, path)  # fails where another process was faster
        except FileExistsError as error:
            raise ApplianceError(codes.KEY_EXISTS, f"there is a key {name} already", where=str(path)) from error
        except OSError as error:
            raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(path)) from error
        finally:
            draft.unlink(missing_ok=True)
        return MemoryKey(private)

    def load(self, name: str) -> SigningKey:
        """Raises:
        ApplianceError: APL-TRUST-004 others can read it, APL-TRUST-005 it is missing or not a key that we use,
            APL-KEYS-004 the passphrase is wrong.
        """
        path = self._path(name)
        secret = self._passphrase.encode() if self._passphrase is not None else None
        try:
            data = read_guarded(path)
            private = serialization.load_pem_private_key(data, password=secret)
        except OSError as error:
            raise ApplianceError(
                codes.KEY_UNUSABLE, f"key {name} cannot be read: {error.strerror}", where=str(path)
            ) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            if secret is not None and data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"):
                raise ApplianceError(
                    keystore_codes.SECRET_REFUSED, f"key {name} does not open with this passphrase", where=str(path)
                ) from error
            kind = "an unencrypted" if secret is None else "an encrypted"
            raise ApplianceError(
                codes.KEY_UNUSABLE, f"key {name} is not {kind} PKCS#8 PEM file", where=str(path)
            ) from error
        if not isinstance(private, PrivateKey):
            raise ApplianceError(
                codes.KEY_UNUSABLE,
                f"key {name} is a {type(private).__name__}, expected ECDSA, Ed25519 or ML-DSA-65",
                where=str(path),
            )
        return MemoryKey(private)

    def derive(self, name: str, purpose: bytes) -> bytes:
        """32 bytes that belong to an Ed25519 key and a purpose; who has no key file cannot know them.

        Raises:
            ApplianceError: those of `load`; APL-TRUST-005 the key is of another kind.
        """
        private = self.load(name)
        assert isinstance(private, MemoryKey)
        return private.derive(purpose)

    def _path(self, name: str) -> Path:
        return self._folder / f"{checked_name(name)}.pem"


def read_guarded(path: Path) -> bytes:
    """A small file that holds a secret.

    Raises:
        ApplianceError: APL-TRUST-004, others can read it.
        OSError: it cannot be read, or is a link.
    """
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
