"""Shows progress on a terminal with rich; says nothing where stderr is no terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from appliance.base.progress import NoProgress, Progress


class _Bars:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.display = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: object = None

    def begin(self, what: str, total: int | None) -> None:
        self._task = self.display.add_task(what, total=total)

    def advance(self, amount: int) -> None:
        self.display.advance(self._task, amount)  # type: ignore[arg-type]


@contextlib.contextmanager
def terminal_progress(instead: Progress | None = None) -> Iterator[Progress]:
    """Progress bars on stderr while the block runs; `instead` is used where one is given."""
    if instead is not None or not sys.stderr.isatty():
        yield instead or NoProgress()
        return
    bars = _Bars()
    with bars.display:
        yield bars
