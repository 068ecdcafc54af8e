"""One run of a connector: fetch, gather a batch, deliver it, tell the source; until it is empty, or for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.ingestion.connectors.delivery import Delivery, State
from appliance.ingestion.connectors.source import Connector, Fetched

_STEP_S = 0.5  # at most this passes until a pause or the end of the time is seen


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a batch is closed, whatever comes first; and how long to wait at the end of a source that is asked.

    Attributes:
        rows, bytes: of one file; the last page may go beyond.
        age_s: since the batch's first row.
        stalled_rows: of a batch when the source seems to wait for us; fewer wait for `age_s`: silence looks the same.
        poll_s: 0 for a source that waits itself.
    """

    rows: int
    bytes: int
    age_s: float
    stalled_rows: int
    poll_s: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one run delivered and left out as `duplicates`, and why it ended: empty, time or paused."""

    files: int
    rows: int
    duplicates: int
    ended: str


class _Batch:
    """Rows that were fetched and not delivered."""

    def __init__(self, state: State) -> None:
        self.rows: list[bytes] = []
        self.bytes = 0
        self.began: float | None = None
        self.cursor = state.cursor

    def take(self, fetched: Fetched, now: float) -> None:
        self.rows += fetched.rows
        self.bytes += sum(map(len, fetched.rows))
        self.cursor = fetched.cursor
        if self.rows and self.began is None:
            self.began = now

    def full(self, limits: Limits, now: float) -> bool:
        old = self.began is not None and now - self.began >= limits.age_s
        return len(self.rows) >= limits.rows or self.bytes >= limits.bytes or old


def run(
    source: Connector,
    delivery: Delivery,
    limits: Limits,
    *,
    seconds: float | None,
    progress: Progress,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Run until the source is empty (`seconds` None), or for so long; the caller holds `delivery.exclusive`.

    Raises:
        ApplianceError: what the source or the delivery says; rows that were fetched before are delivered.
    """
    state = first = delivery.recover()
    timed = seconds is not None
    until = None if seconds is None else now() + seconds
    batch = _Batch(state)
    ended, duplicates = "", 0

    def deliver() -> None:
        nonlocal state, batch
        state = delivery.deliver(state, batch.rows, batch.cursor)
        source.delivered()
        progress.advance(len(batch.rows))
        batch = _Batch(state)

    progress.begin("rows delivered", None)
    with source.session():
        next_look = now()
        while not ended:
            exhausted = stalled = False
            if now() >= next_look:
                try:
                    fetched = source.fetch(batch.cursor, wait_s=_STEP_S)
                except ApplianceError:
                    deliver()
                    raise
                batch.take(fetched, now())
                duplicates += fetched.duplicates
                exhausted, stalled = fetched.exhausted, fetched.stalled
                if exhausted:
                    next_look = now() + limits.poll_s
            else:
                sleep(min(_STEP_S, next_look - now()))
            ended = _end(delivery, exhausted=exhausted, late=until is not None and now() >= until, timed=timed)
            wanted = exhausted and limits.poll_s > 0  # nothing comes for a while
            wanted |= stalled and len(batch.rows) >= (limits.stalled_rows if timed else 1)
            if ended or wanted or batch.full(limits, now()):
                deliver()
    return Report(files=state.files - first.files, rows=state.rows - first.rows, duplicates=duplicates, ended=ended)


def _end(delivery: Delivery, *, exhausted: bool, late: bool, timed: bool) -> str:
    """Why the run ends now; "" when it goes on."""
    if delivery.paused:
        return "paused"
    if late:
        return "time"
    return "empty" if exhausted and not timed else ""
