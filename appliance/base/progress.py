"""How long work tells where it is. Rooms call a `Progress`; programs show it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def begin(self, what: str, total: int | None) -> None:
        """A new stretch of work begins: `what` for people, `total` units of it or None when unknown."""

    def advance(self, amount: int) -> None:
        """So many more units are done."""


class NoProgress:
    def begin(self, what: str, total: int | None) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass
