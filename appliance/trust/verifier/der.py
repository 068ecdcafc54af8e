"""DER as X.690 sections 8 and 10 define it: definite, shortest lengths and single-byte tags. Raises ValueError."""

from __future__ import annotations

import datetime as dt
import functools
import re
from dataclasses import dataclass

from .verdict import require

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OID, UTF8, SEQUENCE, SET = 1, 2, 3, 4, 6, 12, 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 23, 24
_ARC = re.compile(rb"(?:[\x81-\xff][\x80-\xff]{0,17})?[\x00-\x7f]")  # shortest form, of at most 133 bits


@dataclass(frozen=True)
class Node:
    """One value: its tag byte, its content, and both with the length between."""

    tag: int
    content: bytes
    raw: bytes

    def children(self, tag: int = SEQUENCE) -> list[Node]:
        return read_nodes(self.expect(tag))

    def expect(self, tag: int) -> bytes:
        """The content, if the tag is this one."""
        require(self.tag == tag, f"DER: expected tag {tag:#04x}, got {self.tag:#04x}")
        return self.content

    def oid(self) -> str:
        """Its arcs with dots between."""
        arcs = _ARC.findall(self.expect(OID))
        require(arcs and b"".join(arcs) == self.content, "DER: malformed object identifier")
        first, *rest = (functools.reduce(lambda value, byte: value << 7 | byte & 0x7F, arc, 0) for arc in arcs)
        top = min(first // 40, 2)
        return ".".join(str(arc) for arc in (top, first - 40 * top, *rest))

    def integer(self) -> int:
        value = int.from_bytes(self.expect(INTEGER), "big", signed=True)
        require(self.raw == write_integer(value), "DER: integer is not in its shortest form")
        return value

    def boolean(self) -> bool:
        require(self.expect(BOOLEAN) in (b"\0", b"\xff"), "DER: malformed boolean")
        return self.content == b"\xff"

    def bits(self) -> bytes:
        """A bit string of whole bytes, or a named one: unused bits are zero (X.690 section 11.2)."""
        content = self.expect(BIT_STRING)
        unused = content[0] if content else 8
        spare = bool(unused) and (len(content) < 2 or content[-1] & ((1 << unused) - 1))
        require(unused < 8 and not spare, "DER: malformed bit string")
        return content[1:]

    def time(self, *, short: bool = True) -> dt.datetime:
        """RFC 5280 section 4.1.2.5 and RFC 3161 section 2.4.2: UTC, seconds, and a fraction without trailing zeros.

        `short` allows UTCTime, which has two digits for the year.
        """
        text = self.content.decode("ascii")
        if short and self.tag == UTC_TIME:
            text = ("20" if text[:2] < "50" else "19") + text
        else:
            self.expect(GENERALIZED_TIME)
        found = require(re.fullmatch(r"(\d{14})(?:\.(\d{0,8}[1-9]))?Z", text, re.ASCII), "DER: malformed time")
        require(self.tag != UTC_TIME or not found[2], "DER: malformed time")
        whole = dt.datetime.strptime(found[1] + "+0000", "%Y%m%d%H%M%S%z")
        return whole + dt.timedelta(microseconds=int((found[2] or "0").ljust(6, "0")[:6]))


def read_nodes(data: bytes) -> list[Node]:
    """The values that stand one after another."""
    nodes, offset = [], 0
    while offset < len(data):
        start, tag = offset, data[offset]
        require(tag & 0x1F != 0x1F and offset + 2 <= len(data), "DER: long tag or cut value")
        length, offset = data[offset + 1], offset + 2
        if length & 0x80:
            octets = data[offset : offset + (length & 0x7F)]
            length, offset = int.from_bytes(octets, "big"), offset + len(octets)
            shortest = 0 < len(octets) <= 4 and octets[0] and length >= 0x80
            require(shortest, "DER: length is not in its shortest form")
        require(offset + length <= len(data), "DER: value is cut")
        nodes.append(Node(tag, data[offset : offset + length], data[start : offset + length]))
        offset += length
    return nodes


def read_node(data: bytes) -> Node:
    """The one value that `data` is."""
    nodes = read_nodes(data)
    require(len(nodes) == 1, f"DER: expected one value, got {len(nodes)}")
    return nodes[0]


def write_node(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def write_integer(value: int) -> bytes:
    bits = value.bit_length() if value >= 0 else (value + 1).bit_length()
    return write_node(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))
