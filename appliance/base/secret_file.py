"""A secret that another system gave us: one line in a file that only its owner may read.

So it stands in no setting, address, log or error. What opens a key store is read by `trust.keystores.secret`, which
also takes passphrases that are not ASCII, and open files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from appliance.base.errors import ApplianceError, Code

MAX_BYTES = 16 * 1024  # the longest tokens in use are a few KiB


def read_secret(path: Path, *, code: Code) -> str:
    """The secret, without the end of its line.

    Raises:
        ApplianceError: `code`, naming the file and never its content.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ApplianceError(code, f"cannot be read: {error.strerror}", where=str(path)) from error
    if mode & 0o077:
        raise ApplianceError(code, f"expected mode 600, got {mode:o}", where=str(path))
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if not line or len(data) > MAX_BYTES or line.strip() != line or not all(32 <= byte < 127 for byte in line):
        raise ApplianceError(
            code, "it is not one line of printable ASCII without white space around it", where=str(path)
        )
    return line.decode("ascii")
