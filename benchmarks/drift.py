"""Drift statistics of numeric columns against SciPy, in one process, on the same arrays.

    python benchmarks/drift.py [--json] [--small]

A reference is measured once, when a model is packaged; what is timed is the current window: SciPy's two-sample
Kolmogorov-Smirnov plus PSI over the reference's deciles, and our histogram with both statistics. CPU seconds, medians.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.stats

from appliance.observability.histogram import grid_of, histogram, ks_distance, psi
from benchmarks import outcome

GOAL, SMALL_GOAL = 30.0, 15.0


def main() -> int:
    options = outcome.arguments(__doc__, small="one tenth of the rows").parse_args()
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
    return outcome.answer(
        "drift",
        peer=peer,
        ours=mine,
        unit="cpu_s",
        ratio=peer / mine,
        goal=SMALL_GOAL if options.small else GOAL,
        table=(
            f"{rows:,} rows{'':10}{'CPU ms':>10}{'KS':>12}{'PSI':>12}",
            f"{'SciPy':20}{peer * 1e3:10.1f}{exact[0]:12.6f}{exact[1]:12.6f}",
            f"{'ours':20}{mine * 1e3:10.1f}{near[0]:12.6f}{near[1]:12.6f}",
        ),
        as_json=options.json,
    )


def cpu_s(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
