"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint). Strict: one byte form per value.

Rules
1. A checkpoint is three lines - origin, size, base64 root - without extension lines, then an empty line and signature
   lines ``\u2014 name base64(key hash, signature)``.
2. The key hash is the first four bytes of SHA-256(name, LF, 0x01, 32 key bytes); all 32 bytes of it are the log's id.
3. Exactly one line must be by the log. Lines of other names are kept and not judged: they belong to witnesses.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ed25519

from appliance.base.errors import ApplianceError
from appliance.trust import codes, keys
from appliance.trust.merkle import HASH_BYTES

ED25519 = 1  # C2SP signature type
MAX_NOTE_BYTES = 65_536  # of a checkpoint with all its witness lines
MAX_SIZE = 2**53 - 1  # entries of a log; the greatest integer that every JSON reader keeps exact


@dataclass(frozen=True, kw_only=True)
class LogKey:
    """Whose checkpoints to believe: the log's name and public key."""

    origin: str
    public: ed25519.Ed25519PublicKey

    @functools.cached_property
    def id(self) -> bytes:
        """32 bytes; the first four mark signature lines."""
        name = self.origin.encode() + b"\n" + bytes([ED25519])
        return hashlib.sha256(name + keys.raw_public(self.public)).digest()

    def text(self) -> str:
        """The C2SP verifier key ``name+hash+key``."""
        body = base64.b64encode(bytes([ED25519]) + keys.raw_public(self.public)).decode()
        return f"{self.origin}+{self.id[:4].hex()}+{body}"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A signed tree head, its signature verified."""

    origin: str
    size: int
    root: bytes
    note: bytes


def log_key(origin: str, public: keys.PublicKey) -> LogKey:
    """Raises:
    ApplianceError: APL-TRUST-005, the key is not Ed25519.
    """
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise ApplianceError(codes.KEY_UNUSABLE, f"the key of log {origin} is not Ed25519")
    return LogKey(origin=origin, public=public)


def parse_log_key(text: str) -> LogKey:
    """Parse the C2SP verifier key of a log.

    Raises:
        ApplianceError: APL-TRUST-005.
    """
    origin, public = parse_verifier_key(text.strip(), ED25519)
    return LogKey(origin=origin, public=public)


def parse_verifier_key(text: str, kind: int) -> tuple[str, ed25519.Ed25519PublicKey]:
    """Name and key of a C2SP verifier key with signature type `kind`.

    Raises:
        ApplianceError: APL-TRUST-005.
    """
    try:
        if text.count("+") < 2:
            raise ValueError(f"expected NAME+HASH+BASE64, got {text[:100]!r}")
        name, key_hash, body = text.split("+", 2)
        raw = decode_base64(body)
        public = ed25519.Ed25519PublicKey.from_public_bytes(raw[1:])
        expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex()
    except ValueError as error:  # covers a name that cannot be written as UTF-8
        raise ApplianceError(codes.KEY_UNUSABLE, f"not a verifier key: {error}") from error
    if not name or any(character.isspace() for character in name):
        raise ApplianceError(codes.KEY_UNUSABLE, f"{name!r} is not a key name")
    if raw[0] != kind:
        raise ApplianceError(codes.KEY_UNUSABLE, f"expected signature type {kind}, got {raw[0]}")
    if expected != key_hash:
        raise ApplianceError(codes.KEY_UNUSABLE, f"verifier key says hash {key_hash}, its key has {expected}")
    return name, public


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """What is signed."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def sign_checkpoint(key: keys.SigningKey, log: LogKey, size: int, root: bytes) -> bytes:
    """The note of a tree head."""
    text = checkpoint_text(log.origin, size, root)
    return text + b"\n" + signature_line(key, log, text)


def signature_line(key: keys.SigningKey, log: LogKey, text: bytes) -> bytes:
    """The line of the log over `text`."""
    return _line(log, key.sign(text))


def without_others(head: Checkpoint, log: LogKey) -> bytes:
    """The note of a checkpoint with no line but that of `log`, which opened it."""
    text, lines = _parse_note(head.note)
    (signature,) = [signature for name, key_hash, signature in lines if (name, key_hash) == (log.origin, log.id[:4])]
    return text + b"\n" + _line(log, signature)


def _line(log: LogKey, signature: bytes) -> bytes:
    return f"\u2014 {log.origin} {base64.b64encode(log.id[:4] + signature).decode()}\n".encode()


def open_checkpoint(note: bytes, log: LogKey, *, where: str = "checkpoint") -> Checkpoint:
    """Parse and verify a checkpoint.

    Raises:
        ApplianceError: APL-TRUST-003.
    """
    try:
        text, lines = _parse_note(note)
        origin, size, root = _parse_text(text)
    except ValueError as error:
        raise ApplianceError(codes.CHECKPOINT_REFUSED, f"not a checkpoint: {error}", where=where) from error
    if origin != log.origin:
        raise ApplianceError(codes.CHECKPOINT_REFUSED, f"expected the log {log.origin!r}, got {origin!r}", where=where)
    ours = [signature for name, key_hash, signature in lines if (name, key_hash) == (origin, log.id[:4])]
    if len(ours) != 1:
        raise ApplianceError(
            codes.CHECKPOINT_REFUSED, f"expected one signature line of the log, got {len(ours)}", where=where
        )
    if not keys.is_signature(log.public, ours[0], text):
        raise ApplianceError(codes.CHECKPOINT_REFUSED, "the signature is not by the log's key", where=where)
    return Checkpoint(origin=origin, size=size, root=root, note=note)


def signature_lines(note: bytes) -> list[tuple[str, bytes, bytes]]:
    """Name, key hash and signature of every line of a signed note; nothing is verified.

    Raises:
        ApplianceError: APL-TRUST-003.
    """
    try:
        return _parse_note(note)[1]
    except ValueError as error:
        raise ApplianceError(codes.CHECKPOINT_REFUSED, f"not a signed note: {error}") from error


def _parse_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    if len(note) > MAX_NOTE_BYTES:
        raise ValueError(f"{len(note)} bytes, at most {MAX_NOTE_BYTES} are allowed")
    text, separator, rest = note.partition(b"\n\n")
    if not separator or not rest.endswith(b"\n"):
        raise ValueError("no signature lines")
    lines = []
    for line in rest.decode().removesuffix("\n").split("\n"):
        dash, name, body = line.split(" ")
        raw = decode_base64(body)
        if dash != "\u2014" or not name or len(raw) < 5:
            raise ValueError("malformed signature line")
        lines.append((name, raw[:4], raw[4:]))
    return text + b"\n", lines


def _parse_text(text: bytes) -> tuple[str, int, bytes]:
    origin, size_text, root_text = text.decode().removesuffix("\n").split("\n")
    size, root = int(size_text), decode_base64(root_text)
    if len(root) != HASH_BYTES or not 0 <= size <= MAX_SIZE:
        raise ValueError("size or root out of range")
    if checkpoint_text(origin, size, root) != text:
        raise ValueError("the size has another spelling")
    return origin, size, root


def decode_base64(text: str) -> bytes:
    """Base64 with one spelling per value: ValueError for stray bits or signs."""
    raw = binascii.a2b_base64(text, strict_mode=True)
    if binascii.b2a_base64(raw, newline=False).decode() != text:
        raise binascii.Error("base64 has another spelling")
    return raw
