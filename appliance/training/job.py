"""The training job: ``python -m appliance.training.job REQUEST.json``, in the training environment.

Rules
1. It reads the request and the pinned training set that the request names, and nothing else.
2. It writes one folder: ``package`` when every gate passed, else ``refused`` with the same files; then OUTCOME.json.
3. A closed gate is an outcome, not a failure; a failure is a traceback and a return code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from appliance.base import atomic
from appliance.base.canonical import canonical
from appliance.features.training_set import open_training_set
from appliance.governance.package import Identity
from appliance.training.package import write_package
from appliance.training.recipe import ClassifierRecipe, recipe_of_json

REQUEST = "REQUEST.json"
OUTCOME = "OUTCOME.json"


def run_job(request: dict[str, Any]) -> dict[str, Any]:
    """Do what `request` says; gives the outcome.

    Raises:
        ApplianceError: APL-FEATURES-007, the training set is not the one that was pinned.
    """
    identity = msgspec.convert(request["identity"], Identity)
    recipe = recipe_of_json(identity.recipe)
    table, documents = open_training_set(Path(request["training_set"]), identity.data)
    gpu = identity.hardware.startswith("gpu-")
    if isinstance(recipe, ClassifierRecipe):
        from appliance.training.classifier import train_classifier

        content, closed = train_classifier(recipe, table, documents, identity, gpu=gpu)
    else:
        from appliance.training.forecaster import train_forecaster

        content, closed = train_forecaster(recipe, table, identity, gpu=gpu)
    folder = Path(request["output"])
    write_package(folder / ("refused" if closed else "package"), identity, content)
    return {"artifact_id": identity.artifact_id, "closed": closed, "packaged": not closed}


def main(arguments: list[str]) -> None:
    request = json.loads(Path(arguments[0]).read_bytes())
    outcome = run_job(request)
    atomic.write_bytes(Path(request["output"]) / OUTCOME, canonical(outcome))


if __name__ == "__main__":
    main(sys.argv[1:])
