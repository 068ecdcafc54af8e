"""Drift statistics of numeric columns against SciPy, in one process, on the same arrays.

    python benchmarks/drift.py [--json] [--small]

A reference is measured once, when a model is packaged; what is timed is the current window: SciPy's two-sample
Kolmogorov-Smirnov plus PSI over the reference's deciles, and our histogram with both statistics. CPU seconds, medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from appliance.observability.histogram import grid_of, histogram, ks_distance, psi

GOAL, SMALL_GOAL = 30.0, 15.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--small", action="store_true", help="one tenth of the rows, for CI")
    options = parser.parse_args()
    rows = 1_000_000 if options.small else 10_000_000
    rng = np.random.default_rng(3)
    reference = rng.normal(0, 1, rows).astype("f4")
    current = rng.normal(0.01, 1.02, rows).astype("f4")
    low, high = grid_of(reference)
    known = histogram(reference, low=low, high=high)
    edges = np.quantile(reference, np.linspace(0, 1, 11)[1:-1])
    expected = np.bincount(np.searchsorted(edges, reference), minlength=10) / rows

    def theirs() -> tuple[float, float]:
        distance = scipy.stats.ks_2samp(reference, current, method="asymp").statistic
        shares = np.bincount(np.searchsorted(edges, current), minlength=10) / rows
        return float(distance), float(((shares - expected) * np.log(shares / expected)).sum())

    def ours() -> tuple[float, float]:
        counted = histogram(current, low=low, high=high)
        return ks_distance(known, counted)[0], psi(known, counted)

    exact, near = theirs(), ours()
    error = ks_distance(known, histogram(current, low=low, high=high))[1]
    if abs(exact[0] - near[0]) > 1e-3 or error > 1e-3:
        sys.exit(f"Kolmogorov-Smirnov differs by {abs(exact[0] - near[0]):.2e}, stated error {error:.2e}")
    peer, mine = cpu_s(theirs, 3), cpu_s(ours, 7)
    goal = SMALL_GOAL if options.small else GOAL
    ratio = peer / mine
    result = {
        "name": "drift",
        "peer": round(peer, 4),
        "ours": round(mine, 4),
        "unit": "cpu_s",
        "ratio": round(ratio, 2),
        "goal": goal,
        "holds": ratio >= goal,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{rows:,} rows{'':10}{'CPU ms':>10}{'KS':>12}{'PSI':>12}")
        print(f"{'SciPy':20}{peer * 1e3:10.1f}{exact[0]:12.6f}{exact[1]:12.6f}")
        print(f"{'ours':20}{mine * 1e3:10.1f}{near[0]:12.6f}{near[1]:12.6f}")
        print(f"ratio {ratio:.1f}, goal {goal:g}: {'holds' if result['holds'] else 'MISSED'}")
    return 0 if result["holds"] else 1


def cpu_s(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
