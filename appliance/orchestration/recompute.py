"""Recomputes one recorded prediction from the readings and the signed package alone.

The views stand in the package, the readings in the data files of the commits that the online store held. The same
kernels compute the features; the score is that of the package's ONNX file. Values must be equal, not close.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from appliance.features.compute import plan_features
from appliance.features.contract import STATES
from appliance.features.source import read_slots
from appliance.features.store import SPINE, compute_vectors
from appliance.features.view import select_features, view_of_declaration
from appliance.governance.package import MODEL, load_package
from appliance.serving.runtime import score_once
from appliance.storage.files import SiteFiles


def recompute_prediction(record: Mapping[str, Any], *, package: Path, files: SiteFiles, readings: Sequence[str]) -> str:
    """Compare a row of ``predictions.served`` with what follows from `readings` and `package`.

    Returns:
        Empty when features and score are equal, else the first difference with both values.

    Raises:
        ApplianceError: the package is not as its manifest says.
    """
    manifest = load_package(package).manifest
    views = [view_of_declaration(view) for view in manifest.identity.views]
    plan = plan_features(select_features(views, manifest.identity.recipe["features"]))

    def scan(_table: str, columns: Sequence[str], _where: str) -> pa.Table:
        entity = columns[0]
        parts = [
            pq.read_table(
                name, filesystem=files.arrow, columns=list(columns), filters=[(entity, "=", record["entity"])]
            )
            for name in readings
        ]
        return pa.concat_tables(parts)

    spine = pa.table({"entity": [record["entity"]], "at": [record["at"]]}, schema=SPINE)
    vectors = compute_vectors(plan, read_slots(plan.slots, scan), spine)
    recorded = {each["name"]: each for each in record["features"]}
    for index, name in enumerate(vectors.names):
        there = recorded.get(name)
        if there is None:
            return f"{name} is not in the record"
        value, age = float(vectors.values[0, index]), float(vectors.age_s[0, index])
        state = STATES[vectors.judged.states[0, index]]
        if state != there["state"]:
            return f"{name}: recorded as {there['state']}, recomputed as {state}"
        for what, mine, theirs in (("value", value, there["value"]), ("age", age, there["age_s"])):
            if math.isnan(mine) != (theirs is None) or (theirs is not None and mine != theirs):
                return f"{what} of {name}: recorded {theirs!r}, recomputed {mine!r}"
    if record["score"] is None:
        return ""
    scores = score_once((package / MODEL).read_bytes(), np.ascontiguousarray(vectors.values[:1], dtype=np.float32))
    if float(scores[0]) != record["score"]:
        return f"score: recorded {record['score']!r}, recomputed {float(scores[0])!r}"
    return ""
