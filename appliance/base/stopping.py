"""An asked-for end of long work: the first SIGINT or SIGTERM is a question, the second one is not."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_asked() -> Iterator[Callable[[], bool]]:
    """Gives whether somebody asked to stop. For the main thread of a program."""
    asked = False
    before = {each: signal.getsignal(each) for each in SIGNALS}

    def ask(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[signal.Signals(number)])

    for each in SIGNALS:
        signal.signal(each, ask)
    try:
        yield lambda: asked
    finally:
        for each in SIGNALS:
            signal.signal(each, before[each])
