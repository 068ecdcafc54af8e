"""Self-contained proofs that an entry is in the log (C2SP tlog-proof v1), for verifiers that know no bundles."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from appliance.base.errors import ApplianceError
from appliance.trust import codes, merkle, notes
from appliance.trust.tiles import Tree

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
MAX_BYTES = 131_072  # a checkpoint with all its witness lines, and 63 hashes
_MAX_HASHES = 63


@dataclass(frozen=True, kw_only=True)
class LogProof:
    """Where an entry stands, its inclusion path and the checkpoint; `extra` is not authenticated by anything."""

    index: int
    path: tuple[bytes, ...]
    note: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        lines = [HEADER]
        lines += [f"extra {base64.b64encode(self.extra).decode()}"] if self.extra else []
        lines += [f"index {self.index}", *(base64.b64encode(each).decode() for each in self.path), ""]
        return "\n".join(lines).encode() + b"\n" + self.note

    def verify(self, entry: bytes, log: notes.LogKey) -> notes.Checkpoint:
        """The verified checkpoint of a tree that holds `entry` at `index`.

        Raises:
            ApplianceError: APL-TRUST-003 the checkpoint is not by the log, APL-TRUST-011 the entry is not in its tree.
        """
        head = notes.open_checkpoint(self.note, log, where="proof")
        if not merkle.is_included(merkle.leaf_hash(entry), self.index, head.size, self.path, head.root):
            raise ApplianceError(codes.NOT_IN_LOG, f"the proof for index {self.index} of {head.size} does not hold")
        return head


def make_proof(tree: Tree, head: notes.Checkpoint, index: int) -> bytes:
    """The proof that the entry at `index` is in the tree of `head`.

    Raises:
        ApplianceError: APL-TRUST-011, there is no such entry.
    """
    if not 0 <= index < head.size:
        raise ApplianceError(
            codes.NOT_IN_LOG,
            f"there is no entry {index} among {head.size}",
            hint="An entry that is newer than what witnesses saw can be proved after the next trust witness-import.",
        )
    return LogProof(index=index, path=tuple(tree.inclusion(index, head.size)), note=head.note).encode()


def parse_proof(data: bytes) -> LogProof:
    """Raises:
    ApplianceError: APL-TRUST-011.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"{len(data)} bytes, at most {MAX_BYTES} are allowed")
        text, separator, note = data.partition(b"\n\n")
        header, *lines = text.decode("ascii").split("\n")
        if header != HEADER or not separator:
            raise ValueError(f"expected {HEADER}")
        extra = notes.decode_base64(lines.pop(0).removeprefix("extra ")) if lines[0].startswith("extra ") else b""
        word, number = lines.pop(0).split(" ")
        path = tuple(notes.decode_base64(line) for line in lines)
        if word != "index" or number != str(int(number)) or not 0 <= int(number) <= notes.MAX_SIZE:
            raise ValueError("no line `index NUMBER`")
        if len(path) > _MAX_HASHES or any(len(each) != merkle.HASH_BYTES for each in path):
            raise ValueError("the path is too long, or holds no hashes")
    except (ValueError, IndexError) as error:
        raise ApplianceError(codes.NOT_IN_LOG, f"not a log proof: {error}") from error
    return LogProof(index=int(number), path=path, note=note, extra=extra)
