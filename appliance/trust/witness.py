"""A witness: somebody outside the site who cosigns checkpoints that extend what they saw before (C2SP tlog-witness).

The exchange goes by files, on a stick or on paper: the site writes a request, the witness answers with a signature
line, the site takes it in. Nothing but the request is needed to judge it.

Order of checks of a request
1. It is one of C2SP's form, at most `MAX_REQUEST_BYTES`.
2. The checkpoint is by a log that this witness knows.
3. Its old size is the one that the witness saw last; a smaller tree is a rollback.
4. The same size has the same root, and a greater tree extends the old one by the proof in the request.
5. The new state is durable before the signature is made: after a crash a witness may have seen a tree that it did not
   cosign, never the other way round.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from appliance.base import atomic
from appliance.base.clock import Clock
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import codes, cosignatures, keys, merkle, notes
from appliance.trust.cosignatures import WitnessKey
from appliance.trust.tiles import Tree

MAX_REQUEST_BYTES = 2_048  # fits a QR code; 63 proof lines never occur below 2**30 entries and eight cosignatures
MAX_PROOF_LINES = 63  # C2SP tlog-witness, add-checkpoint


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a witness is asked to cosign."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        lines = [f"old {self.old_size}", *(base64.b64encode(each).decode() for each in self.proof), ""]
        return "\n".join(lines).encode() + b"\n" + self.note


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The greatest tree of a log that a witness or an auditor has verified.

    `note` is its signed checkpoint: with a second one that does not fit, it is proof against the log.
    """

    origin: str
    size: int
    root: str
    note: str

    @property
    def root_hash(self) -> bytes:
        return notes.decode_base64(self.root)


def seen(head: notes.Checkpoint) -> Seen:
    return Seen(origin=head.origin, size=head.size, root=base64.b64encode(head.root).decode(), note=head.note.decode())


def read_seen(path: Path) -> Seen | None:
    """What was remembered; None when there is nothing yet.

    Raises:
        ApplianceError: APL-TRUST-031, the file cannot be read: a memory that is lost must not pass for none.
    """
    if not path.exists():
        return None
    try:
        state = msgspec.json.decode(path.read_bytes(), type=Seen, strict=True)
        if len(state.root_hash) != merkle.HASH_BYTES or state.size < 0:
            raise ValueError("size or root out of range")
    except (OSError, ValueError) as error:
        raise ApplianceError(codes.MEMORY_UNREADABLE, f"not a remembered tree: {error}", where=str(path)) from error
    return state


def write_seen(path: Path, state: Seen) -> None:
    document: dict[str, Any] = msgspec.to_builtins(state)
    atomic.write_bytes(path, json.dumps(document, indent=1).encode() + b"\n")


def make_request(tree: Tree, head: notes.Checkpoint, old_size: int) -> bytes:
    """The request to cosign `head`, for a witness that saw `old_size` entries.

    Raises:
        ApplianceError: APL-TRUST-027, the witness saw more than there is, or the request would be too large.
    """
    if old_size > head.size:
        raise ApplianceError(codes.COSIGNING_REFUSED, f"the witness saw {old_size} entries, the log has {head.size}")
    proof = tree.consistency(old_size, head.size)
    request = Request(old_size=old_size, proof=tuple(proof), note=head.note).encode()
    if len(request) > MAX_REQUEST_BYTES:
        raise ApplianceError(
            codes.COSIGNING_REFUSED, f"request of {len(request)} bytes, at most {MAX_REQUEST_BYTES} are allowed"
        )
    return request


def read_request(path: Path) -> bytes:
    """Raises:
    ApplianceError: APL-TRUST-027, the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_REQUEST_BYTES + 1)
    except OSError as error:
        raise ApplianceError(codes.COSIGNING_REFUSED, f"cannot be read: {error.strerror}", where=str(path)) from error


def parse_request(data: bytes) -> Request:
    """Raises:
    ApplianceError: APL-TRUST-027.
    """
    try:
        if len(data) > MAX_REQUEST_BYTES:
            raise ValueError(f"{len(data)} bytes, at most {MAX_REQUEST_BYTES} are allowed")
        head, separator, note = data.partition(b"\n\n")
        word, *lines = head.decode("ascii").split("\n")
        old, size = word.split(" ")
        if not separator or old != "old" or size != str(int(size)) or int(size) < 0:
            raise ValueError("no line `old SIZE`")
        proof = tuple(notes.decode_base64(line) for line in lines)
        if len(proof) > MAX_PROOF_LINES or any(len(each) != merkle.HASH_BYTES for each in proof):
            raise ValueError("the proof is too long, or holds no hashes")
    except ValueError as error:
        raise ApplianceError(codes.COSIGNING_REFUSED, f"not a request for a witness: {error}") from error
    return Request(old_size=int(size), proof=proof, note=note)


class Witness:
    """A witness whose memory is `folder`: one file for each log, by the hash of its name."""

    def __init__(self, folder: Path, key: keys.SigningKey, name: str, clock: Clock) -> None:
        public = key.public
        self.key = WitnessKey(name=name, public=notes.log_key(name, public).public)
        self._folder = folder
        self._signer = key
        self._clock = clock

    def cosign(self, request: bytes, logs: tuple[notes.LogKey, ...]) -> str:
        """The signature line for a request.

        Raises:
            ApplianceError: APL-TRUST-027 the request is refused, APL-TRUST-018 it is a rollback, APL-TRUST-019 it
                forks, APL-TRUST-003 it is not signed by a known log, APL-TRUST-031. Nothing was remembered.
        """
        asked = parse_request(request)
        log = self._log_of(asked.note, logs)
        head = notes.open_checkpoint(asked.note, log, where="request")
        with self._locked():
            path = self._memory(log)
            before = read_seen(path)
            _check(asked, head, before)
            write_seen(path, seen(head))
            return cosignatures.cosign(self._signer, self.key, head.note, int(self._clock.now().timestamp()))

    def last(self, log: notes.LogKey) -> Seen | None:
        """The greatest tree of a log that this witness saw."""
        return read_seen(self._memory(log))

    def _memory(self, log: notes.LogKey) -> Path:
        # By name, not by key: a log whose key was rotated must extend what it was.
        return self._folder / f"{digest_bytes(log.origin.encode())[7:39]}.json"

    @staticmethod
    def _log_of(note: bytes, logs: tuple[notes.LogKey, ...]) -> notes.LogKey:
        marks = {(name, key_hash) for name, key_hash, _ in notes.signature_lines(note)}
        for log in logs:
            if (log.origin, log.id[:4]) in marks:
                return log
        raise ApplianceError(codes.COSIGNING_REFUSED, "the checkpoint is by no log that this witness knows")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with atomic.exclusive(self._folder / "lock"):
            yield


def create_witness(folder: Path, name: str) -> WitnessKey:
    """Make the folder and key of a witness.

    Raises:
        ApplianceError: APL-TRUST-006 there is one, APL-TRUST-005 the name is not a key name, APL-BASE-002.
    """
    if not name or "+" in name or any(character.isspace() for character in name) or not name.isascii():
        raise ApplianceError(codes.KEY_UNUSABLE, f"{name!r} is not a key name")
    key = keys.FileKeys(folder).create("witness", "ed25519")
    atomic.write_bytes(folder / "name", name.encode() + b"\n")
    return WitnessKey(name=name, public=notes.log_key(name, key.public).public)


def open_witness(folder: Path, clock: Clock) -> Witness:
    """Raises:
    ApplianceError: APL-TRUST-005 there is none, APL-TRUST-004 others can read its key.
    """
    try:
        name = (folder / "name").read_text().strip()
    except OSError as error:
        raise ApplianceError(codes.KEY_UNUSABLE, f"no witness: {error.strerror}", where=str(folder)) from error
    return Witness(folder, keys.FileKeys(folder).load("witness"), name, clock)


def _check(asked: Request, head: notes.Checkpoint, before: Seen | None) -> None:
    old_size, old_root = (before.size, before.root_hash) if before else (0, merkle.EMPTY_ROOT)
    if head.size < old_size:
        raise ApplianceError(codes.ROLLED_BACK, f"this witness saw {old_size} entries, the request has {head.size}")
    if head.size == old_size and head.root != old_root:
        raise ApplianceError(codes.FORKED, f"two trees of {old_size} entries with different roots")
    if asked.old_size != old_size:
        raise ApplianceError(
            codes.COSIGNING_REFUSED,
            f"the request starts at {asked.old_size} entries, this witness saw {old_size}",
            hint=f"Ask for a request with --old {old_size}.",
        )
    if not merkle.is_consistent(old_size, head.size, old_root, head.root, asked.proof):
        raise ApplianceError(codes.FORKED, f"the proof from {old_size} to {head.size} entries does not hold")
