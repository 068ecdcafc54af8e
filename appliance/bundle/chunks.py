"""Work on many inputs in chunks, a bounded number at once: a tool's start is dear, a long silence is too.

A chunk that fails as a whole gives its error, and so do the chunks that were not begun when a source gave no answer:
nobody waits for the same silence a hundred times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeAlias, TypeVar

from appliance.base.errors import ApplianceError
from appliance.bundle import codes

T = TypeVar("T")
R = TypeVar("R")
Chunk: TypeAlias = Sequence[T]
PIPS_AT_ONCE = 3


def run_chunks(
    chunks: Sequence[Chunk[T]], work: Callable[[Chunk[T]], R], *, at_once: int
) -> Iterator[tuple[Chunk[T], R | ApplianceError]]:
    """Each chunk with what `work` gave or the error that it raised, as they end."""
    silent: list[ApplianceError] = []

    def one(chunk: Chunk[T]) -> R | ApplianceError:
        if silent:
            return silent[0]
        try:
            return work(chunk)
        except ApplianceError as error:
            if error.code in (codes.SOURCE_UNREACHABLE, codes.NO_SPACE):
                silent.append(error)
            return error

    with ThreadPoolExecutor(at_once) as pool:
        started = {pool.submit(one, chunk): chunk for chunk in chunks}
        try:
            for done in as_completed(started):
                yield started[done], done.result()
        finally:
            for each in started:
                each.cancel()
