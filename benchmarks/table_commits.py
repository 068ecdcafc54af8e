"""What commit number 300 of a table costs against commit number 10, with upkeep in between.

    python benchmarks/table_commits.py [--json] [--small]

Peer: the same table when it was young. Commits are those of a writer: one data file with 96 readings, its lineage
document, the swap, and expiry when it is due. Every `EVERY` commits the whole upkeep runs, beside the measurement.
Compared is CPU time of this process, the median of the ten commits around each number. For people the table also shows
the same writer without upkeep and expiry, and what reading all rows costs at the end.
"""

from __future__ import annotations

import datetime as dt
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from appliance.base.clock import SystemClock
from appliance.governance.lineage import Lineage
from appliance.observability.alerts import Alerts
from appliance.storage.files import SiteFiles
from appliance.storage.tables import Lake
from appliance.storage.upkeep import expire_when_due
from appliance.storage.upkeep.plan import LEAST_ORPHAN_AGE, Limits
from appliance.storage.upkeep.run import TableUpkeep
from benchmarks import outcome

NAME = "silver.readings"
YOUNG, OLD, SMALL_OLD = 10, 300, 150
EVERY = 50  # commits between two runs of upkeep
AROUND = 5  # commits before and after a number that count for it
ROWS = 96
GOAL, SMALL_GOAL = 1 / 3, 1 / 5  # peer's time to ours: at most three times as slow, five in CI
LIMITS = Limits(
    target_bytes=64 << 20, keep=20, retain=dt.timedelta(0), orphans_after=LEAST_ORPHAN_AGE, max_small_files=200
)
MEMORY = Path("/dev/shm")


class NoLog:
    """The transparency log has a benchmark of its own."""

    def append(self, entries: object) -> None:
        pass


def rows_of(number: int) -> pa.Table:
    times = (np.arange(ROWS) + number * ROWS) * 900_000_000
    return pa.table(
        {
            "device_id": [f"tx-{each % 8:04d}" for each in range(ROWS)],
            "event_time": pa.array(times).cast(pa.timestamp("us", "UTC")),
            "value": np.arange(ROWS, dtype=np.float64),
        }
    )


def write(folder: Path, count: int, *, kept_up: bool) -> SimpleNamespace:
    """CPU seconds of each commit, of reading all rows at the end, and the files that they lie in."""
    lineage = Lineage(folder / "lineage", NoLog())
    lake = Lake(folder / "lake", SiteFiles(folder), lineage)
    upkeep = TableUpkeep(
        lake=lake,
        lineage=lineage,
        state_folder=folder / "upkeep",
        alerts=Alerts(folder / "alerts"),
        clock=SystemClock(),
    )
    lake.ensure(NAME, rows_of(0).schema)
    spent = []
    for number in range(1, count + 1):
        rows = rows_of(number)
        began = time.process_time()
        lake.append(NAME, rows, expected=lake.head(NAME), properties={}, inputs=[], facts={})
        if kept_up:
            expire_when_due(lake, NAME)
        spent.append(time.process_time() - began)
        if kept_up and number % EVERY == 0:
            upkeep.run(NAME, LIMITS)
    began = time.process_time()
    assert lake.scan(NAME).num_rows == count * ROWS
    return SimpleNamespace(commits=spent, read=time.process_time() - began, files=len(lake.files(NAME)))


def around(commits: list[float], number: int) -> float:
    return statistics.median(commits[number - AROUND - 1 : number + AROUND])


def main() -> int:
    options = outcome.arguments(__doc__, small=f"commit {SMALL_OLD} in place of {OLD}").parse_args()
    old = SMALL_OLD if options.small else OLD
    columns = {}
    for name, kept_up in (("with upkeep", True), ("without", False)):
        if kept_up or not options.json:
            with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
                columns[name] = write(Path(folder), old + AROUND, kept_up=kept_up)
    found = columns["with upkeep"]
    peer, ours = around(found.commits, YOUNG), around(found.commits, old)
    lines = [f"{'':<14}{'commit ' + str(YOUNG):>14}{'commit ' + str(old):>14}{'read all':>12}{'live files':>12}"]
    lines += [
        f"{name:<14}{around(each.commits, YOUNG) * 1e3:>11.1f} ms{around(each.commits, old) * 1e3:>11.1f} ms"
        f"{each.read * 1e3:>9.1f} ms{each.files:>12}"
        for name, each in columns.items()
    ]
    return outcome.answer(
        "table_commits",
        peer=peer * 1e3,
        ours=ours * 1e3,
        unit="ms CPU per commit",
        ratio=peer / ours,
        goal=SMALL_GOAL if options.small else GOAL,
        table=lines,
        as_json=options.json,
    )


if __name__ == "__main__":
    raise SystemExit(main())
