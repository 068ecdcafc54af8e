"""Witness cosignatures on checkpoints (C2SP tlog-cosignature, Ed25519).

A cosignature says: at this time, this was the greatest tree of the log that I had seen, and it extends all before it.

Rules
1. A line of a known witness, by name and key hash, must verify; a second line of the same witness is refused.
2. Lines of unknown names are ignored: they may belong to somebody else's witnesses.
3. The signed message does not hold the witness's name, so a key belongs to one witness only.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ed25519

from appliance.base.errors import ApplianceError
from appliance.trust import codes, keys, notes

COSIGNATURE = 4  # C2SP signature type of Ed25519 cosignatures
MAX_SECONDS = 253_402_300_799  # the end of the year 9999
_BYTES = 8 + 64  # POSIX seconds, Ed25519 signature


@dataclass(frozen=True, kw_only=True)
class WitnessKey:
    """Whose cosignatures count: the witness's key name and public key."""

    name: str
    public: ed25519.Ed25519PublicKey

    @property
    def hash(self) -> bytes:
        """The four bytes that mark its lines."""
        return hashlib.sha256(
            self.name.encode() + b"\n" + bytes([COSIGNATURE]) + keys.raw_public(self.public)
        ).digest()[:4]

    def text(self) -> str:
        """The C2SP verifier key ``name+hash+key``."""
        body = base64.b64encode(bytes([COSIGNATURE]) + keys.raw_public(self.public)).decode()
        return f"{self.name}+{self.hash.hex()}+{body}"


def parse_witness_key(text: str) -> WitnessKey:
    """Raises:
    ApplianceError: APL-TRUST-005, not the verifier key of an Ed25519 witness.
    """
    name, public = notes.parse_verifier_key(text, COSIGNATURE)
    return WitnessKey(name=name, public=public)


def cosign(key: keys.SigningKey, witness: WitnessKey, note: bytes, seconds: int) -> str:
    """The signature line, with its newline, that adds `witness` to a checkpoint."""
    signature = key.sign(_message(note, seconds))
    body = base64.b64encode(witness.hash + struct.pack(">Q", seconds) + signature).decode()
    return f"\u2014 {witness.name} {body}\n"


def cosigned(note: bytes, witnesses: Iterable[WitnessKey]) -> Mapping[str, int]:
    """Who cosigned a checkpoint, and when: key name -> POSIX seconds.

    Raises:
        ApplianceError: APL-TRUST-017, a line of a known witness does not verify, stands twice, or has an absurd time.
    """
    known = {(witness.name, witness.hash): witness for witness in witnesses}
    found: dict[str, int] = {}
    for name, key_hash, body in notes.signature_lines(note):
        witness = known.get((name, key_hash))
        if witness is None:
            continue
        if name in found:
            raise ApplianceError(codes.WITNESS_MISSING, f"witness {name} stands twice")
        seconds = int.from_bytes(body[:8], "big")
        if len(body) != _BYTES or not keys.is_signature(witness.public, body[8:], _message(note, seconds)):
            raise ApplianceError(codes.WITNESS_MISSING, f"the cosignature of {name} does not verify")
        if seconds > MAX_SECONDS:
            raise ApplianceError(codes.WITNESS_MISSING, f"the time that {name} signed, {seconds}, is in no calendar")
        found[name] = seconds
    return found


def with_lines(note: bytes, lines: str, witnesses: Iterable[WitnessKey]) -> bytes:
    """The checkpoint with the lines of `witnesses` added; a newer line of a witness takes the place of its older one.

    Raises:
        ApplianceError: APL-TRUST-017, a line does not verify or is by none of the witnesses.
    """
    witnesses = tuple(witnesses)
    text, _, _ = note.partition(b"\n\n")
    added = dict(_by_mark(text + b"\n\n" + lines.encode()))
    known = {(witness.name, witness.hash) for witness in witnesses}
    if not added or not added.keys() <= known:
        raise ApplianceError(codes.WITNESS_MISSING, "the answer holds no line, or one of an unknown witness")
    kept = {mark: line for mark, line in _by_mark(note) if mark not in added}
    result = text + b"\n\n" + "".join([*kept.values(), *added.values()]).encode()
    cosigned(result, witnesses)
    return result


def _by_mark(note: bytes) -> Iterable[tuple[tuple[str, bytes], str]]:
    for name, key_hash, body in notes.signature_lines(note):
        yield (name, key_hash), f"\u2014 {name} {base64.b64encode(key_hash + body).decode()}\n"


def _message(note: bytes, seconds: int) -> bytes:
    text, _, _ = note.partition(b"\n\n")
    return b"cosignature/v1\ntime %d\n%s\n" % (seconds, text)
