"""Drift: statistics against SciPy and by hand, planted drift flagged, quiet where nothing changed."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from appliance.observability.drift import (
    CategoryReference,
    Limits,
    NumericReference,
    category_reference,
    compare_codes,
    compare_numbers,
    numeric_reference,
    report,
)
from appliance.observability.histogram import (
    BINS,
    Histogram,
    histogram,
    ks_distance,
    pack_counts,
    psi_of_shares,
    unpack_counts,
)
from appliance.observability.significance import (
    benjamini_hochberg,
    chi_squared_p_value,
    effective_rows,
    ks_p_value,
)

LIMITS = Limits()


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.1, 1.0, 30.0])
def test_ks_is_scipys_within_the_stated_error(shift):
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, 20_000), rng.normal(shift, 1.02, 20_000)
    distance, error = ks_distance(histogram(first, low=-8, high=8), histogram(second, low=-8, high=8))
    exact = scipy.stats.ks_2samp(first, second, method="asymp").statistic
    assert error <= 1e-3
    assert abs(distance - exact) <= error + 1e-12


def test_psi_is_the_value_worked_by_hand():
    # (0.5-0.2) ln(0.5/0.2) + (0.3-0.3) ln 1 + (0.2-0.5) ln(0.2/0.5) = 0.6 ln 2.5
    assert psi_of_shares(np.array([20, 30, 50]), np.array([50, 30, 20])) == pytest.approx(0.6 * math.log(2.5), abs=1e-9)


def test_chi_squared_is_scipys():
    first, second = np.array([120.0, 80.0, 40.0]), np.array([90.0, 95.0, 55.0])
    expected = scipy.stats.chi2_contingency(np.array([first, second])).pvalue
    assert chi_squared_p_value(first, second, (1.0, 1.0)) == pytest.approx(expected, rel=1e-9)


def test_ks_p_value_is_near_the_exact_one():
    assert ks_p_value(0.2, 100, 100) == pytest.approx(scipy.stats.kstwo.sf(0.2, 50), rel=0.2)
    assert ks_p_value(0.2, 0, 100) == 1.0


def test_benjamini_hochberg_on_their_own_example():
    # Benjamini and Hochberg 1995, section 3.3: four of fifteen are rejected at 0.05.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528]
    assert sum(benjamini_hochberg([*p_values, 0.759, 1.0], 0.05)) == 4
    assert benjamini_hochberg([], 0.05) == []


def test_histograms_add_up_and_grids_must_agree():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, 5_000)
    whole = histogram(values, low=-4, high=4)
    parts = histogram(values[:2_000], low=-4, high=4).plus(histogram(values[2_000:], low=-4, high=4))
    assert np.array_equal(whole.counts, parts.counts)
    with pytest.raises(ValueError, match="grid"):
        whole.plus(histogram(values, low=-5, high=4))


def test_values_outside_the_grid_and_missing_ones_are_counted():
    counted = histogram(np.array([-9.0, 9.0, np.inf, -np.inf, np.nan, 0.0]), low=-1, high=1)
    assert (counted.counts[0], counted.counts[-1], counted.missing, counted.rows) == (2, 2, 1, 5)


def test_counts_survive_their_text_form():
    counts = np.zeros(BINS, np.int64)
    counts[[0, 1, 500, BINS - 1]] = [1, 127, 128, 2**40]
    assert np.array_equal(unpack_counts(pack_counts(counts)), counts)
    assert np.array_equal(unpack_counts(pack_counts(np.zeros(BINS, np.int64))), np.zeros(BINS, np.int64))


def test_rows_of_one_device_count_less():
    rng = np.random.default_rng(3)
    device, day = np.repeat(np.arange(50), 100), np.tile(np.arange(100), 50)
    alone = rng.normal(0, 1, 5_000)
    same = np.repeat(rng.normal(0, 1, 50), 100)
    assert effective_rows(alone, device, day, memory=1.0) > 2_500
    assert effective_rows(same + 0.01 * alone, device, day, memory=1.0) < 60


def fleet_column(rng, *, devices=40, days=14, per_day=3, shift=0.0, spread=1.0):
    """Rows with device effects, weather that lasts days, and noise."""
    weather, level = np.empty(days), rng.normal(0, 1)
    for day in range(days):
        level = 0.7 * level + rng.normal(0, 0.7)
        weather[day] = level
    device = np.repeat(np.arange(devices), days * per_day)
    day = np.tile(np.repeat(np.arange(days), per_day), devices)
    own = rng.normal(0, 1, devices)
    return shift + spread * (own[device] + weather[day] + rng.normal(0, 1, len(device))), device, day


def test_twenty_fleets_without_drift_give_at_most_one_alarm():
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(1000 + seed)
        findings = []
        for column in range(12):
            reference = numeric_reference(*fleet_column(rng, days=60))
            findings.append(compare_numbers(f"c{column}", reference, *fleet_column(rng), limits=LIMITS))
        codes = rng.choice(["a", "b", "c"], 3_000, p=[0.6, 0.3, 0.1])
        devices = np.repeat(np.arange(60), 50)
        again = rng.choice(["a", "b", "c"], 3_000, p=[0.6, 0.3, 0.1])
        known = category_reference(pa.array(codes), devices)
        findings.append(compare_codes("code", known, pa.array(again), devices, limits=LIMITS))
        alarms += bool(report(findings, LIMITS).alarms)
    assert alarms <= 1


@pytest.mark.parametrize(("shift", "spread"), [(5.0, 1.0), (-5.0, 1.0), (0.0, 4.0)])
def test_planted_drift_is_flagged_and_nothing_beside_it(shift, spread):
    rng = np.random.default_rng(7)
    findings = []
    for column in range(12):
        reference = numeric_reference(*fleet_column(rng, days=60))
        moved = {"shift": shift, "spread": spread} if column == 4 else {}
        findings.append(compare_numbers(f"c{column}", reference, *fleet_column(rng, **moved), limits=LIMITS))
    assert [finding.column for finding in report(findings, LIMITS).alarms] == ["c4"]


CODES = pa.array(["a"] * 600 + ["b"] * 390 + ["c"] * 10)
MIXED = np.arange(1000) % 250


@pytest.mark.parametrize(
    ("current", "alarm", "word"),
    [
        (["a"] * 600 + ["b"] * 390 + ["c"] * 10, False, ""),
        (["a"] * 610 + ["b"] * 380 + ["c"] * 10, False, ""),
        (["a"] * 400 + ["b"] * 590 + ["c"] * 10, True, "shares moved by 0.200"),
        (["a"] * 590 + ["b"] * 385 + ["c"] * 10 + ["z"] * 15, True, "0.015 of rows carry codes never seen"),
    ],
    ids=["same", "noise", "known codes move", "a new code"],
)
def test_codes(current, alarm, word):
    reference = category_reference(CODES, MIXED)
    finding = compare_codes("code", reference, pa.array(current), MIXED, limits=LIMITS)
    decided = report([finding], LIMITS)
    assert bool(decided.alarms) == alarm
    assert word in finding.reason
    assert finding.unseen == (("z",) if "z" in current else ())


def test_too_few_rows_is_a_state_and_no_alarm():
    rng = np.random.default_rng(1)
    reference = numeric_reference(*fleet_column(rng))
    few = np.full(10, 99.0), np.arange(10), np.zeros(10, np.int64)
    decided = report([compare_numbers("x", reference, *few, limits=LIMITS)], LIMITS)
    assert decided.findings[0].state == "too few rows"
    assert not decided.alarms


def test_references_survive_json():
    rng = np.random.default_rng(4)
    values, device, day = fleet_column(rng)
    reference = numeric_reference(values, device, day)
    again = NumericReference.from_json(json.loads(json.dumps(reference.as_json())))
    assert np.array_equal(again.histogram.counts, reference.histogram.counts)
    assert (again.histogram.low, again.histogram.high) == (reference.histogram.low, reference.histogram.high)
    assert again.spread == reference.spread
    known = category_reference(CODES, MIXED)
    assert CategoryReference.from_json(known.as_json()).counts == known.counts


def test_an_empty_window_is_no_drift():
    rng = np.random.default_rng(4)
    reference = numeric_reference(*fleet_column(rng))
    nothing = np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)
    assert compare_numbers("x", reference, *nothing, limits=LIMITS).state == "too few rows"
    empty = Histogram(low=0, high=1, counts=np.zeros(BINS, np.int64), missing=0)
    assert ks_distance(empty, empty) == (0.0, 0.0)
    none = compare_codes("x", category_reference(CODES), pa.array([], pa.string()), limits=LIMITS)
    assert none.state == "too few rows"
