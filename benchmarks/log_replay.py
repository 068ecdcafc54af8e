"""Replay of the transparency log: the cost per entry of 100,000 entries against that of 1,000, in one run.

    python benchmarks/log_replay.py [--json] [--small]

Here the peer is the short log: a replay that is linear costs no more per entry on the long one (the short one pays for
opening, so the ratio is above one). Measured are `replay`, which an auditor reads from, and `fsck`, which judges every
file; the worse of the two counts. CPU time per entry, least of rounds in turn; the peak of memory that Python
allocates is printed beside it.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from pathlib import Path

from appliance.trust import keys, log_check
from appliance.trust.tlog import TransparencyLog
from benchmarks import outcome

GOAL = 1 / 1.2  # within 20 %
SHORT, LONG, SMALL_LONG = 1_000, 100_000, 50_000
ROUNDS = 5


def main() -> int:
    options = outcome.arguments(__doc__, small="50,000 entries").parse_args()
    sizes = (SHORT, SMALL_LONG if options.small else LONG)
    with tempfile.TemporaryDirectory(prefix="log-replay-") as name:
        logs = {size: make_log(Path(name, str(size)), size) for size in sizes}
        best = {(way, size): math.inf for way in WAYS for size in sizes}
        for _ in range(ROUNDS):
            for way, size in best:
                times = max(1, 20_000 // size)
                best[way, size] = min(best[way, size], cpu_us(WAYS[way], logs[size], times) / size)
        peaks = {key: peak_bytes(WAYS[key[0]], logs[key[1]]) for key in best}
    way = min(WAYS, key=lambda each: best[each, sizes[0]] / best[each, sizes[1]])
    return outcome.answer(
        "log_replay",
        peer=best[way, sizes[0]],
        ours=best[way, sizes[1]],
        unit=f"CPU us per entry of {way}",
        ratio=best[way, sizes[0]] / best[way, sizes[1]],
        goal=GOAL,
        table=(
            f"{'':10}{'entries':>10}{'CPU us/entry':>14}{'peak kB':>10}",
            *(
                f"{name:10}{size:>10,}{cost:14.2f}{peaks[name, size] / 1e3:10.0f}"
                for (name, size), cost in best.items()
            ),
        ),
        as_json=options.json,
    )


def make_log(folder: Path, size: int) -> TransparencyLog:
    log = TransparencyLog(folder, "log.test", keys.generate("ed25519"))
    log.create()
    log.append([b'{"seq":%d,"action":"table.append","detail":"rows=500000"}' % index * 3 for index in range(size)])
    return log


def replay(log: TransparencyLog) -> None:
    deque(log_check.replay(log.folder, log.checkpoint()), maxlen=0)


def fsck(log: TransparencyLog) -> None:
    assert log.fsck().ok


WAYS = {"replay": replay, "fsck": fsck}


def cpu_us(function: Callable[[TransparencyLog], None], log: TransparencyLog, times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        function(log)
    return (time.process_time() - started) / times * 1e6


def peak_bytes(function: Callable[[TransparencyLog], None], log: TransparencyLog) -> int:
    tracemalloc.start()
    function(log)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


if __name__ == "__main__":
    sys.exit(main())
