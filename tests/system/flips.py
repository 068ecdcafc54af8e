"""Flips one byte of a file, verifies, and puts the byte back. Run in worker processes, each on its own copy."""

import random
from pathlib import Path

from appliance.base.clock import SystemClock
from appliance.config.site import open_site
from appliance.orchestration.verification import Verifier


def verify(folder, subject):
    return Verifier(open_site(Path(folder)), SystemClock()).verify(subject)


def rewrite(path, data):
    """Change the bytes of a file that may be read-only, and keep its mode."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(mode)


def flipped(data, number, bit):
    return data[:number] + bytes([data[number] ^ 1 << bit]) + data[number + 1 :]


def what_a_flip_leads_to(folder, subject, paths, seed):
    """Per path: (path, byte, paths of the broken links)."""
    found = []
    for path in paths:
        random_ = random.Random(f"{seed}{path}")
        file = Path(folder) / path
        data = file.read_bytes()
        number, bit = random_.randrange(len(data)), random_.randrange(8)
        rewrite(file, flipped(data, number, bit))
        try:
            broken = sorted({link.path for link in verify(folder, subject).broken})
        finally:
            rewrite(file, data)
        found.append((path, number, broken))
    return found
