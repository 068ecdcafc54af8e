"""Pages of a REST source: what to ask for, and what an answer holds. Asks nothing itself.

A cursor is ``{"at": where, "skip": n}``: the page at `where`, whose first `n` items were delivered. `where` is the
number of the page, the address of it (link), or the value of the source's own cursor; None is the first page. The last
page of a source may grow: it is asked for again, and what was delivered of it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import msgspec

from appliance.base.errors import ApplianceError
from appliance.ingestion import json_lines
from appliance.ingestion.connectors import codes
from appliance.ingestion.connectors.declaration import Rest

MAX_DEPTH = 32  # of a page: its items may have `json_lines.MAX_DEPTH`, and stand in a few objects
MAX_CURSOR = 4096  # characters of an address or cursor that a source may hand us


@dataclass(frozen=True, kw_only=True)
class Position:
    """See above; `at` is None for the first page."""

    at: int | str | None = None
    skip: int = 0

    def cursor(self) -> dict[str, Any]:
        return {"at": self.at, "skip": self.skip}


@dataclass(frozen=True, kw_only=True)
class Page:
    """What one answer gives: rows that are new, where to go on, and whether that is all for now."""

    rows: list[bytes]
    next: Position
    last: bool


def position_of(cursor: Any) -> Position:
    """Raises APL-CONN-004 when the cursor is none of a REST source."""
    if cursor is None:
        return Position()
    try:
        return msgspec.convert(cursor, Position, strict=True)
    except msgspec.ValidationError as error:
        raise ApplianceError(codes.STATE_DAMAGED, f"the cursor is not one of pages: {error}") from error


def request_of(rest: Rest, position: Position) -> tuple[str, dict[str, str]]:
    """Address and parameters of the page at `position`; a link has its own parameters.

    Raises:
        ApplianceError: APL-CONN-004, the position is one of another style: the declaration was changed.
    """
    pages = rest.pages
    if position.at is not None and isinstance(position.at, int) != (pages.style == "page"):
        raise ApplianceError(
            codes.STATE_DAMAGED, f"the cursor {str(position.at)[:100]!r} is not of style {pages.style}"
        )
    if pages.style == "link":
        return (rest.url, dict(rest.query)) if position.at is None else (str(position.at), {})
    query = dict(rest.query)
    if pages.style == "page":
        query[pages.parameter] = str(pages.first if position.at is None else position.at)
    elif position.at is not None:
        query[pages.parameter] = str(position.at)
    if pages.size_parameter:
        query[pages.size_parameter] = str(pages.size)
    return rest.url, query


def read_page(body: bytes, link: str | None, rest: Rest, position: Position) -> Page:
    """The new rows of an answer.

    Args:
        link: what the header ``Link`` gives as next.

    Raises:
        ApplianceError: APL-CONN-013 the answer is not as declared, APL-CONN-014 it has fewer items than before.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApplianceError(codes.PAGE_INVALID, f"byte {error.start} is not UTF-8") from error
    if text.count("{") + text.count("[") > MAX_DEPTH and json_lines.depth(text) > MAX_DEPTH:
        raise ApplianceError(codes.PAGE_INVALID, f"it is nested deeper than {MAX_DEPTH}")
    found = _at(msgspec.Raw(body), rest.items)
    try:
        items = msgspec.json.decode(found, type=list[msgspec.Raw]) if found is not None else None
    except msgspec.DecodeError as error:
        raise ApplianceError(codes.PAGE_INVALID, f"items {rest.items!r}: {error}") from error
    if items is None:
        raise ApplianceError(codes.PAGE_INVALID, f"there is nothing at items {rest.items!r}")
    if len(items) < position.skip:
        raise ApplianceError(
            codes.SOURCE_CHANGED, f"a page of which {position.skip} items were delivered has {len(items)} now"
        )
    rows = [_one_line(bytes(item)) for item in items[position.skip :]]
    following = _next(body, link, rest, position, len(items))
    if following is None or following == position.at:
        return Page(rows=rows, next=Position(at=position.at, skip=len(items)), last=True)
    return Page(rows=rows, next=Position(at=following), last=False)


def _next(body: bytes, link: str | None, rest: Rest, position: Position, items: int) -> int | str | None:
    pages = rest.pages
    if pages.style == "page":
        if items > pages.size:
            raise ApplianceError(codes.PAGE_INVALID, f"expected at most {pages.size} items, got {items}")
        now = pages.first if position.at is None else int(position.at)
        return now + 1 if items == pages.size else None
    text = (link or "") if not pages.path else _text_at(body, pages.path)
    if len(text) > MAX_CURSOR:
        raise ApplianceError(codes.PAGE_INVALID, f"where to go on has {len(text)} characters, at most {MAX_CURSOR}")
    if pages.style == "cursor" or not text:
        return text or None
    try:
        return urljoin(rest.url, text)
    except ValueError as error:
        raise ApplianceError(codes.PAGE_INVALID, f"the next link is no address: {error}") from error


def _text_at(body: bytes, path: str) -> str:
    found = _at(msgspec.Raw(body), path)
    if found is None:
        return ""
    try:
        value = msgspec.json.decode(found, type=str | int | None)
    except msgspec.DecodeError as error:
        raise ApplianceError(codes.PAGE_INVALID, f"pages.path {path!r}: {error}") from error
    return "" if value is None else str(value)


def _at(value: msgspec.Raw, path: str) -> msgspec.Raw | None:
    """What is at a path of names joined by dots; "" is the value itself, None what is not there."""
    try:
        for name in path.split(".") if path else ():
            inner = msgspec.json.decode(value, type=dict[str, msgspec.Raw]).get(name)
            if inner is None:
                return None
            value = inner
    except msgspec.DecodeError as error:
        raise ApplianceError(codes.PAGE_INVALID, f"{path!r}: {error}") from error
    return value


def _one_line(item: bytes) -> bytes:
    # Ends of lines stand only between the tokens of JSON, where a space is as good.
    return item.replace(b"\n", b" ").replace(b"\r", b" ")
