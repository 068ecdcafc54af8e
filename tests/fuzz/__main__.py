"""Fuzzes parsers; ends with 1 when something was found.

usage: python -m tests.fuzz [--seconds=60] [--seed=N] [--jobs=2] [TARGET ...]
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.harness import Outcome, fuzz, report
from tests.fuzz.registry import Target
from tests.fuzz.targets import TARGETS


def main() -> int:
    known = {target.name: target for target in TARGETS}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="TARGET", help=", ".join(known))
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time for each target (default 60)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--jobs", type=int, default=2, help="targets at once (default 2)")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - known.keys())
    if unknown:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(known)}")
    print(f"seed {options.seed}", flush=True)
    targets = [known[name] for name in options.names or known]
    outcomes = run_all(targets, seconds=options.seconds, seed=options.seed, jobs=options.jobs)
    return 1 if any(outcome.fault for outcome in outcomes) else 0


def run_all(
    targets: Sequence[Target], *, seconds: float, seed: int, jobs: int, told: Callable[[Outcome], None] = report
) -> list[Outcome]:
    """Fuzz each for so many seconds of processor time, `jobs` at once; they are told in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = []
        for outcome in pool.map(lambda target: fuzz(target, seconds=seconds, seed=seed), targets):
            told(outcome)
            outcomes.append(outcome)
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
