"""Digests are written ``sha256:<64 hex>`` everywhere; this module is the only one that makes them from files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from appliance.base.canonical import canonical

PREFIX = "sha256:"


def digest_bytes(data: bytes | memoryview) -> str:
    return PREFIX + hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """The digest of the canonical JSON of `value`: the identity of a document."""
    return digest_bytes(canonical(value))


def digest_file(path: Path) -> str:
    """Raises OSError when the file cannot be read."""
    with path.open("rb") as file:
        return PREFIX + hashlib.file_digest(file, "sha256").hexdigest()


def hex_of(digest: str) -> str:
    """The 64 hex digits of a digest; ValueError for any other form."""
    value = digest.removeprefix(PREFIX)
    if value == digest or len(value) != 64 or any(character not in "0123456789abcdef" for character in value):
        raise ValueError(f"{digest!r} is not sha256:<64 hex>")
    return value
