"""Ports for the servers of tests: below those that the kernel hands out, and never the same for two runs side by side.

A process of tests takes a block of ports by a lock that it holds to its end, and gives each of them once.
"""

import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

FIRST, LAST, BLOCK = 20_000, 32_000, 200


def free_port() -> int:
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many consecutive free ports of 127.0.0.1."""
    while True:
        found = list(itertools.islice(_mine, count))
        if found[-1] - found[0] == count - 1 and all(_is_free(port) for port in found):
            return found[0]


def _ports() -> Iterator[int]:
    for first in range(FIRST, LAST, BLOCK):
        lock = os.open(Path(tempfile.gettempdir(), f"appliance-test-ports-{first}"), os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            yield from range(first, first + BLOCK)  # and the lock stays open
    raise AssertionError(f"other runs hold the ports from {FIRST} to {LAST}")


_mine = _ports()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an ended connection may have left its trace
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
