"""Canonical JSON: one byte form per value, so that a digest of it is an identity.

The form is RFC 8785 (JCS) restricted to what we sign: objects with string keys, arrays, strings, booleans, null and
integers within 2**53. Floats are refused, because their text differs between languages: write a decimal string
instead. `parse_canonical` refuses every other byte form, so ``canonical(parse_canonical(b)) == b``.
"""

from __future__ import annotations

import json
from typing import Any

from appliance.base import codes
from appliance.base.errors import ApplianceError

MAX_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3: the greatest integer that every reader keeps exact
MAX_DEPTH = 64  # nesting; a bound for hostile input


def canonical(value: Any) -> bytes:
    """The canonical bytes of `value`.

    Raises:
        ApplianceError: APL-BASE-001, the value holds a float, a large integer, a lone surrogate or another type.
    """
    fault = _fault(value, 0)
    if fault:
        raise ApplianceError(codes.NOT_CANONICAL, fault[1], where=f"${fault[0]}")
    try:
        text = _dump(value, sort_keys=True)
        # RFC 8785 section 3.2.3 sorts keys by UTF-16 code units, which differs from Python's order above U+FFFF only.
        return (text if text.isascii() else _dump(_sorted(value), sort_keys=False)).encode()
    except UnicodeEncodeError as error:
        raise ApplianceError(codes.NOT_CANONICAL, f"text cannot be written as UTF-8: {error}") from error


def parse_canonical(data: bytes) -> Any:
    """The value of canonical bytes.

    Raises:
        ApplianceError: APL-BASE-001, the bytes are not JSON or not the canonical form of their value.
    """
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ApplianceError(codes.NOT_CANONICAL, f"not JSON: {error}") from error
    if canonical(value) != data:
        raise ApplianceError(codes.NOT_CANONICAL, "the bytes differ from the canonical form of their value")
    return value


def _dump(value: Any, *, sort_keys: bool) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=sort_keys)


def _fault(value: Any, depth: int) -> tuple[str, str] | None:
    """Where below `value` something has no canonical form, and why."""
    kind = type(value)
    if depth > MAX_DEPTH:
        return "", f"nested deeper than {MAX_DEPTH}"
    if kind is str or value is None or kind is bool:
        return None
    if kind is int:
        return ("", f"integer {value} is beyond 2**53") if abs(value) > MAX_INTEGER else None
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return "", f"key {key!r} is not a string"
            found = _fault(item, depth + 1)
            if found:
                return f".{key}{found[0]}", found[1]
        return None
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            found = _fault(item, depth + 1)
            if found:
                return f"[{index}]{found[0]}", found[1]
        return None
    return None if isinstance(value, str) else ("", f"a {kind.__name__} has no canonical form")


def _sorted(value: Any) -> Any:
    """Mappings in the order of the standard."""
    if isinstance(value, dict):
        return {
            key: _sorted(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        }
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value
