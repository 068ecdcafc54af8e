"""What clients of the demo ask: many devices, at instants of the last two days of the history, seeded."""

from __future__ import annotations

import datetime as dt

import numpy as np

from appliance.base.clock import parse_rfc3339
from appliance.demo.fleet.generate import Truth
from appliance.serving.contract import PredictRequest

SPAN_MIN = 2 * 24 * 60


def client_requests(truth: Truth, devices: int, count: int, seed: int) -> list[PredictRequest]:
    """`count` questions, no two alike."""
    random = np.random.default_rng([seed, 4])
    cells = random.choice(devices * SPAN_MIN, size=count, replace=False)
    end = parse_rfc3339(truth.end)
    return [
        PredictRequest(entity=f"tr-{cell // SPAN_MIN:04d}", at=end - dt.timedelta(minutes=int(cell % SPAN_MIN)))
        for cell in map(int, cells)
    ]
