"""Reads the PIN, passphrase or token that opens a key store.

Rules
1. Secrets come from a file that nobody else can read (see `keys.read_guarded`), or from an inherited open file such as
   ``3<secret``. Never from arguments or the environment: other users and child processes see those.
2. One line end at the end is not part of the secret.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.keystores import codes

MAX_SECRET_BYTES = 4096  # OpenBao tokens have about 100


def read_secret(path: Path) -> str:
    """Raises:
    ApplianceError: APL-KEYS-005, APL-TRUST-004 others can read it.
    """
    try:
        return _checked(keys.read_guarded(path), str(path))
    except OSError as error:
        raise ApplianceError(codes.SECRET_MISSING, f"cannot be read: {error.strerror}", where=str(path)) from error


def read_inherited(number: int) -> str:
    """Read the open file `number` to its end; it can be read once.

    Raises:
        ApplianceError: APL-KEYS-005.
    """
    try:
        with os.fdopen(number, "rb") as file:
            return _checked(file.read(MAX_SECRET_BYTES + 1), f"open file {number}")
    except OSError as error:
        raise ApplianceError(
            codes.SECRET_MISSING, f"cannot be read: {error.strerror}", where=f"open file {number}"
        ) from error


def _checked(data: bytes, where: str) -> str:
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if not 0 < len(line) <= MAX_SECRET_BYTES:
        raise ApplianceError(
            codes.SECRET_MISSING, f"expected 1 to {MAX_SECRET_BYTES} bytes, got {len(line)}", where=where
        )
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ApplianceError(codes.SECRET_MISSING, "is not UTF-8 text", where=where) from error
