"""Judges live models on late labels, and puts the state of a site into metrics. Reads only.

The metrics are those of `observability.metrics`; a scraper takes the text from ``appliance site metrics`` (for example
through the textfile collector of a node exporter). What the gateway counts is on its own ``/metrics``.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator

from appliance.base.clock import parse_rfc3339, to_us
from appliance.base.duration import duration_us, parse_duration
from appliance.base.errors import ApplianceError
from appliance.governance.registry import ModelVersion
from appliance.ingestion import ledger
from appliance.ingestion.topics.standing import told
from appliance.observability.calibration import CalibrationReport, LabelRule, join_labels, judge_live
from appliance.observability.metrics import SiteMetrics
from appliance.storage import names
from appliance.storage.upkeep.expiry import KEEP
from appliance.storage.upkeep.plan import limits_of
from appliance.wiring.parts import Parts

_log = logging.getLogger(__name__)

PROMISES = ("accuracy", "roc_auc")


def live_accuracy(parts: Parts, version: ModelVersion) -> CalibrationReport:
    """How good a classifier's recorded answers were, on labels that are complete by now.

    Raises:
        ApplianceError: APL-STORAGE-... the label table or the predictions are not there.
    """
    recipe = version.manifest.identity.recipe
    label = recipe["label"]
    predictions = parts.lake.scan(
        names.PREDICTIONS,
        columns=("entity", "at", "score"),
        where=f"artifact_id = '{version.manifest.artifact_id}'",
    )
    labels = parts.lake.scan(label["table"], columns=(label["entity"], label["event_axis"], label["known_axis"]))
    labelled = join_labels(
        predictions,
        labels,
        LabelRule(
            entity=label["entity"],
            event_axis=label["event_axis"],
            known_axis=label["known_axis"],
            horizon_us=duration_us(label["horizon"]),
            max_arrival_delay_us=duration_us(label["max_arrival_delay"]),
        ),
        now_us=to_us(parts.clock.now()),
    )
    tested = json.loads((version.folder / "metrics.json").read_bytes())["test"]
    return judge_live(
        labelled,
        promised={name: float(tested[name]["value"]) for name in PROMISES},
        threshold=float(version.manifest.interface["threshold"]),
        seed=version.manifest.identity.seed,
    )


def site_metrics(parts: Parts) -> bytes:
    """The state of a site as text for Prometheus."""
    found = SiteMetrics()
    books = ledger.balance(parts.lake)
    parts.alerts.record(ledger.alerts_of(books, parts.clock.now()))
    for place, count in (("lake", books.accepted), ("quarantine", books.quarantined), ("pending", books.pending)):
        found.set("ingestion_readings", count, {"place": place})
    found.set("ledger_imbalance_readings", books.imbalance)
    for group in parts.quarantine.summary():
        found.set("ingestion_quarantined_readings", group.rows, {"code": group.code})
    for standing in told(parts.site.topics):
        found.set("ingestion_lag_records", standing.lag, {"source": standing.source})
        age_s = (parts.clock.now() - standing.at).total_seconds()
        found.set("ingestion_lag_age_seconds", age_s, {"source": standing.source})
        found.set("ingestion_commit_seconds", standing.commit_s, {"source": standing.source})
    for table in parts.lake.tables():
        found.set("table_rows", sum(file.rows for file in parts.lake.files(table)), {"table": table})
        _tell_upkeep(parts, table, found)
    for (table, check, stage), row in parts.gates.newest().items():
        labels = {"table": table, "check": check, "stage": stage}
        found.set("gate_passed_ratio", row["outcome"] in ("passed", "warned"), labels)
        found.set("gate_broken_rows", row["broken"], labels)
        found.set("gate_age_seconds", (parts.clock.now() - row["checked_at"]).total_seconds(), labels)
    found.set("trust_log_entries", parts.log.size())
    for severity, count in Counter(alert.severity for alert in parts.alerts.all()).items():
        found.set("alerts_raised", count, {"severity": severity})
    for version in _live_versions(parts):
        limit = parse_duration(version.manifest.staleness)
        labels = {"model": version.name}
        found.set("model_staleness_limit_seconds", limit.total_seconds(), labels)
        cut_off = _cut_off(parts, version)
        if cut_off is not None:
            found.set("model_age_seconds", (parts.clock.now() - parse_rfc3339(cut_off)).total_seconds(), labels)
        if version.manifest.kind == "classifier":
            report = live_accuracy(parts, version)
            found.set("accuracy_rows", report.rows, labels)
            if report.metrics:
                found.set("accuracy_ratio", report.metrics["accuracy"].value, labels)
                found.set("calibration_error_ratio", report.metrics["ece"].value, labels)
    return found.render()


def _tell_upkeep(parts: Parts, table: str, found: SiteMetrics) -> None:
    labels = {"table": table}
    limits = limits_of(parts.site.settings.storage, keep=KEEP)
    try:
        state = parts.table_upkeep.state(table, limits)
    except ApplianceError as error:  # a damaged document is verification's to name; the other figures go out
        _log.warning("no figures of upkeep for %s: %s", table, error)
        return
    found.set("table_live_files", state.live_files, labels)
    found.set("table_small_files", state.small_files, labels)
    found.set("table_live_bytes", state.live_bytes, labels)
    found.set("table_snapshots", state.snapshots, labels)
    found.set("table_orphan_files", state.orphans, labels)
    newest = parts.table_upkeep.newest(table)
    if newest is not None:
        found.set("table_upkeep_age_seconds", (parts.clock.now() - newest).total_seconds(), labels)


def _live_versions(parts: Parts) -> Iterator[ModelVersion]:
    for name in sorted({version.name for version in parts.registry.list()}):
        live = parts.registry.live(name)
        if live is not None:
            yield live


def _cut_off(parts: Parts, version: ModelVersion) -> str | None:
    """Knowledge-time cut-off of a version's training set, from its lineage; None when it was trained elsewhere."""
    lineage = parts.registry.lineage_of(version.name, version.version)
    if lineage is None:
        return None
    training_set = parts.lineage.load(parts.lineage.load(lineage).inputs[0])
    cut_off: str | None = training_set.facts.get("cutoff")
    return cut_off
