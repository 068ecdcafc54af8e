"""Hashing of files: `appliance.bundle.hashing` against ``openssl dgst -sha256``, per CPU second, in one run.

    python benchmarks/hashing.py [--json] [--small]

All read the same file from the page cache, in turn, least of the rounds; a program's start is measured with an empty
file and taken off. The ratio to ``sha256sum`` is printed too: Debian 12 builds it without the processor's SHA
instructions, so a script on the target should call openssl.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from appliance.bundle.hashing import hash_file
from benchmarks import outcome

GOAL, SMALL_GOAL = 0.85, 0.55
ROUNDS = 5


def main() -> int:
    options = outcome.arguments(__doc__, small="a quarter of the bytes").parse_args()
    megabytes = 128 if options.small else 512
    with tempfile.TemporaryDirectory(prefix="hashing-") as name:
        file, empty = Path(name, "file"), Path(name, "empty")
        block = os.urandom(1 << 20)
        with file.open("wb") as target:
            for _ in range(megabytes):
                target.write(block)
        empty.touch()
        ways: dict[str, Callable[[Path], str]] = {
            "openssl": lambda path: printed("openssl", "dgst", "-sha256", "-r", path),
            "sha256sum": lambda path: printed("sha256sum", path),
            "ours": ours,
        }
        assert len({way(file) for way in ways.values()}) == 1, "the digests differ"
        spent = dict.fromkeys(ways, math.inf)
        for _ in range(ROUNDS):
            for way, digest in ways.items():
                spent[way] = min(spent[way], cpu_s(digest, file) - cpu_s(digest, empty))
    rate = {way: megabytes / 1e3 * 1.048576 / seconds for way, seconds in spent.items()}
    return outcome.answer(
        "hashing",
        peer=rate["openssl"],
        ours=rate["ours"],
        unit="GB per CPU second",
        ratio=rate["ours"] / rate["openssl"],
        goal=SMALL_GOAL if options.small else GOAL,
        table=(
            *(f"{way:12}{each:8.3f} GB per CPU second" for way, each in rate.items()),
            f"ratio to sha256sum {rate['ours'] / rate['sha256sum']:.2f}; to openssl:",
        ),
        as_json=options.json,
    )


def ours(path: Path) -> str:
    """As a bundle's files are hashed, progress included."""
    return hash_file(path.parent, path.name, path.stat().st_size, lambda _: None).digest.removeprefix("sha256:")


def printed(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0]


def cpu_s(digest: Callable[[Path], str], path: Path) -> float:
    """CPU seconds of this process and of the programs that it started."""

    def now() -> float:
        return sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )

    started = now()
    digest(path)
    return now() - started


if __name__ == "__main__":
    sys.exit(main())
