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
    _check(value, "$", 0)
    try:
        return json.dumps(_sorted(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
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


def _check(value: Any, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ApplianceError(codes.NOT_CANONICAL, f"nested deeper than {MAX_DEPTH}", where=path)
    if value is None or isinstance(value, bool | str):
        return
    if type(value) is int:
        if abs(value) > MAX_INTEGER:
            raise ApplianceError(codes.NOT_CANONICAL, f"integer {value} is beyond 2**53", where=path)
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ApplianceError(codes.NOT_CANONICAL, f"key {key!r} is not a string", where=path)
            _check(item, f"{path}.{key}", depth + 1)
        return
    raise ApplianceError(codes.NOT_CANONICAL, f"a {type(value).__name__} has no canonical form", where=path)


def _sorted(value: Any) -> Any:
    # RFC 8785 section 3.2.3 sorts keys by UTF-16 code units, which differs from Python's order above U+FFFF.
    if isinstance(value, dict):
        return {
            key: _sorted(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        }
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value
