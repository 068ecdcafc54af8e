"""Every metric of the product: name, kind, labels and help, in one table.

Rules
1. Names are ``appliance_<area>_<what>_<unit>[_total]`` in base units. Labels have few values: never an entity, a
   request or a person.
2. State is told, not counted: a `SiteMetrics` is filled from what the rooms report and rendered once per request.
   Counters of a running gateway live in its own process (`gateway_metrics`); their names stand here too.
3. `render` gives the Prometheus text format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric as scrapers see it."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str


def _gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(name=f"appliance_{name}", kind="gauge", labels=labels, help=help)


def _counter(name: str, help: str, *labels: str) -> Metric:
    return Metric(name=f"appliance_{name}", kind="counter", labels=labels, help=help)


STATE: tuple[Metric, ...] = (
    _gauge("ingestion_readings", "Readings that arrived, by where they are now.", "place"),
    _gauge("ingestion_quarantined_readings", "Readings in quarantine, by reason code.", "code"),
    _gauge("ingestion_pending_files", "Spool files claimed or waiting that no commit covers yet."),
    _gauge("ingestion_lag_records", "Offsets of a partition before its end that are not committed.", "source"),
    _gauge("ingestion_lag_age_seconds", "Time since a worker told how far the partition is.", "source"),
    _gauge("ingestion_commit_seconds", "How long the last commit of a worker took.", "source"),
    _gauge("ledger_imbalance_readings", "Readings that arrived and are nowhere; anything but 0 is an alert."),
    _gauge("table_rows", "Live rows.", "table"),
    _gauge("table_live_files", "Data files of the newest snapshot.", "table"),
    _gauge("table_small_files", "Those that upkeep would rewrite into larger ones.", "table"),
    _gauge("table_live_bytes", "Size of the data files of the newest snapshot.", "table"),
    _gauge("table_snapshots", "Snapshots that are kept.", "table"),
    _gauge("table_orphan_files", "Files below the table that were never in it and are old enough to go.", "table"),
    _gauge("table_upkeep_age_seconds", "Time since upkeep last ended well.", "table"),
    _gauge("table_age_seconds", "Time since the newest arrival.", "table"),
    _gauge(
        "gate_passed_ratio",
        "1 where the newest outcome of a check is that it passed or only warned, 0 where it stops or refuses rows.",
        "table",
        "check",
        "stage",
    ),
    _gauge(
        "gate_broken_rows",
        "Rows that broke a check: of the snapshot that was judged last, or that came through the sink before it told.",
        "table",
        "check",
        "stage",
    ),
    _gauge(
        "gate_age_seconds", "Time since a check was last run, or the sink last told of it.", "table", "check", "stage"
    ),
    _gauge("features_online_age_seconds", "Time since the newest reading in the online store arrived."),
    _gauge("drift_effect_ratio", "Population stability index, or moved share of codes.", "model", "column"),
    _gauge("drift_distance_ratio", "Kolmogorov-Smirnov distance, or share of unseen codes.", "model", "column"),
    _gauge("drift_alarms", "Columns in alarm in the newest drift report.", "model"),
    _gauge("calibration_error_ratio", "Expected calibration error on late labels.", "model"),
    _gauge("accuracy_ratio", "Accuracy on late labels.", "model"),
    _gauge("accuracy_rows", "Predictions whose labels are complete.", "model"),
    _gauge("model_age_seconds", "Time since the knowledge cut-off of the live model's data.", "model"),
    _gauge("model_staleness_limit_seconds", "Age from which the model must be retrained.", "model"),
    _gauge("trust_log_entries", "Entries of the transparency log."),
    _gauge("alerts_raised", "Alerts raised so far.", "severity"),
    _gauge("gpu_devices", "GPUs that the driver reports; 0 where there is none."),
    _gauge("gpu_utilisation_ratio", "Share of the driver's samples with work.", "gpu"),
    _gauge("gpu_memory_used_bytes", "Memory in use.", "gpu"),
    _gauge("gpu_power_watts", "Power, averaged by the driver.", "gpu"),
    _gauge("gpu_temperature_celsius", "Core temperature.", "gpu"),
)

GATEWAY: tuple[Metric, ...] = (
    _counter(
        "serving_predictions_total",
        "Predictions given, by model, arm (live, canary, shadow, fallback) and outcome.",
        "model",
        "arm",
        "outcome",
    ),
    _counter("serving_failures_total", "Requests that an arm did not answer validly in time.", "model", "arm"),
    _counter("serving_refused_requests_total", "Requests refused before any model saw them, by reason.", "reason"),
    _counter("serving_shadow_dropped_total", "Copies for the shadow that its full queue did not take.", "model"),
    Metric(
        name="appliance_serving_request_duration_seconds",
        kind="histogram",
        labels=("model", "arm"),
        help="Time from routing to the answer of an arm.",
    ),
)

DECLARED: tuple[Metric, ...] = (*STATE, *GATEWAY)


class SiteMetrics:
    """The state metrics of a site, filled once and rendered."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._gauges = {
            metric.name: Gauge(metric.name, metric.help, metric.labels, registry=self._registry) for metric in STATE
        }

    def set(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Tell one value; `name` without the prefix ``appliance_``. KeyError for a metric that is not declared."""
        gauge = self._gauges[f"appliance_{name}"]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def render(self) -> bytes:
        """The text of /metrics."""
        text: bytes = generate_latest(self._registry)
        return text
