"""``appliance reproduce MODEL``: rebuild a model from the statements about it and compare bytes."""

from __future__ import annotations

import click

from appliance.base.errors import ApplianceError
from appliance.cli import codes
from appliance.cli.command import Call, Result, command


@command("reproduce", "reproduce", example="appliance reproduce incident_risk --site ./site")
@click.argument("model")
@click.option("--from-lake", is_flag=True, help="Build the training set again from its snapshots too.")
def reproduce(call: Call, model: str, from_lake: bool) -> Result:
    """Rebuild a model in a fresh process and folder and compare every byte.

    MODEL is the name of a registered model, or the lineage id of one.
    """
    id = model if model.startswith("sha256:") else _lineage_of(call, model)
    call.say(f"Rebuilding {model} ...")
    done = call.parts.reproducer.reproduce(id, from_lake=from_lake)
    source = "rebuilt from the lake's snapshots" if done.from_lake else "as pinned"
    return Result(
        data={
            "model": model,
            "artifact_id": done.artifact_id,
            "identical": True,
            "files": list(done.files),
            "training_set": done.training_set,
            "from_lake": done.from_lake,
        },
        text=f"{model} is reproduced, byte for byte: {', '.join(done.files)}\n"
        f"artifact     {done.artifact_id}\ntraining set {done.training_set} ({source})",
    )


def _lineage_of(call: Call, model: str) -> str:
    version = call.parts.registry.find(model)
    found = call.parts.registry.lineage_of(version.name, version.version)
    if found is None:
        raise ApplianceError(codes.NO_LINEAGE, f"the statement of {version.id} names no lineage document")
    return found


group = reproduce
