"""Hashing of a bundle's files: two workers against one, by the clock, in one run.

    python benchmarks/bundle_hashing.py [--json] [--small]

Both verify the same folder from the page cache, in turn, least of the rounds. `benchmarks/hashing.py` has the ratio to
openssl per CPU second; this one says that a second core is used, and needs one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from appliance.base.progress import NoProgress
from appliance.bundle.hashing import hash_files
from benchmarks import outcome

GOAL, SMALL_GOAL = 1.8, 1.1
ROUNDS = 7
FILES = 96


def main() -> int:
    options = outcome.arguments(__doc__, small="a quarter of the bytes").parse_args()
    megabytes = 256 if options.small else 1024
    with tempfile.TemporaryDirectory(prefix="hashing-") as name:
        sizes = {f"{number:03}": (megabytes << 20) // FILES for number in range(FILES)}
        for path, size in sizes.items():
            (Path(name) / path).write_bytes(os.urandom(size))
        least = {1: float("inf"), 2: float("inf")}
        found = {}
        for _ in range(ROUNDS):
            for workers in least:
                started = time.perf_counter()
                hashed = {
                    each.path: each.digest for each in hash_files(Path(name), sizes, NoProgress(), workers=workers)
                }
                least[workers] = min(least[workers], time.perf_counter() - started)
                found[workers] = hashed
    assert found[1] == found[2], "the digests differ"
    rate = {workers: (megabytes << 20) / 1e9 / seconds for workers, seconds in least.items()}
    return outcome.answer(
        "bundle_hashing",
        peer=rate[1],
        ours=rate[2],
        unit="GB per second",
        ratio=rate[2] / rate[1],
        goal=SMALL_GOAL if options.small else GOAL,
        table=tuple(f"{workers} workers {each:8.3f} GB per second" for workers, each in rate.items()),
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
