"""Connections of this program beyond the machine, read from the kernel's tables at the time of asking.

What it can say: whether this process holds a TCP or UDP socket that is connected to an address off loopback. It says
nothing about other programs; those are the site's network boundary.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_TABLES = ("tcp", "tcp6", "udp", "udp6")


def connections_outside(process: Path = Path("/proc/self")) -> int | None:
    """How many; None when the kernel's tables cannot be read."""
    try:
        mine = set(_sockets(process / "fd"))
        tables = [(process / "net" / name).read_text(encoding="ascii") for name in _TABLES]
    except OSError:
        return None
    fields = (line.split() for table in tables for line in table.splitlines()[1:])
    return sum(1 for row in fields if row[9] in mine and is_outside(row[2]))


def _sockets(folder: Path) -> Iterator[str]:
    """Inodes of the sockets that are open; one that is closed meanwhile is left out."""
    for each in folder.iterdir():
        try:
            match = _SOCKET.fullmatch(str(each.readlink()))
        except FileNotFoundError:
            continue
        if match:
            yield match[1]


def is_outside(peer: str) -> bool:
    """Whether a peer of /proc/net, ``0100007F:1F90``, is neither loopback nor unset."""
    words = bytes.fromhex(peer.partition(":")[0])
    # Each 32-bit word is printed in the order of the host; this product runs on little-endian machines.
    address = ipaddress.ip_address(b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4)))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return not (address.is_loopback or address.is_unspecified)
