"""Modes and times of the files of a bundle: the same on every copy that we make, whoever makes it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from appliance.base.clock import parse_rfc3339
from appliance.bundle.manifest import Manifest


def settle(folder: Path, made: Manifest) -> None:
    """Give everything in `folder` its mode and the instant of the lock, and make it durable.

    A stick with FAT keeps no modes and refuses to pretend; no reader of a bundle asks for them.
    """
    instant_s = parse_rfc3339(made.made_at).timestamp()
    executables = {folder / each.path for each in made.members if each.executable}
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(PermissionError):
            path.chmod(0o755 if path.is_dir() or path in executables else 0o644)
        with contextlib.suppress(PermissionError):
            os.utime(path, (instant_s, instant_s))
    with contextlib.suppress(PermissionError):
        folder.chmod(0o755)
    os.sync()
