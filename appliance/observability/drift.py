"""Whether data has drifted from a reference: fixed grids, effect sizes, and significance that admits dependence.

Rules
1. A numeric column is a histogram of 65,536 equal bins on a grid fixed by the reference. Histograms of one grid add
   up. Kolmogorov-Smirnov distance and PSI come from the histogram; the distance is exact up to the share of the
   fullest bin, which is reported as `ks_error`.
2. A category column is counts of codes; codes that the reference never saw are pooled as one cell and also reported.
3. An alarm needs both: an effect size at its limit, *and* significance after Benjamini-Hochberg over all columns of
   the report. At millions of rows every p-value is 0, so p alone never alarms; on few rows every effect is large, so
   effect alone never does.
4. Rows of one device, and rows of neighbouring days, are not independent; p-values admit that (`significance`).
5. Pure: no table is read, no file written. References travel as JSON of ints and decimal text.

Source of the PSI limits 0.1 and 0.25: Siddiqi, Credit Risk Scorecards (2006), section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from appliance.observability.histogram import (
    Histogram,
    grid_of,
    histogram,
    ks_distance,
    pack_counts,
    psi,
    ranks_on,
    unpack_counts,
)
from appliance.observability.significance import (
    Spread,
    benjamini_hochberg,
    chi_squared_p_value,
    effective_codes,
    effective_rows,
    ks_p_value,
    shift_p_value,
    spread,
)

Ints = NDArray[np.int64]
LEAST_ROWS = 50  # below it nothing can be told from chance


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Effect sizes from which a drift counts. `ks` and `shift` are distances in [0, 1]; `unseen` a share of rows."""

    psi: float = 0.25
    ks: float = 0.15
    shift: float = 0.05
    unseen: float = 0.005
    false_discovery_rate: float = 0.01


@dataclass(frozen=True, kw_only=True)
class NumericReference:
    """What a numeric column looked like in training. `effective_rows` and `spread` admit dependence (rule 4)."""

    histogram: Histogram
    effective_rows: float
    spread: Spread

    def as_json(self) -> dict[str, Any]:
        coarse = self.histogram.counts.reshape(64, -1).sum(axis=1)
        return {
            "low": repr(self.histogram.low),
            "high": repr(self.histogram.high),
            "rows": self.histogram.rows,
            "missing": self.histogram.missing,
            "effective_rows": f"{self.effective_rows:.3f}",
            "spread": self.spread.as_json(),
            "counts": pack_counts(self.histogram.counts),
            "coarse": coarse.tolist(),
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> NumericReference:
        """Reads what `as_json` wrote. KeyError or ValueError for anything else."""
        histogram = Histogram(
            low=float(document["low"]),
            high=float(document["high"]),
            counts=unpack_counts(document["counts"]),
            missing=int(document["missing"]),
        )
        return NumericReference(
            histogram=histogram,
            effective_rows=float(document["effective_rows"]),
            spread=Spread.from_json(document["spread"]),
        )


@dataclass(frozen=True, kw_only=True)
class CategoryReference:
    """Counts of codes in training."""

    counts: dict[str, int]
    effective_rows: float

    def as_json(self) -> dict[str, Any]:
        return {"counts": dict(sorted(self.counts.items())), "effective_rows": f"{self.effective_rows:.3f}"}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> CategoryReference:
        counts = {str(code): int(count) for code, count in document["counts"].items()}
        return CategoryReference(counts=counts, effective_rows=float(document["effective_rows"]))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One column of a drift report.

    Attributes:
        effect: PSI for numbers, total variation distance for codes.
        distance: Kolmogorov-Smirnov distance for numbers, share of unseen codes for codes.
        p_value: under the effective number of rows.
        state: ``ok``, ``alarm``, or ``too few rows``.
        unseen: codes that the reference never saw, most frequent first, at most ten.
    """

    column: str
    kind: Literal["number", "code"]
    rows: int
    missing: int
    effective_rows: float
    effect: float
    distance: float
    ks_error: float
    p_value: float
    significant: bool
    state: str
    reason: str
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.state == "alarm")


def numeric_reference(values: NDArray[np.float64], entity: Ints, block: Ints) -> NumericReference:
    """The reference of training values (N,); `entity` and time `block` of each row are small integers."""
    low, high = grid_of(values)
    counted = histogram(values, low=low, high=high)
    known = np.isfinite(values)
    measured = spread(values[known], entity[known], block[known])
    effective = effective_rows(ranks_on(counted, values), entity[known], block[known], memory=measured.memory)
    return NumericReference(histogram=counted, effective_rows=effective, spread=measured)


def category_reference(codes: pa.Array | pa.ChunkedArray, *clusters: Ints) -> CategoryReference:
    """The reference of training codes."""
    return CategoryReference(counts=_count(codes), effective_rows=_effective_codes(codes, *clusters))


def compare_numbers(
    column: str,
    reference: NumericReference,
    values: NDArray[np.float64],
    entity: Ints,
    block: Ints,
    *,
    limits: Limits,
) -> Finding:
    """One numeric column against its reference; `significant` is set by `report`."""
    counted = reference.histogram
    current = histogram(values, low=counted.low, high=counted.high)
    distance, error = ks_distance(counted, current)
    index = psi(counted, current)
    known = np.isfinite(values)
    measured = spread(np.clip(values[known], counted.low, counted.high), entity[known], block[known])
    effective = effective_rows(ranks_on(current, values), entity[known], block[known], memory=reference.spread.memory)
    p_values = (
        ks_p_value(distance, reference.effective_rows, effective),
        shift_p_value(reference.spread, measured),
    )
    enough = min(current.rows, counted.rows) >= LEAST_ROWS
    large = index >= limits.psi and distance >= limits.ks
    return Finding(
        column=column,
        kind="number",
        rows=current.rows,
        missing=current.missing,
        effective_rows=effective,
        effect=index,
        distance=distance,
        ks_error=error,
        p_value=min(1.0, 2 * min(p_values)) if enough else 1.0,
        significant=False,
        state="ok" if enough else "too few rows",
        reason=f"PSI {index:.3f}, distance {distance:.3f}" if large else "",
    )


def compare_codes(
    column: str,
    reference: CategoryReference,
    codes: pa.Array | pa.ChunkedArray,
    *clusters: Ints,
    limits: Limits,
) -> Finding:
    """One category column against its reference: shares of known codes, and codes never seen."""
    counts = _count(codes)
    known = sorted(reference.counts)
    unseen = {code: count for code, count in counts.items() if code not in reference.counts}
    first = np.array([*(reference.counts[code] for code in known), 0], np.float64)
    second = np.array([*(counts.get(code, 0) for code in known), sum(unseen.values())], np.float64)
    total = second.sum()
    effective = _effective_codes(codes, *clusters)
    shift = float(np.abs(first / max(first.sum(), 1) - second / max(total, 1)).sum() / 2)
    share = float(second[-1] / max(total, 1))
    scale = (reference.effective_rows / max(first.sum(), 1), effective / max(total, 1))
    enough = total > 0 and reference.effective_rows > 0
    reasons = []
    if shift >= limits.shift:
        reasons.append(f"shares moved by {shift:.3f}")
    if share >= limits.unseen:
        reasons.append(f"{share:.3f} of rows carry codes never seen in training")
    p_value = chi_squared_p_value(first, second, scale)
    if share >= limits.unseen:
        # A code of share s that was never seen in n effective rows has probability (1 - s)^n under no change.
        p_value = min(p_value, (1 - share) ** reference.effective_rows)
    return Finding(
        column=column,
        kind="code",
        rows=int(total),
        missing=len(codes) - int(total),
        effective_rows=effective,
        effect=shift,
        distance=share,
        ks_error=0.0,
        p_value=p_value if enough else 1.0,
        significant=False,
        state="ok" if enough else "too few rows",
        reason=", ".join(reasons),
        unseen=tuple(sorted(unseen, key=lambda code: (-unseen[code], code))[:10]),
    )


def report(findings: Sequence[Finding], limits: Limits) -> DriftReport:
    """Decide the alarms of one report (rule 3). The order of columns is kept."""
    rejected = benjamini_hochberg([finding.p_value for finding in findings], limits.false_discovery_rate)
    judged = []
    for finding, significant in zip(findings, rejected, strict=True):
        alarm = significant and finding.state == "ok" and finding.reason != ""
        judged.append(replace(finding, significant=significant, state="alarm" if alarm else finding.state))
    return DriftReport(findings=tuple(judged))


def _count(codes: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(codes.drop_null())
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    return {str(code): int(count) for code, count in pairs}


def _effective_codes(codes: pa.Array | pa.ChunkedArray, *clusters: Ints) -> float:
    whole = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    valid = whole.is_valid().to_numpy(zero_copy_only=False)
    index = whole.drop_null().dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return effective_codes(index, *(cluster[valid] for cluster in clusters))
