"""Evidence that a log shows two histories: one file that convinces anybody who holds the log's public key.

It holds two checkpoints by the log and a consistency proof *within the tree of the second*: the proof shows what root
the second tree has at the size of the first, and that root is another than the one that the first checkpoint signs.
The log's own signatures say both, so no honest log can be accused (RFC 6962 section 2.1.2 and SHA-256).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.errors import ApplianceError
from appliance.trust import codes, merkle, notes
from appliance.trust.tiles import Tree

FORMAT: Literal["https://appliance.internal/formats/fork-evidence/v1"] = (
    "https://appliance.internal/formats/fork-evidence/v1"
)
MAX_BYTES = 262_144


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["https://appliance.internal/formats/fork-evidence/v1"] = FORMAT
    first: str
    second: str
    prefix_root: str
    proof: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fork:
    """Two trees of one log that exclude each other; at `first.size` the second has `prefix_root`."""

    first: notes.Checkpoint
    second: notes.Checkpoint
    prefix_root: bytes


def make_evidence(first: bytes, second: notes.Checkpoint, tree: Tree, size: int) -> bytes:
    """Evidence against the log: the note `first` over `size` entries, and the verified tree of `second`."""
    encode = base64.b64encode
    form = _Form(
        first=first.decode(),
        second=second.note.decode(),
        prefix_root=encode(tree.root(size)).decode(),
        proof=tuple(encode(each).decode() for each in tree.consistency(size, second.size)),
    )
    return canonical(msgspec.to_builtins(form))


def read(path: Path) -> bytes:
    """Raises:
    ApplianceError: APL-TRUST-034, the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ApplianceError(codes.NO_EVIDENCE, f"cannot be read: {error.strerror}", where=str(path)) from error


def check_evidence(data: bytes, logs: tuple[notes.LogKey, ...]) -> Fork:
    """What the evidence proves against one of the logs.

    Raises:
        ApplianceError: APL-TRUST-034 it proves nothing, APL-TRUST-003 a checkpoint is not by the log.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"{len(data)} bytes, at most {MAX_BYTES} are allowed")
        form = msgspec.convert(_parse(data), _Form, strict=True)
        prefix_root = notes.decode_base64(form.prefix_root)
        proof = [notes.decode_base64(each) for each in form.proof]
        first, second = (_open(each.encode(), logs) for each in (form.first, form.second))
        if first.size > second.size or prefix_root == first.root:
            raise ValueError("the two trees do not exclude each other")
        if not merkle.is_consistent(first.size, second.size, prefix_root, second.root, proof):
            raise ValueError("the proof does not lead to the second tree")
    except (ValueError, UnicodeError) as error:
        raise ApplianceError(codes.NO_EVIDENCE, str(error)) from error
    return Fork(first=first, second=second, prefix_root=prefix_root)


def _parse(data: bytes) -> object:
    try:
        return parse_canonical(data)
    except ApplianceError as error:
        raise ValueError(error.message) from error


def _open(note: bytes, logs: tuple[notes.LogKey, ...]) -> notes.Checkpoint:
    marks = {(name, key_hash) for name, key_hash, _ in notes.signature_lines(note)}
    for log in logs:
        if (log.origin, log.id[:4]) in marks:
            return notes.open_checkpoint(note, log, where="evidence")
    raise ValueError("a checkpoint is by another log")
