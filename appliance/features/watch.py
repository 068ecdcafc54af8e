"""Compares the newest window of a site with the reference in a model's package.

The window: the newest instants of the model's own spine, every entity at each, until `window_rows` rows are covered;
the newest predictions of the model; and the readings of the same stretch for its watched codes. Which state of the
tables that is follows from the newest arrival, so a report over an unchanged lake is the same report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from appliance.base.canonical import parse_canonical
from appliance.base.clock import from_us
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.features import codes
from appliance.features.compute import plan_features
from appliance.features.source import Tables, load_readings, micros
from appliance.features.store import INSTANT, compute_vectors
from appliance.features.view import select_features, view_of_declaration
from appliance.observability.drift import (
    CategoryReference,
    DriftReport,
    Finding,
    Limits,
    NumericReference,
    compare_codes,
    compare_numbers,
    report,
)

DAY_US = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Drift over `tables`. `predictions` names the table of served predictions; empty where none is kept yet."""

    tables: Tables
    limits: Limits
    window_rows: int
    predictions: str = ""

    def drift(self, package: Path) -> DriftReport:
        """The drift report of the model in the folder `package`, whose files the caller has verified.

        Raises:
            ApplianceError: APL-FEATURES-004, the package is not that of a model on features.
        """
        document = parse_canonical((package / "package.json").read_bytes())
        reference = json.loads((package / "reference.json").read_bytes())
        if document["kind"] != "classifier":
            raise ApplianceError(codes.UNKNOWN_FEATURE, f"a {document['kind']} has no features to watch")
        recipe = document["identity"]["recipe"]
        views = [view_of_declaration(declaration) for declaration in document["identity"]["views"]]
        plan = plan_features(select_features(views, recipe["features"]))
        readings = load_readings(self.tables, plan)
        newest = int(readings.known.max(initial=0))
        every_us = duration_us(recipe["spine"]["every"])
        offset_us = duration_us(recipe["spine"]["offset"]) if recipe["spine"]["offset"] else 0
        steps = max(1, -(-self.window_rows // max(1, len(readings.entities))))
        last = (newest - offset_us) // every_us * every_us + offset_us
        instants = last - np.arange(steps, dtype=np.int64)[::-1] * every_us
        # Windows that begin before the first reading would be short for a reason that is not drift.
        reach_us = max(plan.reach_us(slot) for slot in plan.slots)
        instants = instants[instants >= int(readings.event.min(initial=newest)) + reach_us]
        steps = len(instants)
        entity = np.repeat(np.arange(len(readings.entities)), steps)
        at_us = np.tile(instants, len(readings.entities))
        spine = pa.table(
            {
                "entity": pa.array(readings.entities, pa.string()).take(pa.array(entity)),
                "at": pa.array(at_us).cast(INSTANT),
            }
        )
        vectors = compute_vectors(plan, readings, spine)
        day = (at_us - (last - steps * every_us)) // DAY_US
        findings = [
            compare_numbers(
                name,
                NumericReference.from_json(reference["numbers"][name]),
                vectors.values[:, index].astype(np.float32).astype(np.float64),  # as the model sees them
                entity,
                day,
                limits=self.limits,
            )
            for index, name in enumerate(plan.names)
        ]
        findings += self._codes(reference["codes"], plan.slots[0], last - steps * every_us)
        findings += self._scores(reference["scores"], recipe["model"])
        return report(findings, self.limits)

    def _codes(self, reference: Mapping[str, Any], slot: Any, since_us: int) -> list[Finding]:
        if not reference:
            return []
        since = from_us(since_us).isoformat()
        rows = self.tables.scan(
            slot.table,
            columns=[slot.entity, slot.event_axis, *reference],
            where=f"{slot.measure_column} == '{slot.measure}' and {slot.event_axis} > '{since}'",
        )
        rows = rows.filter(pa.array(micros(rows[slot.event_axis]) > since_us))
        clusters = _codes_of(rows[slot.entity])
        return [
            compare_codes(name, CategoryReference.from_json(document), rows[name], clusters, limits=self.limits)
            for name, document in sorted(reference.items())
        ]

    def _scores(self, reference: Mapping[str, Any], model: str) -> list[Finding]:
        if not self.predictions:
            return []
        rows = self.tables.scan(
            self.predictions, columns=["entity", "at", "served_at", "score"], where=f"model == '{model}'"
        )
        rows = rows.filter(pc.is_finite(pc.fill_null(rows["score"], float("nan"))))
        rows = rows.sort_by("served_at").slice(max(0, rows.num_rows - self.window_rows))
        at_us = micros(rows["at"])
        day = (at_us - (int(at_us.min()) if len(at_us) else 0)) // DAY_US
        return [
            compare_numbers(
                f"prediction.{name}",
                NumericReference.from_json(document),
                rows["score"].to_numpy().astype(np.float64),
                _codes_of(rows["entity"]),
                day,
                limits=self.limits,
            )
            for name, document in sorted(reference.items())
        ]


def _codes_of(column: pa.ChunkedArray) -> NDArray[np.int64]:
    encoded = column.combine_chunks().dictionary_encode()
    result: NDArray[np.int64] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return result
