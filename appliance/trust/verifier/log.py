"""The log: Merkle trees, checkpoints and cosignatures.

Trees are those of RFC 6962 section 2.1, replayed from the leaves, or proven as RFC 9162 section 2.1.3 says; notes are
C2SP signed-note, tlog-checkpoint, tlog-cosignature and tlog-policy.

1. A note is text, an empty line, and signature lines; a checkpoint's text is origin, size and base64 root. Rekor adds
   lines of its own, which only `extended` allows.
2. Of the log there is exactly one line. It counts by name and key hash, and so does a witness's.
3. A line of a known witness that does not verify refuses the checkpoint; unknown lines are ignored.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .encoding import decode_base64, from_posix, parse_number
from .signatures import PublicKey, is_signed
from .verdict import require

HASH_BYTES = 32


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root to which an inclusion proof leads (RFC 9162 section 2.1.3.2). ValueError: it is too long or short."""
    require(0 <= index < size, f"entry {index} of a tree of {size}")
    position, last, current = index, size - 1, leaf
    for step in path:
        require(last, "the inclusion proof is too long")
        if position & 1 or position == last:
            current = node_hash(step, current)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            current = node_hash(current, step)
        position, last = position >> 1, last >> 1
    require(not last, "the inclusion proof is too short")
    return current


class Tree:
    """All hashes of a tree, level by level: 64 bytes of memory for each entry, for any number of questions."""

    def __init__(self, leaves: bytearray) -> None:
        """`leaves` are the hashes of the entries, one after another."""
        self.levels = [leaves]
        while len(row := self.levels[-1]) >= 2 * HASH_BYTES:
            above = bytearray()
            for end in range(2 * HASH_BYTES, len(row) + 1, 2 * HASH_BYTES):
                above += hashlib.sha256(b"\1" + row[end - 2 * HASH_BYTES : end]).digest()
            self.levels.append(above)

    def hash_at(self, level: int, index: int) -> bytes:
        """The hash of the 2**level entries from index * 2**level."""
        return bytes(self.levels[level][index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def root(self, size: int) -> bytes:
        """The root of the first `size` entries."""
        known = len(self.levels[0]) // HASH_BYTES
        require(0 <= size <= known, f"a tree of {size} entries in one of {known}")
        if size == 0:
            return hashlib.sha256(b"").digest()
        # One perfect subtree for each bit of the size, the greatest first.
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        peaks = [self.hash_at(level, (size >> level) - 1) for level in levels]
        return functools.reduce(lambda right, left: node_hash(left, right), reversed(peaks))


MAX_NOTE_BYTES = 65_536
LOG_TYPE, WITNESS_TYPE, ML_DSA_TYPE = 1, 4, 6  # C2SP signature types
Rule = Callable[[frozenset[str]], bool]  # whether these witnesses are enough


class Checkpoint:
    """As parsed, unverified. `lines` are (name, key hash, signature); with `extended` the text may have more lines."""

    def __init__(self, note: bytes, *, extended: bool = False) -> None:
        require(len(note) <= MAX_NOTE_BYTES, f"a checkpoint of {len(note)} bytes, at most {MAX_NOTE_BYTES} are allowed")
        text, separator, rest = note.partition(b"\n\n")
        require(separator and rest.endswith(b"\n"), "the checkpoint has no signature lines")
        self.text = text + b"\n"
        self.origin, size, root, *others = text.decode().split("\n")
        require(self.origin and (extended or not others), "the checkpoint has extension lines")
        self.size, self.root = parse_number(size), decode_base64(root)
        require(len(self.root) == 32, "the root hash has not 32 bytes")
        self.lines: list[tuple[str, bytes, bytes]] = []
        for line in rest.decode()[:-1].split("\n"):
            words = line.split(" ")
            require(len(words) == 3 and words[0] == "\u2014" and words[1], "malformed signature line")
            signature = decode_base64(words[2])
            require(len(signature) > 4, "a signature line without signature")
            self.lines.append((words[1], signature[:4], signature[4:]))

    def by(self, name: str, key_hash: bytes) -> list[bytes]:
        return [signature for *signer, signature in self.lines if signer == [name, key_hash]]

    def check_log(self, name: str, key_hash: bytes, key: PublicKey) -> None:
        """Rule 2."""
        signatures = self.by(name, key_hash)
        require(len(signatures) == 1, f"expected one signature line of {name!r}, got {len(signatures)}")
        require(is_signed(key, signatures[0], self.text), f"the checkpoint is not by the key of {name!r}")


class Verifier:
    """A C2SP verifier key ``name+hash+base64(type, key)``; `key` is None for ML-DSA, which is not judged here."""

    def __init__(self, text: str, *types: int) -> None:
        require(text.count("+") >= 2, f"not a verifier key: {text[:80]!r}")
        self.name, key_hash, body = text.split("+", 2)
        raw = decode_base64(body)
        require(self.name and raw and raw[0] in types, f"verifier key {self.name!r} is of another type")
        self.key_hash = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        require(self.key_hash.hex() == key_hash, f"verifier key {self.name!r} has another hash")
        self.raw = raw[1:]
        self.key = None if raw[0] == ML_DSA_TYPE else Ed25519PublicKey.from_public_bytes(self.raw)


class WitnessPolicy:
    """A tlog-policy: `meets` says whether the witnesses of these names are a quorum."""

    def __init__(self, data: bytes) -> None:
        self.logs: list[Verifier] = []
        self.witnesses: dict[str, Verifier] = {}
        rules: dict[str, Rule] = {"none": lambda _: True}
        grouped = {"none"}
        quorum: list[str] = []
        for line in data.decode().split("\n"):
            match [word for word in line.replace("\t", " ").split(" ") if word]:
                case []:
                    pass
                case [comment, *_] if comment.startswith("#"):
                    pass
                case ["log", key] | ["log", key, _]:
                    self.logs.append(Verifier(key, LOG_TYPE))
                case ["witness", name, key] | ["witness", name, key, _] if name not in rules:
                    self.witnesses[name] = Verifier(key, WITNESS_TYPE, ML_DSA_TYPE)
                    rules[name] = lambda who, name=name: name in who  # type: ignore[misc]
                case ["group", name, count, *names] if name not in rules and names:
                    good = len(set(names)) == len(names) and set(names) <= set(rules) - grouped
                    require(good, f"group {name!r} has members that are unknown or in two groups")
                    k = {"any": 1, "all": len(names)}.get(count) or parse_number(count)
                    require(1 <= k <= len(names), f"group {name!r} needs {k} of {len(names)}")
                    grouped |= set(names)
                    parts = [rules[each] for each in names]
                    rules[name] = lambda who, parts=parts, k=k: sum(part(who) for part in parts) >= k  # type: ignore[misc]
                case ["quorum", name] if name in rules:
                    quorum.append(name)
                case _:
                    raise ValueError(f"not a policy line: {line[:80]!r}")
        require(len(quorum) == 1, f"expected one quorum line, got {len(quorum)}")
        self.meets, self.is_none = rules[quorum[0]], quorum == ["none"]
        keys = {each.raw for each in self.witnesses.values()}
        require(len(keys) == len(self.witnesses), "two witnesses have the same key")

    def cosigned(self, note: Checkpoint) -> dict[str, dt.datetime]:
        """The valid cosignature times by the policy's names of the witnesses (rule 3)."""
        times: dict[str, dt.datetime] = {}
        for name, witness in self.witnesses.items():
            line, *others = note.by(witness.name, witness.key_hash) or [b""]
            require(not others, f"two lines of witness {witness.name}")
            if line and witness.key:
                seconds = int.from_bytes(line[:8], "big")
                text = b"cosignature/v1\ntime %d\n" % seconds + note.text
                good = len(line) == 72 and is_signed(witness.key, line[8:], text)
                require(good, f"the line of witness {witness.name} does not verify")
                times[name] = from_posix(seconds)
        return times

    def newest(self, times: dict[str, dt.datetime]) -> dt.datetime | None:
        """The greatest time t such that the witnesses at or after t are a quorum; None without any cosignature."""
        for t in sorted(times.values(), reverse=True):
            if self.is_none or self.meets(frozenset(name for name, when in times.items() if when >= t)):
                return t
        require(self.is_none, f"the cosignatures of {', '.join(sorted(times)) or 'nobody'} are no quorum")
        return None
