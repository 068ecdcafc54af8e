"""Filters that write values the way systemd reads them in unit files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+@-")


def systemd_command(words: Iterable[object]) -> str:
    """A command line that systemd takes word by word as given: nothing in it is a specifier or a variable.

    Raises:
        ValueError: a word has a line break or another control character.
    """
    return " ".join(_word(str(word), variables=True) for word in words)


def systemd_environment(values: Mapping[str, object]) -> str:
    """Assignments for one ``Environment=``, in order of name."""
    return " ".join(_word(f"{name}={values[name]}", variables=False) for name in sorted(values))


def _word(word: str, *, variables: bool) -> str:
    if any(ord(each) < 0x20 or ord(each) == 0x7F for each in word):
        raise ValueError(f"a control character in {word!r}")
    text = word.replace("%", "%%")
    if variables:
        text = text.replace("$", "$$")
    if word and set(text) <= _PLAIN | {"%", "$"}:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"systemd_command": systemd_command, "systemd_environment": systemd_environment}
