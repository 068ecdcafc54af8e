"""``appliance predict``: ask the gateway, as any client would."""

from __future__ import annotations

import datetime as dt

import click
import msgspec

from appliance.base.clock import parse_rfc3339, rfc3339
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command


@command("predict", "predict", example="appliance predict incident_risk tr-0001 --json")
@click.argument("model")
@click.argument("entity")
@click.option("--at", help="Instant to predict for, RFC 3339; now when it is left out.")
def predict(call: Call, model: str, entity: str, at: str | None) -> Result:
    """Ask the live MODEL about ENTITY; the answer is recorded and can be verified later by its id."""
    from appliance.orchestration.replay import send
    from appliance.serving import codes
    from appliance.serving.contract import PredictRequest

    try:
        instant: dt.datetime | None = parse_rfc3339(at) if at else None
    except ValueError as error:
        raise ApplianceError(
            codes.REQUEST_INVALID, f"expected an instant such as 2026-05-01T12:00:00Z, got {at!r}"
        ) from error
    request = PredictRequest(entity=entity, at=instant)
    replayed = send(call.site.settings.serving.gateway_port, model, [request], NoProgress())
    (answer,) = replayed.answers
    if answer is None:
        raise ApplianceError(codes.REQUEST_INVALID, replayed.problems[0], where=f"{model} {entity}")
    score = "no score" if answer.score is None else f"{answer.score:.4f}"
    lines = [
        f"{answer.prediction_id}: {answer.outcome}, {score}{' (' + answer.reason + ')' if answer.reason else ''}",
        f"model {answer.model} version {answer.version}, arm {answer.arm}, for {rfc3339(answer.at)}",
    ]
    for feature in answer.features:
        value = "-" if feature.value is None else f"{feature.value:.4g}"
        age = "" if feature.age_s is None else f"{feature.age_s / 3600:.1f} h old"
        lines.append(f"  {feature.name:<24} {value:>10}  {age:<12} {feature.state}")
    lines.append(f"Next: appliance serve flush; appliance verify {answer.prediction_id}")
    shown: dict[str, object] = msgspec.to_builtins(answer)
    return Result(data=shown, text="\n".join(lines))


group = predict
