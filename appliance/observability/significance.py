"""Significance that admits dependence between rows.

Rules
1. Rows of one device, and rows of one day, are not independent. Every test here takes the *effective* number of rows:
   rows / design effect, where each clustering adds (m - 1) * rho (Kish 1965, section 5.4), rho being the intraclass
   correlation by one-way analysis of variance.
2. Days follow each other: weather that lasts a week makes seven days one. The time term is inflated by the integrated
   autocorrelation of block means, estimated in the reference, where the series is long.
3. Two tests for numbers: Kolmogorov-Smirnov for any change of shape, and a test of the mean over blocks and entities,
   which still has power where only a few independent blocks exist. Their p-values are combined by Bonferroni.
4. Many columns are tested at once: `benjamini_hochberg` bounds the expected share of false alarms among alarms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov, stdtr

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


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a column varies between its clusters.

    Attributes:
        mean: of all rows.
        block_sd, blocks: standard deviation of the means of time blocks, and their number.
        entity_sd, entities: the same over entities.
        memory: integrated autocorrelation of the block means, at least 1: so many blocks are worth one.
    """

    mean: float
    block_sd: float
    blocks: int
    entity_sd: float
    entities: int
    memory: float

    def as_json(self) -> dict[str, Any]:
        return {
            "mean": repr(self.mean),
            "block_sd": repr(self.block_sd),
            "blocks": self.blocks,
            "entity_sd": repr(self.entity_sd),
            "entities": self.entities,
            "memory": repr(self.memory),
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Spread:
        """Reads what `as_json` wrote."""
        return Spread(
            mean=float(document["mean"]),
            block_sd=float(document["block_sd"]),
            blocks=int(document["blocks"]),
            entity_sd=float(document["entity_sd"]),
            entities=int(document["entities"]),
            memory=float(document["memory"]),
        )


def spread(values: NDArray[np.float64], entity: Ints, block: Ints) -> Spread:
    """Measure `values` (N,), finite; `entity` and `block` are small integers, blocks in order of time."""
    if len(values) == 0:
        return Spread(mean=math.nan, block_sd=0.0, blocks=0, entity_sd=0.0, entities=0, memory=1.0)
    by_block, by_entity = _means(values, block), _means(values, entity)
    memory = _memory(by_block)
    # Autocorrelation makes the sample variance too small by about this share.
    bias = 1.0 - memory / max(len(by_block), 1) if len(by_block) > memory else 1.0
    return Spread(
        mean=float(values.mean()),
        block_sd=float(by_block.std(ddof=1)) / math.sqrt(bias) if len(by_block) > 1 else 0.0,
        blocks=len(by_block),
        entity_sd=float(by_entity.std(ddof=1)) if len(by_entity) > 1 else 0.0,
        entities=len(by_entity),
        memory=memory / bias,
    )


def shift_p_value(reference: Spread, current: Spread) -> float:
    """Two-sided test that the mean moved; the spread between blocks and entities is that of the reference."""
    if reference.blocks < 2 or current.blocks == 0:
        return 1.0
    variance = reference.block_sd**2 * (
        min(1.0, reference.memory / reference.blocks) + min(1.0, reference.memory / current.blocks)
    )
    variance += reference.entity_sd**2 * (1 / max(reference.entities, 1) + 1 / max(current.entities, 1))
    if variance <= 0:
        return 1.0 if reference.mean == current.mean else 0.0
    # The spread is known from few independent blocks: Student's t, not the normal distribution.
    freedom = max(1.0, reference.blocks / reference.memory - 1.0)
    return float(2 * stdtr(freedom, -abs(current.mean - reference.mean) / math.sqrt(variance)))


def effective_rows(ranks: NDArray[np.float64], entity: Ints, block: Ints, *, memory: float) -> float:
    """Rows / design effect; at least 1 for a non-empty column.

    Args:
        ranks: of the values, shape (N,): the tests are about order, and one wild value must not decide the correlation.
    """
    if len(ranks) == 0:
        return 0.0
    effect = 1.0 + _design_excess(ranks, entity) + memory * _design_excess(ranks, block)
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


def _means(values: NDArray[np.float64], cluster: Ints) -> NDArray[np.float64]:
    sizes = np.bincount(cluster)
    means: NDArray[np.float64] = np.bincount(cluster, values)[sizes > 0] / sizes[sizes > 0]
    return means


def _memory(series: NDArray[np.float64]) -> float:
    # 1 + 2 * sum of autocorrelations up to the first that is not positive (Geyer 1992, initial positive sequence).
    count = len(series)
    centred = series - series.mean()
    power = float((centred**2).sum())
    if count < 4 or power <= 0:
        return 1.0
    memory = 1.0
    for lag in range(1, count // 2):
        correlation = float((centred[:-lag] * centred[lag:]).sum()) / power
        if correlation <= 0:
            break
        memory += 2 * correlation
    return min(memory, count / 4)
