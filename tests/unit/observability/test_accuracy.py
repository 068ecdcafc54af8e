"""Metric definitions against scikit-learn, intervals, thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference

from appliance.observability.accuracy import best_threshold, evaluate, interval_of_means, reliability, roc_auc


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(1)
    label = (rng.random(3_000) < 0.2).astype(np.int8)
    score = np.round(np.clip(rng.normal(0.3 + 0.25 * label, 0.15), 0.001, 0.999), 2)  # rounded: many ties
    return score, label, np.repeat(np.arange(100), 30)


def test_metrics_are_scikit_learns(scored):
    score, label, entity = scored
    found = evaluate(score, label, entity, threshold=0.4, seed=1)
    flagged = score >= 0.4
    for name, expected in {
        "roc_auc": reference.roc_auc_score(label, score),
        "average_precision": reference.average_precision_score(label, score),
        "brier": reference.brier_score_loss(label, score),
        "log_loss": reference.log_loss(label, score),
        "accuracy": reference.accuracy_score(label, flagged),
        "precision": reference.precision_score(label, flagged),
        "recall": reference.recall_score(label, flagged),
    }.items():
        assert found[name].value == pytest.approx(expected, abs=1e-7), name
        assert found[name].low <= found[name].value <= found[name].high


def test_calibration_error_by_hand():
    score = np.array([0.05, 0.05, 0.95, 0.95])
    label = np.array([0, 1, 1, 1], np.int8)
    found = evaluate(score, label, np.arange(4), threshold=0.5, seed=1)
    assert found["ece"].value == pytest.approx((abs(0.05 - 0.5) * 2 + abs(0.95 - 1.0) * 2) / 4)
    assert [row["rows"] for row in reliability(score, label)] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]


def test_intervals_are_seeded_and_widen_with_dependence(scored):
    score, label, entity = scored
    first, again = (evaluate(score, label, entity, threshold=0.4, seed=3) for _ in range(2))
    assert first == again
    values = np.repeat(np.random.default_rng(2).normal(0, 1, 30), 100)
    together = interval_of_means(values, np.repeat(np.arange(30), 100), seed=1)
    apart = interval_of_means(values, np.arange(3_000), seed=1)
    assert together.high - together.low > 5 * (apart.high - apart.low)


def test_one_class_has_no_ranking_metric():
    found = evaluate(np.array([0.1, 0.9]), np.zeros(2, np.int8), np.arange(2), threshold=0.5, seed=1)
    assert math.isnan(found["roc_auc"].value)
    assert math.isnan(roc_auc(np.array([0.1, 0.9]), np.ones(2, np.int8)))
    assert math.isnan(
        evaluate(np.zeros(0), np.zeros(0, np.int8), np.zeros(0, np.int64), threshold=0.5, seed=1)["brier"].value
    )


def test_thresholds():
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    label = np.array([1, 1, 0, 1, 0], np.int8)
    assert best_threshold(score, label, rule="max_f1", value=0.0) == 0.6
    assert best_threshold(score, label, rule="recall_at_least", value=0.6) == 0.8
    assert best_threshold(score, label, rule="recall_at_least", value=1.0) == 0.6
