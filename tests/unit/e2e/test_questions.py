"""The name that a host asks for is read from the packet; whatever else a packet is, it is no question."""

import struct

import pytest

from tests.e2e.questions import question

LABELS = b"\x07updates\x07example\x00\x00\x01\x00\x01"


def message(labels=LABELS, flags=0x0100, count=1):
    return struct.pack("!6H", 7, flags, count, 0, 0, 0) + labels


def ipv4(body, port=53, protocol=17, options=b""):
    words = 0x45 + len(options) // 4
    header = struct.pack("!BBHHHBBH4s4s", words, 0, 0, 0, 0, 64, protocol, 0, bytes(4), bytes(4))
    return header + options + struct.pack("!4H", 40_000, port, 8 + len(body), 0) + body


def ipv6(body, port=53, following=17):
    header = struct.pack("!IHBB16s16s", 6 << 28, 8 + len(body), following, 64, bytes(16), bytes(16))
    return header + struct.pack("!4H", 40_000, port, 8 + len(body), 0) + body


@pytest.mark.parametrize(
    "packet",
    [ipv4(message()), ipv4(message(), port=5353), ipv4(message(), options=bytes(8)), ipv6(message(), port=5355)],
    ids=["DNS", "multicast DNS", "IP options", "LLMNR over IPv6"],
)
def test_a_question_is_read(packet):
    assert question(packet) == "updates.example"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x00",
        ipv4(message(), port=443),
        ipv4(message(), protocol=6),
        ipv4(message(flags=0x8180)),
        ipv4(message(count=0)),
        ipv4(message(b"\xc0\x0c\x00\x01\x00\x01")),
        ipv4(message(b"\x07upd")),
        ipv4(message(b"")),
        ipv6(message(), following=0),
        bytes([0x20]) + ipv4(message())[1:],
    ],
    ids=[
        *("nothing", "a byte", "another port", "TCP", "an answer", "no question", "a pointer", "cut in a name"),
        *("no name", "an extension header", "another version of IP"),
    ],
)
def test_nothing_else_is_one(packet):
    assert question(packet) is None


def test_every_prefix_of_a_question_is_refused():
    whole = ipv4(message())
    end = len(whole) - 4  # type and class are not read
    assert [question(whole[:length]) for length in range(end)] == [None] * end
