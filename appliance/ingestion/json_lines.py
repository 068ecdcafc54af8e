"""JSON lines, read strictly: one object per line becomes text by declared column, as a CSV line would.

Rules
1. A line is one JSON object in UTF-8 (RFC 8259), no larger than `MAX_LINE_BYTES` and nested no deeper than `MAX_DEPTH`.
   A key that stands twice in one object refuses the line: readers disagree on which of the two counts.
2. A column is found by name, or by a path of names joined by dots through nested objects. A key that is not there and
   ``null`` are missing values; keys that are not declared are ignored.
3. A value has the JSON type of its column: strings for ``string`` and ``timestamp``, numbers for ``double``, numbers
   without fraction or exponent for ``long``, ``true`` or ``false`` for ``boolean``. Nothing is converted in between.
4. Numbers are handed on as they are written; NaN and Infinity are no JSON.

Lines are numbered from 1; empty ones have a number and are no data.
"""

from __future__ import annotations

import io
import json
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from appliance.ingestion.mapping import Column

MAX_LINE_BYTES = 1024 * 1024
MAX_DEPTH = 16  # objects and lists within each other; declared paths need far fewer
_CHUNK_LINES = 50_000  # lines whose values are Python objects at one time
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]')
_LONG = re.compile(r"-?[0-9]{1,18}")
_Wanted = Mapping[tuple[str, ...], frozenset[str]]  # names of a path -> types that its value must fit
_OF_BOOLEAN = frozenset({"boolean"})
_OF_TEXT = frozenset({"string", "timestamp"})
_OF_WHOLE = frozenset({"long", "double"})
_OF_NUMBER = frozenset({"double"})


@dataclass(frozen=True, kw_only=True)
class BadLine:
    """A line that is no row: its number, a reason code, what is wrong, and its text."""

    line: int
    code: str
    detail: str
    text: str


class Lines:
    """The lines of a file.

    Attributes:
        table: one column of text for each of the wanted columns, named by its path, and ``line``.
        bad: lines that are not in `table`.
    """

    def __init__(self, data: bytes, columns: Sequence[Column]) -> None:
        self._data = data
        self._starts = array("q")
        self.bad: list[BadLine] = []
        self.table = self._read(data, columns)

    def text(self, line: int) -> str:
        """A line as it stands in the file, without its end."""
        return _text(self._raw(line))

    def _raw(self, line: int) -> bytes:
        ends = self._starts[line] if line < len(self._starts) else len(self._data)
        return self._data[self._starts[line - 1] : ends]

    def _read(self, data: bytes, columns: Sequence[Column]) -> pa.Table:
        wanted: dict[str, set[str]] = {}  # path -> types; two columns may be made of one value
        for each in columns:
            wanted.setdefault(each.origin, set()).add(each.type)
        schema = pa.schema([*((path, pa.string()) for path in wanted), ("line", pa.int64())])
        split = {tuple(path.split(".")): frozenset(types) for path, types in wanted.items()}
        chunks = [schema.empty_table()]
        numbers: list[int] = []
        values: list[list[str | None]] = []

        def close() -> None:
            texts = list(zip(*values, strict=True)) or [()] * len(wanted)
            arrays = [pa.array(each, pa.string()) for each in texts]
            chunks.append(pa.table([*arrays, pa.array(numbers, pa.int64())], schema=schema))
            numbers.clear()
            values.clear()

        at = 0
        for number, raw in enumerate(io.BytesIO(data), start=1):
            self._starts.append(at)
            at += len(raw)
            if not raw.strip():
                continue
            try:
                row = _row(raw.removesuffix(b"\n"), split)
            except _LineRefused as error:
                self.bad.append(BadLine(line=number, code=error.code, detail=error.detail, text=_text(raw)))
                continue
            numbers.append(number)
            values.append(row)
            if len(numbers) == _CHUNK_LINES:
                close()
        close()
        return pa.concat_tables(chunks)


class _LineRefused(Exception):  # noqa: N818 - carries the verdict on one line
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _row(raw: bytes, wanted: _Wanted) -> list[str | None]:
    value = _parse(raw)
    return [_value(value, path, types) for path, types in wanted.items()]


def _parse(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_LINE_BYTES:
        raise _LineRefused("SIZE", f"the line has {len(raw)} bytes, at most {MAX_LINE_BYTES} are allowed")
    text = raw.decode("utf-8")  # checked for the whole file before
    if text.count("{") + text.count("[") > MAX_DEPTH and depth(text) > MAX_DEPTH:
        raise _LineRefused("SIZE", f"the line is nested deeper than {MAX_DEPTH}")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _LineRefused("DECODE", f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:
        raise _LineRefused("DECODE", f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _LineRefused("DECODE", "the line is not an object")
    return value


def depth(text: str) -> int:
    """How deep objects and lists are nested within each other, brackets in strings aside; 0 for a plain value."""
    now = deepest = 0
    for match in _BRACKETS.finditer(text):
        if match[1]:
            now += 1
            deepest = max(deepest, now)
        elif match[0] in "]}":
            now -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise _LineRefused("COLUMNS", f"the line has {doubled[:100]!r} twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
)


def _value(row: dict[str, Any], path: tuple[str, ...], types: frozenset[str]) -> str | None:
    found: Any = row
    for name in path:
        if found is None:
            return None
        if not isinstance(found, dict):
            raise _LineRefused("TYPE", f"{'.'.join(path)}: what {name!r} should be in is not an object")
        found = found.get(name)
    if found is None:
        return None
    fitting: frozenset[str] = frozenset()
    text = ""
    if isinstance(found, bool):
        fitting, text = _OF_BOOLEAN, "true" if found else "false"
    elif isinstance(found, _Number):
        fitting, text = _OF_WHOLE if _LONG.fullmatch(found) else _OF_NUMBER, found
    elif isinstance(found, str):
        fitting, text = _OF_TEXT, found
    if not types <= fitting:
        raise _LineRefused("TYPE", f"{'.'.join(path)} is not a {min(types - fitting)}")
    if not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text):
        raise _LineRefused("ENCODING", f"{'.'.join(path)} holds half of a surrogate pair")
    return text


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\r\n").decode("utf-8", "replace")
