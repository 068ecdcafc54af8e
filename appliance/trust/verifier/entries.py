"""The log of a pack, replayed from its tiles (C2SP tlog-tiles), and what its entries say about keys.

Rules
1. The leading run of root and role keys is the head, which the ceremony wrote: it counts unsigned.
2. After it a root key or an enrollment counts when a root key that counts signed it; others are ignored. A key counts
   for the first role and identity that it was given.
3. A certificate entry that is not by an authority of the trust config, for a key that counts, is kept as a fault; a
   malformed revocation refuses the log at once.
4. The newest `model-stage` entry of a package says where it stands.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .certificates import TOKEN_SUBJECT, Certificate, check_chain
from .encoding import Item, canonical, conform, decode_base64, digest, parse_canonical, parse_digest, parse_time
from .log import HASH_BYTES, Checkpoint, Tree, leaf_hash
from .policy import TrustedRoot, accept
from .signatures import PublicKey, is_signed, load_key
from .verdict import require

WIDTH, HEIGHT = 256, 8  # hashes of a tile, and levels of the tree that it spans
_KEY = {"kind": str, "key_id": str, "public": decode_base64, "time": str}
_ENTRIES: dict[str, dict[str, Any]] = {
    "root-key": {**_KEY, "signature": object},
    "role-key": {**_KEY, "role": str},
    "enrollment": {**_KEY, "role": str, "identity": str, "signature": str},
    "certificate": {
        "kind": str, "role": str, "key_id": str, "time": str, "possession": decode_base64, "certificate": decode_base64,
    },
    "revocation": {
        "kind": str, "target": {"identity", "role-key", "issuing", "timestamp", "ct", "statement"}, "id": str,
        "from_index": int, "reason": str, "time": parse_time, "statement": parse_digest,
    },
}  # fmt: skip
_MARKS = tuple(b'"kind":"%s"' % kind.encode() for kind in (*_ENTRIES, "model-stage"))


@dataclass
class Register:
    """Grows with each entry, in the order of the log.

    `enrolled` maps key ids to (role, identity, key); `certificates` are the digests of all that were issued;
    `faults` are of step `issuance`; `stages` maps packages to their stage; `revocations` maps (target, id) to the
    first index that is covered.
    """

    root: TrustedRoot
    site: str
    roots: list[PublicKey] = field(default_factory=list)
    enrolled: dict[str, tuple[str, str, PublicKey]] = field(default_factory=dict)
    certificates: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    stages: dict[str, str] = field(default_factory=dict)
    revocations: dict[tuple[str, str], int] = field(default_factory=dict)
    at_head: bool = True

    def add(self, index: int, entry: bytes) -> None:
        """Take the next entry, which may be of no kind that is read here. ValueError: it is a malformed revocation."""
        value = None
        if any(mark in entry for mark in _MARKS):  # canonical JSON has one spelling of the kind
            with contextlib.suppress(ValueError):
                value = parse_canonical(entry)
        value = value if isinstance(value, dict) else {}
        kind = str(value.get("kind"))
        self.at_head = self.at_head and kind in ("root-key", "role-key") and set(value) == set(_ENTRIES[kind])
        if kind == "model-stage":
            self.stages[str(value.get("package"))] = str(value.get("to"))
        if kind not in _ENTRIES:
            return
        try:
            fields = conform(value, _ENTRIES[kind], kind)
            if kind == "certificate":
                self._issue(fields)
            elif kind == "revocation":
                self._revoke(fields)
            else:
                self._enroll(kind, fields, value)
        except ValueError as error:
            if kind == "revocation":
                raise ValueError(f"entry {index}, revocation: {error}") from error
            if kind == "certificate":
                self.faults.append(f"entry {index}: {error}")

    def _enroll(self, kind: str, fields: dict[str, Any], entry: dict[str, Any]) -> None:
        key = load_key(fields["public"])
        require(fields["key_id"] == digest(fields["public"]), "the key has another id")
        if not self.at_head:
            signature = decode_base64(str(entry.get("signature", "")))
            signed = canonical({name: each for name, each in entry.items() if name != "signature"})
            require(any(is_signed(root, signature, signed) for root in self.roots), "not by a root key")
        if kind == "root-key":
            self.roots.append(key)
        else:
            identity = fields.get("identity", f"https://{self.site}.appliance.internal/roles/{fields['role']}")
            self.enrolled.setdefault(fields["key_id"], (fields["role"], identity, key))

    def _issue(self, fields: dict[str, Any]) -> None:
        leaf, key_id, role = Certificate(fields["certificate"]), fields["key_id"], fields["role"]
        accept(self.root.authorities, functools.partial(check_chain, leaf), "no authority is trusted")
        enrolled_as, identity, key = require(self.enrolled.get(key_id), f"key {key_id[:80]} is not enrolled")
        require(enrolled_as == role, f"key {key_id[:80]} is enrolled as {enrolled_as!r}, not {role[:80]!r}")
        require(leaf.identity == identity, f"the certificate is for {leaf.identity}, the key for {identity}")
        require(leaf.text(TOKEN_SUBJECT) == key_id, "the certificate names another key")
        require(is_signed(key, fields["possession"], leaf.spki), "the enrolled key did not ask for it")
        self.certificates.add(digest(leaf.data))

    def _revoke(self, fields: dict[str, Any]) -> None:
        key, first = (fields["target"], fields["id"]), fields["from_index"]
        require(first >= 0, "from an index below 0")
        require(fields["target"] != "statement" or first == 0, "a statement is revoked from the start")
        self.revocations[key] = min(first, self.revocations.get(key, first))


def replay(need: Callable[[str], bytes], head: Checkpoint, register: Register) -> Tree:
    """The tree of a pack's entries, which the register takes in on the way; `need` reads a file of the pack."""
    size, leaves = head.size, bytearray()
    for number in show_progress(range(-(-size // WIDTH)), "tiles of the log"):
        width = min(WIDTH, size - number * WIDTH)
        for offset, entry in enumerate(_read_entries(need(_tile("entries", number, width)), width)):
            leaves += leaf_hash(entry)
            register.add(number * WIDTH + offset, entry)
    tree = Tree(leaves)
    require(tree.root(size) == head.root, f"the {size} entries do not hash to the signed root")
    row, level = size, 0
    while row:
        for number in range(-(-row // WIDTH)):
            width = min(WIDTH, row - number * WIDTH)
            start = number * WIDTH * HASH_BYTES
            expected = tree.levels[HEIGHT * level][start : start + width * HASH_BYTES]
            name = _tile(str(level), number, width)
            require(need(name) == expected, f"{name} does not hold the hashes of the entries")
        row, level = row // WIDTH, level + 1
    return tree


def _tile(level: str, number: int, width: int) -> str:
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    return f"log/tile/{level}/{'/'.join(parts)}" + ("" if width == WIDTH else f".p/{width}")


def _read_entries(data: bytes, count: int) -> Iterator[bytes]:
    offset = 0
    for _ in range(count):
        end = offset + 2 + int.from_bytes(data[offset : offset + 2], "big")
        require(end <= len(data) and offset + 2 <= len(data), "a tile of entries is cut")
        yield data[offset + 2 : end]
        offset = end
    require(offset == len(data), "a tile has more entries than the tree")


def show_progress(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items; on a terminal, a line on stderr that counts them."""
    shown = sys.stderr.isatty()
    for done, item in enumerate(items, start=1):
        if shown and (done % 64 == 0 or done == len(items)):
            sys.stderr.write(f"\r{done} of {len(items)} {what}" + ("\n" if done == len(items) else ""))
        yield item
