"""Hostile inputs from good ones: bytes, and what parsers look for in them, are cut, repeated, swapped and changed.

All randomness comes from the generator that is handed in, so that a seed and a count name an input.
"""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

MAX_BYTES = 1 << 16  # of an input; greater ones are refused by their length, which tests show by hand
NUMBERS = (0, 1, -1, 255, 256, 65_535, 65_536, 2**31, 2**32, 2**53, 2**63, 2**64, -(2**63), 10**30)
TEXTS = ("", "\0", "\u2028", "\ud800", "e\u0301", "../..", "-", "+1", "01", "1e3", "NaN", " 1", "\u0661", "a" * 5000)
VALUES = (None, True, [], {}, 1.5, *NUMBERS, *TEXTS)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{12,}={0,2}")
_NUMBER = re.compile(rb"-?\d+")


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """An input: now and then mere noise, mostly a seed after one to four changes."""
    if chance.random() < 0.03:
        return chance.randbytes(chance.choice((0, 1, 2, 40, 1000)))
    data = chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(MUTATIONS)(data, seeds, chance)[:MAX_BYTES]
    return data


def _span(data: bytes, chance: random.Random) -> tuple[int, int]:
    """A random slice, more often a short one."""
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 2, 4, 16, 64, 1024, len(data))))


def flip(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    if not data:
        return b"\0"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def overwrite(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _span(data, chance)
    return data[:start] + chance.choice((b"\0", b"\xff", b"\x80", b"0", b'"', b"\n")) * (end - start) + data[end:]


def cut(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _span(data, chance)
    return data[:start] + data[end:]


def insert(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    extra = chance.choice((chance.randbytes(chance.randrange(1, 9)), chance.choice(TEXTS).encode(errors="replace")))
    return data[:at] + extra + data[at:]


def repeat(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _span(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 1, 2, 100)) + data[end:]


def splice(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    other = chance.choice(seeds)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def number(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Another number, or another spelling of it, in the place of one."""
    found = list(_NUMBER.finditer(data))
    if not found:
        return flip(data, seeds, chance)
    at = chance.choice(found)
    other = chance.choice((b"%d" % chance.choice(NUMBERS), b"0" + at[0], b"+" + at[0], at[0] + b".0", at[0] * 500))
    return data[: at.start()] + other + data[at.end() :]


def lines(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Lines in another order, missing, twice, or from another seed."""
    rows = data.split(b"\n")
    row = chance.randrange(len(rows))
    other = chance.choice(chance.choice(seeds).split(b"\n"))
    what = chance.randrange(4)
    if what == 0:
        rows.insert(row, other)
    elif what == 1:
        del rows[row]
    elif what == 2:
        rows[row : row + 1] = [rows[row]] * chance.choice((2, 3, 300))
    else:
        chance.shuffle(rows)
    return b"\n".join(rows)


def inside_base64(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Change what a run of base64 holds, or spell it otherwise."""
    found = list(_BASE64.finditer(data))
    if not found:
        return flip(data, seeds, chance)
    at = chance.choice(found)
    try:
        inner = base64.b64decode(at[0], validate=True)
    except binascii.Error:
        return flip(data, seeds, chance)
    change = chance.choice((flip, overwrite, cut, insert, repeat, json_value))
    other = base64.b64encode(change(inner, [inner], chance))
    if chance.random() < 0.1:
        other = chance.choice((other.rstrip(b"="), other + b"=", other.replace(b"+", b"-").replace(b"/", b"_")))
    return data[: at.start()] + other + data[at.end() :]


def json_value(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Change one member of a JSON document, keeping its form."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return flip(data, seeds, chance)
    places = _places(document)
    if not places:
        return flip(data, seeds, chance)
    holder, key = chance.choice(places)
    what = chance.randrange(6)
    if what == 0:
        holder[key] = chance.choice(VALUES)
    elif what == 1:
        del holder[key]
    elif what == 2:
        other, place = chance.choice(places)
        holder[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else _at(other, place)))
    elif what == 3:
        for _ in range(chance.choice((1, 5, 100))):
            holder[key] = [holder[key]] if chance.random() < 0.5 else {"a": holder[key]}
    elif what == 4 and isinstance(holder, dict):
        holder[chance.choice(TEXTS)] = holder[key]
    elif isinstance(holder[key], list):
        holder[key] = holder[key] * chance.choice((0, 2, 50))
    return json.dumps(document, separators=(",", ":"), ensure_ascii=chance.random() < 0.3).encode(
        errors="surrogatepass" if chance.random() < 0.5 else "replace"
    )


def _at(listed: list[Any], place: Any) -> Any:
    return listed[place] if place < len(listed) else None


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a JSON value."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        holder = todo.pop()
        if isinstance(holder, dict | list):
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            found += [(holder, key) for key in keys]
            todo += holder.values() if isinstance(holder, dict) else holder
    return found


Mutation = Callable[[bytes, Sequence[bytes], random.Random], bytes]
MUTATIONS: tuple[Mutation, ...] = (
    flip, overwrite, cut, insert, repeat, splice, number, lines, inside_base64, inside_base64, json_value, json_value,
)  # fmt: skip
