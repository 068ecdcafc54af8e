"""The Bento service of one model: hosts `ModelApp`, which it makes when a worker starts.

The model to load is named by the environment (`ENVIRONMENT`), so that importing this module, as a build of the Bento
does, loads nothing.
"""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import bentoml

from appliance.base.errors import ApplianceError
from appliance.serving.app import ModelApp, Receive, Scope, Send

SITE, NAME, VERSION, PACKAGE = "APPLIANCE_SITE", "APPLIANCE_MODEL", "APPLIANCE_MODEL_VERSION", "APPLIANCE_MODEL_PACKAGE"


_log = logging.getLogger(__name__)


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
        try:
            _hosted.app = load_model_app(
                site_folder=Path(environment[SITE]),
                name=environment[NAME],
                version=int(environment[VERSION]),
                package=Path(environment[PACKAGE]),
            )
        except ApplianceError as error:
            # A refusal stays one: without this BentoML's supervisor, our parent, starts the worker again and again.
            _log.error("model refused: %s [%s]", error, error.where)
            os.kill(os.getppid(), signal.SIGTERM)
            raise
