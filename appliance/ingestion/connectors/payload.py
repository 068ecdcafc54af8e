"""What a message becomes: one line, and the key that tells it from others. Pure.

A payload that is no JSON object is delivered as well, so that it ends in quarantine with its text and not nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec


@dataclass(frozen=True, kw_only=True)
class Message:
    """`key` is 32 hex digits."""

    row: bytes
    key: str


def read(topic: str, payload: bytes, *, key: Sequence[str], topic_field: str = "") -> Message:
    """The line and the key of a payload.

    Args:
        key: paths of fields, which together name a row. Where one is missing, all of topic and payload is the key.
        topic_field: the field that the topic becomes; "" none. It may be part of `key`.
    """
    row = _line(payload)
    if topic_field and row.startswith(b"{"):
        # Written before the others: a payload with the same field has it twice then, which refuses the line.
        rest = row[1:].lstrip()
        field = f"{json.dumps(topic_field)}:{json.dumps(topic)}".encode()
        row = b"{" + field + (b"" if rest.startswith(b"}") else b",") + rest
    parts = [_field(row, path) for path in key]
    if None in parts:
        parts = [b"", topic.encode(), payload]  # no field has no text, so this is no key of fields
    digest = blake2b(digest_size=16)
    for part in parts:
        assert part is not None
        digest.update(len(part).to_bytes(8, "big") + part)
    return Message(row=row, key=digest.hexdigest())


def _line(payload: bytes) -> bytes:
    """Ends of lines stand only between the tokens of JSON; what is not UTF-8 becomes a string of JSON."""
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return json.dumps(payload.decode("utf-8", "backslashreplace")).encode()
    # An empty line would be no line at all.
    return payload.replace(b"\n", b" ").replace(b"\r", b" ").strip() or b'""'


def _field(row: bytes, path: str) -> bytes | None:
    value = msgspec.Raw(row)
    try:
        for name in path.split("."):
            inner = msgspec.json.decode(value, type=dict[str, msgspec.Raw]).get(name)
            if inner is None:
                return None
            value = inner
    except (msgspec.DecodeError, RecursionError):
        return None
    text = bytes(value)
    return None if text == b"null" else text
