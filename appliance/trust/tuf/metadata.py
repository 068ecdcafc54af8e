"""What metadata counts: one byte form, and who must have signed it.

Rules
1. Metadata has the one byte form that `tuf` writes (canonical order, no white space, hex in lower case); every other
   one is refused.
2. Root and targets are signed by custodians: by the threshold of the role (TUF section 4.3), and of those signatures at
   least two are classical, and one is ML-DSA-65 where the role has such a key. The second half is ours: an unmodified
   client accepts three classical ones as well. So neither a broken curve nor a broken lattice is enough for a forgery.
3. No key of a role has another key's material under a second id.
4. Every signature of a root or of targets is by a custodian and holds; plain TUF ignores those that do not. So no byte
   of a file can change unnoticed.
5. ML-DSA keys sign as TAP 21 says: ``tuf``, the byte 1, and the SHA-512 of the metadata.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.exceptions import Error as LibraryError
from securesystemslib.signer import Key, Signature, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.tuf import codes

Signed = TypeVar("Signed", Root, Targets, Snapshot, Timestamp)

MAX_METADATA_BYTES = 4 * 1024 * 1024  # of one file; docs/reference/trust_formats.md
CLASSICAL_SIGNATURES = 2
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
POST_QUANTUM = "ml-dsa"  # key type of TAP 21


def parse(kind: type[Signed], data: bytes, where: str) -> Metadata[Signed]:
    """Metadata whose signatures were not looked at.

    Raises:
        ApplianceError: APL-TUF-008.
    """
    if len(data) > MAX_METADATA_BYTES:
        raise ApplianceError(
            codes.METADATA_INVALID, f"{len(data)} bytes, at most {MAX_METADATA_BYTES} are allowed", where=where
        )
    try:
        parsed: Metadata[Any] = Metadata.from_bytes(data)
        again = parsed.to_bytes()
    except (RepositoryError, RecursionError) as error:
        raise ApplianceError(codes.METADATA_INVALID, f"not metadata: {error}", where=where) from error
    if not isinstance(parsed.signed, kind):
        raise ApplianceError(
            codes.METADATA_INVALID, f"expected role {kind.type}, got {parsed.signed.type}", where=where
        )
    signatures = [each.signature for each in parsed.signatures.values()]  # the library does not look at their type
    if again != data or not all(isinstance(each, str) and _HEX.fullmatch(each) for each in signatures):
        raise ApplianceError(codes.METADATA_INVALID, "the bytes differ from the form that is written", where=where)
    return parsed


def check_targets(metadata: Metadata[Targets], by: Root, where: str) -> None:
    """Targets are signed by the custodians of `by`; rules 2 and 4.

    Raises:
        ApplianceError: APL-TUF-003.
    """
    _check_all(metadata, by.keys, where)
    _check_enough(metadata, by, where)


def check_root(metadata: Metadata[Root], before: Root | None, where: str) -> None:
    """A root is signed by its own custodians and by those of the root before (TUF section 5.3.4); rules 2, 3 and 4.

    Raises:
        ApplianceError: APL-TUF-003, APL-TUF-008 it names a key twice or is not the next version.
    """
    root = metadata.signed
    if before is not None and root.version != before.version + 1:
        raise ApplianceError(
            codes.METADATA_INVALID, f"expected root version {before.version + 1}, got {root.version}", where=where
        )
    material = [key.keyval.get("public") for key in root.keys.values()]
    if len(set(material)) != len(material):
        raise ApplianceError(codes.METADATA_INVALID, "the root names one key under two ids", where=where)
    for judge in (root,) if before is None else (before, root):
        _check_enough(metadata, judge, where)
    _check_all(metadata, {**(before.keys if before else {}), **root.keys}, where)


def _check_all(metadata: Metadata[Root] | Metadata[Targets], known: Mapping[str, Key], where: str) -> None:
    for key_id, signature in metadata.signatures.items():
        try:
            known[key_id].verify_signature(signature, metadata.signed_bytes)
        except (KeyError, ValueError, LibraryError) as error:
            raise ApplianceError(
                codes.TOO_FEW_SIGNATURES, f"the signature by {key_id} is wrong or by nobody", where=where
            ) from error


def _check_enough(metadata: Metadata[Root] | Metadata[Targets], by: Root, where: str) -> None:
    role = metadata.signed.type
    try:
        result = by.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    except (ValueError, LibraryError) as error:
        raise ApplianceError(codes.METADATA_INVALID, f"{role} names no usable keys: {error}", where=where) from error
    if not result:
        raise ApplianceError(
            codes.TOO_FEW_SIGNATURES,
            f"{role} version {metadata.signed.version} is signed by {len(result.signed)} keys of root version "
            f"{by.version}, expected {result.threshold}",
            where=where,
        )
    classical = [key for key in result.signed.values() if key.keytype != POST_QUANTUM]
    if len(classical) < CLASSICAL_SIGNATURES:
        raise ApplianceError(
            codes.TOO_FEW_SIGNATURES,
            f"{role} version {metadata.signed.version} has {len(classical)} classical signatures, expected "
            f"{CLASSICAL_SIGNATURES}",
            where=where,
        )
    if is_post_quantum(result.unsigned) and not is_post_quantum(result.signed):
        raise ApplianceError(
            codes.TOO_FEW_SIGNATURES,
            f"{role} version {metadata.signed.version} lacks the ML-DSA-65 signature that root version {by.version} "
            "demands",
            where=where,
        )


def is_post_quantum(found: dict[str, Key]) -> bool:
    """Whether one of these keys is of the ML-DSA kind."""
    return any(key.keytype == POST_QUANTUM for key in found.values())


def library_key(public: keys.PublicKey) -> SSlibKey:
    """The key as TUF metadata carries it."""
    return SSlibKey.from_crypto(public)


def crypto_key(key: Key) -> keys.PublicKey:
    """The reverse of `library_key`.

    Raises:
        ApplianceError: APL-TUF-008, it is not a key that we use.
    """
    try:
        public = serialization.load_pem_public_key(key.keyval["public"].encode())
    except ValueError:
        public = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"]))
    return keys.parse_public(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def sign(key: keys.SigningKey, payload: bytes) -> Signature:
    """A signature over the canonical bytes of metadata."""
    if isinstance(key.public, mldsa.MLDSA65PublicKey):
        payload = b"tuf\x01" + hashlib.sha512(payload).digest()  # TAP 21
    return Signature(library_key(key.public).keyid, key.sign(payload).hex())
