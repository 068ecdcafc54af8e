"""What a connector is: something that gives rows from a cursor on, and is told when they are safe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of one look at the source.

    Attributes:
        rows: JSON objects, each on one line without its end; also what is not one, as the mapping's business.
        cursor: canonical JSON, what the next look begins with once these rows are delivered.
        exhausted: the source has no more for now.
        stalled: it may have more, and gives none until it is told that these rows are `delivered`.
        duplicates: rows left out because they came before.
    """

    rows: Sequence[bytes]
    cursor: Any
    exhausted: bool
    stalled: bool = False
    duplicates: int = 0


class Connector(Protocol):
    """A source of rows. Calls are made one after the other, by one thread.

    Used as a context: entering opens what is needed, leaving closes it; rows that were not `delivered` come again.
    All calls raise `ApplianceError` of this room's codes, naming the cause.
    """

    def session(self) -> AbstractContextManager[None]:
        """Open the source, and close it at the end."""

    def fetch(self, cursor: Any, *, wait_s: float) -> Fetched:
        """Rows after `cursor` (None: from the start). Waits up to `wait_s` seconds where the source pushes."""

    def delivered(self) -> None:
        """All rows given so far are safe in the spool; the source need not keep them."""
