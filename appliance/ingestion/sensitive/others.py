"""Values of a file of JSON lines that its mapping does not declare, so that they can be examined. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

MAX_LINES = 20_000  # that are looked at, taken evenly; the others are kept as bytes all the same
MAX_LINE_BYTES = 64 * 1024
MAX_NAMES = 1_000  # different paths; what comes later goes into one column


def other_values(data: bytes, declared: Collection[str]) -> Mapping[str, pa.ChunkedArray]:
    """Path -> values as text, for all paths through objects and lists that are not declared.

    A line that is no object is refused elsewhere and kept with its text; here it is passed over.
    """
    lines = data.split(b"\n")
    found: dict[str, list[str]] = {}
    for line in lines[:: max(1, len(lines) // MAX_LINES)]:
        try:
            value = json.loads(line) if len(line) <= MAX_LINE_BYTES else line.decode("utf-8", "replace")
        except (ValueError, RecursionError):
            continue
        for path, text in _leaves(value, ""):
            if path not in declared:
                found.setdefault(path if path in found or len(found) < MAX_NAMES else "others", []).append(text)
    return {path: pa.chunked_array([texts], pa.string()) for path, texts in found.items()}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield path, str(value).encode("utf-8", "replace").decode()
