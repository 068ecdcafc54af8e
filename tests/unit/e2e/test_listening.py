"""What `ss` prints becomes the set of sockets that wait."""

import pytest

from tests.e2e.listening import Listening, parse_listening

PRINTED = """\
tcp   LISTEN 0      128          0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=38,fd=3))
tcp   LISTEN 0      128             [::]:22            [::]:*    users:(("sshd",pid=38,fd=4))
tcp   LISTEN 0      4096               *:9092             *:*    users:(("java",pid=77,fd=9),("java",pid=78,fd=9))
udp   UNCONN 0      0      127.0.0.53%lo:53         0.0.0.0:*
udp   UNCONN 0      0    [fe80::1]%uplink:546          [::]:*    users:(("a program",pid=5,fd=1))
"""


def test_protocol_address_port_and_program():
    listed = [
        ("tcp", "*", "9092", "java"),
        ("tcp", "0.0.0.0", "22", "sshd"),
        ("tcp", "::", "22", "sshd"),
        ("udp", "127.0.0.53", "53", ""),
        ("udp", "fe80::1", "546", "a program"),
    ]
    expected = {Listening(protocol=a, address=b, port=c, program=d) for a, b, c, d in listed}
    assert parse_listening(PRINTED) == expected


def test_no_socket():
    assert parse_listening("\n") == set()


def test_another_line_is_refused():
    with pytest.raises(ValueError):
        parse_listening("Cannot open netlink socket")
