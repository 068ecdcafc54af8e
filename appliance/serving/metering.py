"""What the gateway counts. The names of the metrics are in `appliance.observability.metrics`."""

from __future__ import annotations

from typing import Protocol


class GatewayMeter(Protocol):
    def answered(self, model: str, arm: str, outcome: str, latency_ms: float) -> None:
        """One prediction left an arm: live, canary, shadow or fallback."""

    def failed(self, model: str, arm: str) -> None:
        """An arm gave no valid answer."""

    def refused(self, reason: str) -> None:
        """A request was not valid, too large, or for no model."""

    def shadow_dropped(self, model: str) -> None:
        """The shadow's queue was full."""

    def render(self) -> bytes:
        """The text of /metrics."""
