"""Late labels: only complete ones count, too few is a state, a fallen model alarms while its scores stay high."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from appliance.observability.calibration import INSTANT, LabelRule, join_labels, judge_live

DAY_US = 86_400_000_000
RULE = LabelRule(
    entity="device_id", event_axis="event_time", known_axis="arrived_at", horizon_us=DAY_US, max_arrival_delay_us=DAY_US
)


def predictions(rows):
    return pa.table(
        {
            "entity": pa.array([row[0] for row in rows], pa.string()),
            "at": pa.array([row[1] for row in rows], pa.int64()).cast(INSTANT),
            "score": pa.array([row[2] for row in rows], pa.float64()),
        }
    )


def incidents(rows):
    return pa.table(
        {
            "device_id": pa.array([row[0] for row in rows], pa.string()),
            "event_time": pa.array([row[1] for row in rows], pa.int64()).cast(INSTANT),
            "arrived_at": pa.array([row[2] for row in rows], pa.int64()).cast(INSTANT),
        }
    )


def test_labels_are_joined_as_known_and_incomplete_ones_wait():
    asked = predictions(
        [
            ("a", 0, 0.1),
            ("a", 0, 0.2),  # asked again: the last answer counts
            ("b", 0, 0.3),
            ("c", 0, 0.4),  # its incident is known only later
            ("d", 0, None),  # abstained
            ("a", 3 * DAY_US, 0.5),  # label not complete
        ]
    )
    known = incidents(
        [("b", DAY_US, DAY_US + 5), ("c", DAY_US, 9 * DAY_US), ("a", DAY_US + 1, DAY_US + 2), ("x", 5, 6)]
    )
    found = join_labels(asked, known, RULE, now_us=4 * DAY_US)
    assert sorted(zip(found.score.tolist(), found.label.tolist(), strict=True)) == [(0.2, 0), (0.3, 1), (0.4, 0)]
    assert found.waiting == 1


def test_no_predictions_is_not_enough_labels():
    found = join_labels(predictions([]), incidents([]), RULE, now_us=0)
    assert judge_live(found, promised={"accuracy": 0.93}, threshold=0.5, seed=1).state == "not enough labels"


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(1)
    label = rng.random(4_000) < 0.3
    devices = [f"d{number % 200}" for number in range(4_000)]
    at = np.arange(4_000) // 200 * 3 * DAY_US
    events = [(devices[i], int(at[i]) + 5, int(at[i]) + 6) for i in np.flatnonzero(label)]
    return rng, label, devices, at, incidents(events)


@pytest.mark.parametrize(("wrong", "state"), [(0.07, "ok"), (0.29, "alarm")])
def test_a_model_that_falls_from_93_to_71_percent_alarms(world, wrong, state):
    rng, label, devices, at, events = world
    said = label ^ (rng.random(4_000) < wrong)
    score = np.where(said, 0.95, 0.05)  # as sure of itself as ever
    asked = predictions(list(zip(devices, at.tolist(), score.tolist(), strict=True)))
    found = judge_live(
        join_labels(asked, events, RULE, now_us=10_000 * DAY_US),
        promised={"accuracy": 0.93},
        threshold=0.5,
        seed=1,
    )
    assert found.state == state
    assert found.metrics["accuracy"].value == pytest.approx(1 - wrong, abs=0.03)
    if state == "alarm":
        assert "accuracy: promised 0.930, got 0.7" in found.reasons[0]
