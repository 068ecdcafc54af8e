"""Makes the application of one model service, when a worker of its Bento starts.

Checks before the first byte of the model counts
1. The registry's signed statements: signature, approval by another key, stage, every file of the package
   (`governance.loading.check_loadable`).
2. The copy in the Bento is byte for byte the signed file: it is read once, hashed, and these very bytes are loaded.
3. The views that the model was trained on are the declared ones, so that online features mean the same.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from appliance.base.clock import SystemClock
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.config.site import open_site
from appliance.governance.loading import Loadable
from appliance.governance.package import MODEL
from appliance.serving import codes
from appliance.serving.app import ModelApp
from appliance.serving.runtime import Scorer, VerifiedModel
from appliance.wiring.parts import Parts

CLASSIFIER = "classifier"


def load_model_app(*, site_folder: Path, name: str, version: int, package: Path) -> ModelApp:
    """The application for a registered version whose copy lies in `package`.

    Raises:
        ApplianceError: why it may not be loaded; APL-SERVE-006 for checks 2 and 3.
    """
    parts = Parts(site=open_site(site_folder), clock=SystemClock())
    loadable = parts.registry.check_loadable(name, version)
    declared = {view.name: view.declaration for view in parts.views}
    for view in loadable.manifest.identity.views:
        if declared.get(view["name"]) != view:
            raise ApplianceError(
                codes.MODEL_REFUSED, f"the view {view['name']} was declared otherwise when the model was trained"
            )
    scorer = Scorer(read_verified(loadable, package), parts.feature_store)
    scorer.warm_up(parts.clock.now())
    return ModelApp(scorer)


def read_verified(loadable: Loadable, package: Path) -> VerifiedModel:
    """The model's bytes from `package`, if they are the signed ones.

    Raises:
        ApplianceError: APL-SERVE-006, naming the file.
    """
    manifest, path = loadable.manifest, package / MODEL
    if manifest.kind != CLASSIFIER:
        raise ApplianceError(codes.MODEL_REFUSED, f"the gateway serves classifiers, this is a {manifest.kind}")
    data = path.read_bytes()
    if digest_bytes(data) != manifest.files[MODEL]:
        raise ApplianceError(
            codes.MODEL_REFUSED, f"expected {manifest.files[MODEL]}, got {digest_bytes(data)}", where=str(path)
        )
    interface: dict[str, Any] = manifest.interface
    return VerifiedModel(
        name=manifest.name,
        version=loadable.standing.version,
        artifact_id=manifest.artifact_id,
        model=data,
        inputs=tuple(manifest.identity.recipe["features"]),
        columns=tuple(interface["inputs"]),
        threshold=float(interface["threshold"]) if interface["threshold"] else math.inf,
    )
