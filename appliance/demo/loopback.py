"""The services of the demo talk over 127.0.0.1. In a fresh network namespace that interface is down; bring it up."""

from __future__ import annotations

from pathlib import Path

from appliance.base import process

STATE = Path("/sys/class/net/lo/flags")
UP = 0x1  # IFF_UP, netdevice(7)


def ensure_loopback() -> None:
    """Does nothing where loopback is up.

    Raises:
        ApplianceError: APL-BASE-003, it is down and may not be brought up.
    """
    if not int(STATE.read_text(encoding="ascii"), 16) & UP:
        process.run(["ip", "link", "set", "lo", "up"], timeout_s=10)
