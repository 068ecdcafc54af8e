"""JSON by declared forms, base64, numbers, times and periods, each in one spelling. Everything raises ValueError.

Canonical JSON is RFC 8785 without floats. Duplicate names, NaN, deep nesting and lone surrogates are refused.

A form says what a JSON value must be, and `conform` holds the value to it:
- a type: of exactly that type; `object` is any value
- a set: one of these texts
- a function: a text, of which the function makes the value or a ValueError
- a tuple (form, None): null, or of that form
- a list [form]: a list of such values
- a dict: an object with these members. "name?" may be missing, and is None then; "*" is the form of all other members,
  which are refused without it
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from .verdict import require

MAX_DEPTH = 64  # nesting of JSON
MAX_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)  # noqa: UP017  Python 3.11 has both
Name = TypeVar("Name")
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Period:
    """When, and from which to which entry of the log, something counts: ends included, None is no end."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    first: int = 0
    last: int | None = None

    def covers(self, times: Iterable[dt.datetime], index: int = 0) -> bool:
        good = self.first <= index and (self.last is None or index <= self.last)
        return good and all((not self.start or self.start <= t) and (not self.end or t <= self.end) for t in times)


def conform(value: Any, form: Any, where: str = "the document") -> Any:
    """The value as its form makes it; `where` names it in errors."""
    match form:
        case type():
            require(form is object or type(value) is form, f"{where} is not of type {form.__name__}")
            return value
        case tuple():
            return None if value is None else conform(value, form[0], where)
        case list():
            require(type(value) is list, f"{where} is not a list")
            return [conform(each, form[0], where) for each in value]
        case dict():
            require(type(value) is dict, f"{where} is not an object")
            known = {name.removesuffix("?"): each for name, each in form.items()}
            for name in value:
                require(name in known or "*" in known, f"{where} has the unknown member {name[:64]!r}")
            for name in form:
                require(name[-1] in "?*" or name in value, f"{where} has no member {name}")
            absent = dict.fromkeys(name[:-1] for name in form if name.endswith("?"))
            found = {name: conform(each, known.get(name, form.get("*")), name[:64]) for name, each in value.items()}
            return absent | found
        case _:
            require(type(value) is str, f"{where} is not a text")
            if not isinstance(form, set):
                return form(value)
            require(value in form, f"{where} is {value[:80]!r}")
            return value


def unique(pairs: Iterable[tuple[Name, Item]]) -> dict[Name, Item]:
    """The pairs as a dict; none has the name of another."""
    found: dict[Name, Item] = {}
    for name, each in pairs:
        if name in found:
            raise ValueError(f"{str(name)[:80]!r} stands twice")
        found[name] = each
    return found


def parse_json(data: bytes, *, floats: bool = False) -> Any:
    """The value of JSON text; `floats` allows them, for statements that others wrote."""
    number = float if floats else _refuse
    try:
        value = json.loads(data.decode(), object_pairs_hook=unique, parse_constant=_refuse, parse_float=number)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    _check(value, 0)
    return value


def _refuse(number: str) -> Any:
    raise ValueError(f"{number[:32]!r} is not allowed")


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if type(value) is int and abs(value) > MAX_INTEGER:
        raise ValueError("integer beyond 2**53")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check(each, depth + 1)


def canonical(value: Any) -> bytes:
    return json.dumps(_sorted(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _sorted(value: Any) -> Any:
    # RFC 8785 section 3.2.3 sorts by UTF-16 code units.
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value, key=lambda name: name.encode("utf-16-be"))}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def parse_canonical(data: bytes) -> Any:
    """The value of canonical bytes; another spelling is refused."""
    value = parse_json(data)
    require(canonical(value) == data, "not in canonical form")
    return value


def decode_base64(text: str) -> bytes:
    """RFC 4648 section 4: padding, no white space, no stray bits."""
    raw = base64.b64decode(text.encode("ascii"), validate=True)
    require(encode_base64(raw) == text, "base64 has another spelling")
    return raw


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def parse_digest(text: str) -> str:
    """`text` if it is ``sha256:<lower-case hex>``."""
    return require(re.fullmatch(r"sha256:[0-9a-f]{64}", text), f"expected sha256:<hex>, got {text[:80]!r}")[0]


def parse_number(text: str) -> int:
    """A decimal number below 2**63 without leading zeros."""
    good = re.fullmatch(r"0|[1-9][0-9]{0,18}", text) and int(text) < 2**63
    require(good, f"not a number: {text[:32]!r}")
    return int(text)


def parse_time(text: str) -> dt.datetime:
    """RFC 3339 in UTC with ``Z``."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", text, re.ASCII)
    found = require(found, f"not a time in UTC: {text[:40]!r}")
    whole = dt.datetime.fromisoformat(found[1]).replace(tzinfo=EPOCH.tzinfo)
    return whole + dt.timedelta(microseconds=int((found[2] or "0").ljust(6, "0")[:6]))


def from_posix(seconds: float) -> dt.datetime:
    return EPOCH + dt.timedelta(seconds=seconds)


def show_times(*times: dt.datetime) -> str:
    return ", ".join(when.isoformat().replace("+00:00", "Z") for when in times)
