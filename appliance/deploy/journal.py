"""What was deployed on this host, by whom and with what result: ``journal.jsonl``, one JSON object per line.

Rules
1. A run has two lines, ``begin`` before anything is changed and ``end``. One without an end was killed.
2. Lines are added and never changed; each is on the disk before the run goes on. A line that a power cut left without
   its end is closed by the next one, and is told as damaged.
3. Nothing signs it yet: root of the host can change it.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.errors import ApplianceError

FORMAT = "appliance-deploy-record/1"
DAMAGED = {"format": "damaged"}


def add(path: Path, record: Mapping[str, Any]) -> None:
    """Raises ApplianceError: APL-BASE-002; the caller does not go on."""
    line = json.dumps({"format": FORMAT, **record}, sort_keys=True).encode() + b"\n"
    try:
        atomic.make_folder(path.parent)
        new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            end = os.fstat(handle).st_size
            torn = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
            file.write(b"\n" + line if torn else line)  # one write: two lines never mix
            os.fsync(handle)
        if new:
            atomic.fsync_folder(path.parent)
    except OSError as error:
        raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(path)) from error


def read(path: Path) -> list[dict[str, Any]]:
    """All records in order; a line that is none is `DAMAGED`."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [_parsed(line) for line in lines]


def who() -> str:
    """The person behind ``sudo``, or the user."""
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return dict(DAMAGED)
    return found if isinstance(found, dict) and found.get("format") == FORMAT else dict(DAMAGED)
