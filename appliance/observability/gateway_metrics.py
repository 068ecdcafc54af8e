"""What the gateway counts, as Prometheus metrics of its own registry.

Labels are bounded: model names come from the routes, arms and outcomes from fixed lists; entities never are labels.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class PrometheusGatewayMeter:
    """Implements `appliance.serving.metering.GatewayMeter`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._predictions = Counter(
            "appliance_serving_predictions",
            "Predictions given, by model, arm (live, canary, shadow, fallback) and outcome.",
            ["model", "arm", "outcome"],
            registry=self._registry,
        )
        self._failures = Counter(
            "appliance_serving_failures",
            "Requests that an arm did not answer validly in time.",
            ["model", "arm"],
            registry=self._registry,
        )
        self._refused = Counter(
            "appliance_serving_refused_requests",
            "Requests refused before any model saw them, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self._dropped = Counter(
            "appliance_serving_shadow_dropped",
            "Copies for the shadow that its full queue did not take.",
            ["model"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "appliance_serving_request_duration_seconds",
            "Time from routing to the answer of an arm.",
            ["model", "arm"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )

    def answered(self, model: str, arm: str, outcome: str, latency_ms: float) -> None:
        self._predictions.labels(model, arm, outcome).inc()
        self._latency.labels(model, arm).observe(latency_ms / 1000.0)

    def failed(self, model: str, arm: str) -> None:
        self._failures.labels(model, arm).inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def shadow_dropped(self, model: str) -> None:
        self._dropped.labels(model).inc()

    def render(self) -> bytes:
        text: bytes = generate_latest(self._registry)
        return text
