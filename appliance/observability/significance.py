"""Significance that admits dependence between rows.

Rules
1. Rows of one device, and rows of one day, are not independent. Every test here takes the *effective* number of rows:
   rows / design effect, where each clustering adds (m - 1) * rho (Kish 1965, section 5.4), rho being the intraclass
   correlation by one-way analysis of variance.
2. Many columns are tested at once: `benjamini_hochberg` bounds the expected share of false alarms among alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov

Ints = NDArray[np.int64]
LEAST_EXPECTED = 5.0  # cells of a chi-squared test with fewer expected rows are pooled


def ks_p_value(distance: float, first_rows: float, second_rows: float) -> float:
    """Two-sample Kolmogorov-Smirnov, asymptotic, with Stephens' correction for small samples."""
    if first_rows <= 0 or second_rows <= 0:
        return 1.0
    root = math.sqrt(first_rows * second_rows / (first_rows + second_rows))
    return float(kolmogorov((root + 0.12 + 0.11 / root) * distance))


def chi_squared_p_value(reference: NDArray[Any], current: NDArray[Any], scale: tuple[float, float]) -> float:
    """Homogeneity of two rows of counts after scaling them to their effective numbers; cells below 5 are pooled."""
    table = np.array([reference * scale[0], current * scale[1]], np.float64)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(table.sum(), 1e-12)
    thin = expected.min(axis=0) < LEAST_EXPECTED
    if thin.any():
        table = np.column_stack([table[:, ~thin], table[:, thin].sum(axis=1)])
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(table.sum(), 1e-12)
    used = expected.min(axis=0) > 0
    if used.sum() < 2:
        return 1.0
    statistic = float(((table - expected)[:, used] ** 2 / expected[:, used]).sum())
    return float(chdtrc(int(used.sum()) - 1, statistic))


def effective_rows(ranks: NDArray[np.float64], *clusters: Ints) -> float:
    """Rows / design effect; at least 1 for a non-empty column.

    Args:
        ranks: of the values, shape (N,): the tests are about order, and one wild value must not decide the correlation.
        clusters: for each clustering the cluster of each row, small integers, shape (N,).
    """
    if len(ranks) == 0:
        return 0.0
    effect = 1.0 + sum(_design_excess(ranks, cluster) for cluster in clusters)
    return max(1.0, len(ranks) / effect)


def effective_codes(index: Ints, *clusters: Ints) -> float:
    """The least effective number over the indicator of each code (0, 1, ...): the most dependent code decides."""
    if len(index) == 0:
        return 0.0
    worst = 1.0
    for code in range(int(index.max()) + 1):
        indicator = (index == code).astype(np.float64)
        if 0 < indicator.sum() < len(index):
            worst = max(worst, 1.0 + sum(_design_excess(indicator, cluster) for cluster in clusters))
    return max(1.0, len(index) / worst)


def benjamini_hochberg(p_values: Sequence[float], rate: float) -> list[bool]:
    """Which hypotheses are rejected at the false discovery rate `rate` (Benjamini and Hochberg 1995)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    last = 0
    for rank, index in enumerate(order, start=1):
        if p_values[index] <= rate * rank / len(p_values):
            last = rank
    rejected = set(order[:last])
    return [index in rejected for index in range(len(p_values))]


def _design_excess(values: NDArray[np.float64], clusters: Ints) -> float:
    """(m - 1) * rho with rho from one-way analysis of variance, not below 0; m is the mean size weighted by rows."""
    sizes = np.bincount(clusters).astype(np.float64)
    sums = np.bincount(clusters, values)[sizes > 0]
    sizes = sizes[sizes > 0]
    groups, rows = len(sizes), len(values)
    if groups < 2 or rows <= groups:
        return 0.0 if rows <= groups else float(rows - 1)
    mean = values.mean()
    between = float((sizes * (sums / sizes - mean) ** 2).sum()) / (groups - 1)
    within = float(((values - mean) ** 2).sum() - (sizes * (sums / sizes - mean) ** 2).sum()) / (rows - groups)
    size = (rows - float((sizes**2).sum()) / rows) / (groups - 1)
    if between + (size - 1) * within <= 0:
        return 0.0
    rho = max(0.0, (between - within) / (between + (size - 1) * within))
    return (float((sizes**2).sum()) / rows - 1) * rho
