"""Reads the part of an address after the question mark. What a page cannot use is refused with its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from appliance.base.errors import ApplianceError
from appliance.portal import codes

MAX_PAGE = 1_000  # further back the command line is the better tool; bounds the work of one request


def text(query: Mapping[str, str], name: str, *, most: int = 200) -> str:
    """The value, stripped; empty when it is not there."""
    value = query.get(name, "").strip()
    if len(value) > most or not value.isprintable():
        raise _refused(name, f"at most {most} printable characters", value[:40])
    return value


def choice(query: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    """One of `known`, or empty."""
    value = text(query, name)
    if value and value not in known:
        raise _refused(name, f"one of {', '.join(known)}", value)
    return value


def page_number(query: Mapping[str, str], name: str = "page") -> int:
    """From 1."""
    value = text(query, name) or "1"
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= MAX_PAGE):
        raise _refused(name, f"a whole number from 1 to {MAX_PAGE}", value)
    return int(value)


@dataclass(frozen=True, kw_only=True)
class Pager:
    """Addresses of the neighbouring pages, empty where there is none."""

    page: int
    newer: str
    older: str


def pager(path: str, page: int, *, has_older: bool, name: str = "page", anchor: str = "", **kept: Any) -> Pager:
    """Links that keep the other parts of the query that are set."""

    def address(number: int) -> str:
        parts = {key: value for key, value in kept.items() if value}
        query = urlencode({**parts, **({name: number} if number > 1 else {})})
        return path + (f"?{query}" if query else "") + anchor

    return Pager(
        page=page,
        newer=address(page - 1) if page > 1 else "",
        older=address(page + 1) if has_older and page < MAX_PAGE else "",
    )


def _refused(name: str, expected: str, got: str) -> ApplianceError:
    return ApplianceError(codes.QUERY_INVALID, f"{name}: expected {expected}, got {got!r}", where=name)
