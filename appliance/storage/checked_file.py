"""A file that is stored under the digest that it had before: it may have changed in between."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError
from appliance.storage import codes


class CheckedFile:
    """Gives at most `size` bytes; the last ones only when all have `digest`.

    Raises:
        ApplianceError: APL-STORAGE-004, on the read that would have given them.
    """

    def __init__(self, file: BinaryIO, digest: str, size: int) -> None:
        self._file = file
        self._digest = digest
        self._left = size
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._hash.update(data)
        self._left -= len(data)
        found = PREFIX + self._hash.hexdigest() if not self._left or not data else self._digest
        if found != self._digest:
            message = f"the file changed while it was stored: expected {self._digest}, found {found}"
            raise ApplianceError(codes.OBJECT_DAMAGED, message, where=str(self._file.name))
        return data
