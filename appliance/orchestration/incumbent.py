"""What the live version reaches on the held-out rows of a candidate's training set.

Two versions are comparable only on the same rows. A candidate is trained on newer data, so its metric is measured on
rows that the live version's metric never saw: the live model is scored on them here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from appliance.features.training_set import open_training_set
from appliance.governance.package import MODEL, Metric, load_package
from appliance.observability.accuracy import decimal, evaluate
from appliance.serving.runtime import score_once


def incumbent_metric(*, package: Path, training_set: Path, incumbent: Path | None) -> tuple[Metric, str | None]:
    """The candidate's primary metric, and that of the live version on the same rows as decimal text.

    The second is None when there is no live version, or it reads other features than the candidate, so that the rows
    say nothing about it.
    """
    manifest = load_package(package).manifest
    metric = manifest.primary_metric
    if incumbent is None:
        return metric, None
    live = load_package(incumbent).manifest
    inputs = manifest.interface.get("inputs")
    if not inputs or live.interface.get("inputs") != inputs:
        return metric, None
    table, _ = open_training_set(training_set, manifest.identity.data)
    held_out = (np.array(table["part"].to_pylist()) == "test") & table["usable"].to_numpy()
    x = np.column_stack([table[name].to_numpy() for name in inputs]).astype(np.float32)[held_out]
    label = table["label"].to_numpy().astype(np.int8)[held_out]
    entity = table["entity"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)[held_out]
    scores = score_once((incumbent / MODEL).read_bytes(), np.ascontiguousarray(x))
    found = evaluate(scores, label, entity, threshold=0.5, seed=manifest.identity.seed)
    return metric, decimal(found[metric.name].value)
