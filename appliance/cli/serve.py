"""``appliance serve``: the gateway, its models and the prediction log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance.cli.command import Call, Result, command, noun

if TYPE_CHECKING:
    from appliance.serving.deployment import Deployment


@command("serve", "start", changes="serve.start", roles=("operator",), example="appliance serve start --site ./site")
@click.option("--model", "models", multiple=True, help="Open a route for a model that has no live version yet.")
def start(call: Call, models: tuple[str, ...]) -> Result:
    """Start the gateway and every model service that the routes need.

    Safe to run again: what runs stays. Models are verified before a byte of them is loaded.
    """
    records = _deployment(call).start(models)
    lines = [f"{record.name:<28} port {record.port}  pid {record.pid}" for record in records]
    return Result(data={"processes": [_shown(record) for record in records]}, text="\n".join(lines))


@command("serve", "stop", changes="serve.stop", roles=("operator",), example="appliance serve stop --site ./site")
def stop(call: Call) -> Result:
    """Stop the gateway and all model services; recorded predictions are brought into the lake."""
    deployment = _deployment(call)
    stopped = deployment.stop()
    flushed = deployment.prediction_table().flush()
    text = f"stopped {', '.join(stopped) or 'nothing'}; {flushed} predictions brought into the lake"
    return Result(data={"stopped": list(stopped), "flushed": flushed}, text=text)


@command("serve", "status", example="appliance serve status --json")
def status(call: Call) -> Result:
    """Show what runs, and which version answers for which share."""
    deployment = _deployment(call)
    records = deployment.processes.all_running()
    routes = deployment.routes()
    lines = [f"{record.name:<28} port {record.port}  pid {record.pid}" for record in records] or ["nothing runs"]
    shown = []
    for route in routes.routes:
        live = f"version {route.live.version}" if route.live else "none: the gateway abstains"
        lines.append(f"{route.model}: live {live}")
        if route.candidate:
            share = f" for {route.candidate.percent} % of entities" if route.candidate.mode == "canary" else ""
            lines.append(f"{route.model}: {route.candidate.mode} version {route.candidate.target.version}{share}")
        shown.append(
            {
                "model": route.model,
                "live": route.live.version if route.live else None,
                "candidate": route.candidate.target.version if route.candidate else None,
                "mode": route.candidate.mode if route.candidate else None,
            }
        )
    return Result(data={"processes": [_shown(record) for record in records], "routes": shown}, text="\n".join(lines))


@command(
    "serve",
    "flush",
    changes="serve.flush",
    roles=("operator", "data-engineer", "data-scientist"),
    example="appliance serve flush --site ./site",
)
def flush(call: Call) -> Result:
    """Bring recorded predictions into the table predictions.served, each exactly once."""
    count = _deployment(call).prediction_table().flush()
    return Result(data={"flushed": count}, text=f"{count} predictions brought into the lake")


def _deployment(call: Call) -> Deployment:
    from appliance.serving.deployment import Deployment

    return Deployment(call.parts)


def _shown(record: object) -> dict[str, object]:
    import msgspec

    shown: dict[str, object] = msgspec.to_builtins(record)
    return shown


group = noun("serve", "Start, stop and watch the gateway and its models.", [start, stop, status, flush])
