"""``python -m appliance.serving --site FOLDER``: the gateway process, on loopback."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from appliance.base import log
from appliance.base.clock import SystemClock
from appliance.base.duration import parse_duration
from appliance.config.site import open_site
from appliance.observability.gateway_metrics import PrometheusGatewayMeter
from appliance.serving.arms import Arms
from appliance.serving.gateway import Gateway
from appliance.serving.prediction_log import PredictionWriter
from appliance.serving.processes import Processes
from appliance.serving.upstream import Upstream


def main() -> None:
    parser = argparse.ArgumentParser(prog="appliance.serving", description=__doc__)
    parser.add_argument("--site", required=True, type=Path)
    site = open_site(parser.parse_args().site)
    log.configure(path=site.logs / "gateway.jsonl", level=site.settings.log.level)
    settings = site.settings.serving
    clock, meter = SystemClock(), PrometheusGatewayMeter()
    writer = PredictionWriter(site.serving / "predictions")
    arms = Arms(
        upstream=Upstream(timeout_ms=settings.request_timeout_ms),
        meter=meter,
        clock=clock,
        record=writer.write,
        shadow_queue=settings.shadow_queue,
        breaker_failures=settings.breaker_failures,
        breaker_open_for_s=parse_duration(settings.breaker_open_for).total_seconds(),
    )
    gateway = Gateway(
        folder=site.serving,
        arms=arms,
        writer=writer,
        meter=meter,
        clock=clock,
        control_token=Processes(site).control_token(),
    )
    uvicorn.run(
        gateway,
        host="127.0.0.1",
        port=settings.gateway_port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
