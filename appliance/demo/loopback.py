"""The services of the demo talk over 127.0.0.1. In a fresh network namespace that interface is down; bring it up.

Asked of the kernel by ioctl (netdevice(7)): /sys/class/net shows the namespace that mounted it, not ours.
"""

from __future__ import annotations

import fcntl
import socket
import struct

from appliance.base.errors import ApplianceError
from appliance.demo import codes

SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 0x1
_REQUEST = struct.Struct("16sh14x")  # struct ifreq: name, flags


def ensure_loopback() -> None:
    """Does nothing where loopback is up.

    Raises:
        ApplianceError: APL-DEMO-003, it is down and may not be brought up.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _, flags = _REQUEST.unpack(fcntl.ioctl(control, SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0)))
        if flags & IFF_UP:
            return
        try:
            fcntl.ioctl(control, SIOCSIFFLAGS, _REQUEST.pack(b"lo", flags | IFF_UP))
        except OSError as error:
            raise ApplianceError(codes.NO_LOOPBACK, f"lo is down: {error.strerror}") from error
