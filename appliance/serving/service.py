"""The Bento service of one model: hosts `ModelApp`, which it makes when a worker starts.

The model to load is named by the environment (`ENVIRONMENT`), so that importing this module, as a build of the Bento
does, loads nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml

from appliance.serving.app import ModelApp, Receive, Scope, Send

SITE, NAME, VERSION, PACKAGE = "APPLIANCE_SITE", "APPLIANCE_MODEL", "APPLIANCE_MODEL_VERSION", "APPLIANCE_MODEL_PACKAGE"


class _Hosted:
    """Stands in the Bento's route table before the model is there."""

    def __init__(self) -> None:
        self.app: ModelApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None, "a worker takes requests only after Model() was made"
        await self.app(scope, receive, send)


_hosted = _Hosted()


@bentoml.service(name="model", workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(_hosted, path="/")
class Model:
    """One verified model behind the gateway."""

    def __init__(self) -> None:
        from appliance.serving.loading import load_model_app

        environment: Any = os.environ
        _hosted.app = load_model_app(
            site_folder=Path(environment[SITE]),
            name=environment[NAME],
            version=int(environment[VERSION]),
            package=Path(environment[PACKAGE]),
        )
