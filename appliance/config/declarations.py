"""Reads declaration files: strict TOML or YAML into a frozen struct, errors with file and key.

YAML is for table contracts, whose readers know it from other tools (`config.plain_yaml`).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from appliance.base.errors import ApplianceError, Code
from appliance.config import codes

T = TypeVar("T")


def parse_toml(data: bytes, type: type[T], *, where: str, code: Code = codes.DECLARATION_INVALID) -> T:
    """TOML bytes as a value of `type` (a msgspec struct that forbids unknown fields).

    Raises:
        ApplianceError: `code`, naming the key.
    """
    try:
        document: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
        return msgspec.convert(document, type, strict=True)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ApplianceError(code, str(error), where=where) from error


def load_toml(path: Path, type: type[T], *, code: Code = codes.DECLARATION_INVALID) -> T:
    """See `parse_toml`; an unreadable file has the same code."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ApplianceError(code, f"cannot be read: {error.strerror}", where=str(path)) from error
    return parse_toml(data, type, where=str(path), code=code)


def load_yaml(path: Path, type: type[T], *, code: Code = codes.DECLARATION_INVALID) -> T:
    """One YAML document as a value of `type`; see `load_toml`."""
    from appliance.config import plain_yaml  # 20 ms that commands without contracts need not pay

    try:
        return msgspec.convert(plain_yaml.parse(path.read_bytes()), type, strict=True)
    except OSError as error:
        raise ApplianceError(code, f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, msgspec.ValidationError) as error:
        raise ApplianceError(code, str(error), where=str(path)) from error
