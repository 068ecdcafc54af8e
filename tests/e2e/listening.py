"""What ``ss`` prints about the sockets of a host that wait. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class Listening:
    """A socket.

    Attributes:
        protocol: ``tcp``, ``udp`` or ``raw``.
        address: ``0.0.0.0``, ``::`` and ``*`` (both) are all addresses.
        port: of `raw`: the name or number of its protocol.
        program: empty where the kernel itself has it.
    """

    protocol: str
    address: str
    port: str
    program: str


def parse_listening(text: str) -> set[Listening]:
    """Of ``ss --no-header --listening --tcp --udp --raw --numeric --processes``.

    Raises:
        ValueError: a line is none of its.
    """
    return {_parse(line) for line in text.splitlines() if line.strip()}


def _parse(line: str) -> Listening:
    protocol, _state, _receiving, _sending, local, _peer, *rest = line.split(maxsplit=6)
    address, _, port = local.rpartition(":")
    program = re.search(r'\(\("([^"]*)"', rest[0]) if rest else None
    # An interface that a socket is bound to follows its address.
    address = address.partition("%")[0].strip("[]")
    return Listening(protocol=protocol, address=address, port=port, program=program[1] if program else "")
