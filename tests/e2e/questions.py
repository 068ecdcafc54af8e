"""The names that a host asks for: read from the packets on its link to the sink, so that a failure can name them.

For the report only. The sink's counters do not depend on it, and a packet that this misses is counted all the same.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Sequence
from types import TracebackType

from tests.e2e.testbed import NAMESPACES

ALL_PROTOCOLS = 0x0003  # ETH_P_ALL
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
UDP = 17
PORTS = (53, 5353, 5355)  # DNS, multicast DNS, link-local multicast name resolution: one form
MAX_NAMES = 10_000
POLL_S = 0.2


def question(packet: bytes) -> str | None:
    """The name in the first question of a DNS query; None: `packet`, from its IP header on, is none.

    RFC 1035 section 4.1. A query does not compress its first name; IPv6 extension headers are not followed.
    """
    try:
        if packet[0] >> 4 == 4:
            protocol, start = packet[9], (packet[0] & 0x0F) * 4
        elif packet[0] >> 4 == 6:
            protocol, start = packet[6], 40
        else:
            return None
        (port,) = struct.unpack_from("!H", packet, start + 2)
        message = packet[start + 8 :]
        flags, questions = struct.unpack_from("!2xHH", message)
        if protocol != UDP or port not in PORTS or flags & 0x8000 or questions == 0:
            return None
        labels, place = [], 12
        while length := message[place]:
            label = message[place + 1 : place + 1 + length]
            if length > 63 or len(label) < length:
                return None
            labels.append(label.decode("ascii", errors="backslashreplace"))
            place += 1 + length
    except (IndexError, struct.error):
        return None
    return ".".join(labels)


class Listener:
    """The context of listening on one interface of a namespace."""

    def __init__(self, namespace: str, interface: str) -> None:
        self._namespace, self._interface = namespace, interface
        self._names: dict[str, None] = {}
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        if not self._ready.wait(10):
            raise OSError(f"cannot listen on {self._interface} of {self._namespace}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def names(self) -> Sequence[str]:
        """In the order in which they were first asked for."""
        return list(self._names)

    def _listen(self) -> None:
        # A thread is in a network namespace of its own choice, and a socket stays in the one where it was made.
        handle = os.open(NAMESPACES / self._namespace, os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(handle, NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"setns {self._namespace}")
        os.close(handle)
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as listening:
            listening.settimeout(POLL_S)
            listening.bind((self._interface, ALL_PROTOCOLS))
            self._ready.set()
            while not self._ended.is_set():
                try:
                    packet = listening.recv(2048)
                except TimeoutError:
                    continue
                except OSError:  # the interface has gone
                    return
                if len(self._names) < MAX_NAMES and (name := question(packet)) is not None:
                    self._names[name] = None
