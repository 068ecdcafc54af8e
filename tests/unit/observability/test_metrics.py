"""One table of metrics: names, labels, and that every process uses it."""

from __future__ import annotations

import re

import pytest

from appliance.observability import gateway_metrics
from appliance.observability.metrics import DECLARED, GATEWAY, SiteMetrics

UNITS = (
    "readings", "records", "files", "rows", "seconds", "ratio", "alarms", "entries", "raised", "devices", "bytes",
    "watts", "celsius", "snapshots", "predictions_total", "failures_total", "requests_total", "dropped_total",
)  # fmt: skip


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
def test_names_follow_the_rule(metric):
    assert re.fullmatch(r"appliance(_[a-z0-9]+)+", metric.name)
    assert metric.name.endswith(UNITS)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert metric.help.endswith(".")
    assert not {"entity", "request_id", "user"} & set(metric.labels)


def test_rendered_text_holds_what_was_told():
    metrics = SiteMetrics()
    metrics.set("ledger_imbalance_readings", 0)
    metrics.set("drift_effect_ratio", 0.31, {"model": "incident_risk", "column": "load_last"})
    text = metrics.render().decode()
    assert "appliance_ledger_imbalance_readings 0.0" in text
    assert 'appliance_drift_effect_ratio{column="load_last",model="incident_risk"} 0.31' in text


def test_a_metric_that_is_not_declared_is_refused():
    with pytest.raises(KeyError):
        SiteMetrics().set("made_up_rows", 1)


def test_the_gateway_counts_only_declared_metrics():
    meter = gateway_metrics.PrometheusGatewayMeter()
    meter.answered("m", "live", "answered", 1.0)
    meter.failed("m", "live")
    meter.refused("size")
    meter.shadow_dropped("m")
    declared = {metric.name for metric in GATEWAY}
    families = {line.split()[2] for line in meter.render().decode().splitlines() if line.startswith("# TYPE")}
    assert {name for name in families if not name.endswith("_created")} == declared
