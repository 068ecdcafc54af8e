"""Makes what runs agree with what the registry says: services, routes and the prediction table of one site.

Rules
1. The live arm of a route is the registry's live version; a candidate arm is set and cleared only by `try_out` and
   `end_trial`.
2. A service is started, and has verified its model, before a route names it; the old service stops after the route
   has moved on.
3. Everything here can be repeated: what is as it should be is left alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from appliance.governance.registry import ModelVersion
from appliance.serving.bento import Bentos
from appliance.serving.prediction_table import PredictionTable
from appliance.serving.processes import GATEWAY, Processes, ProcessRecord
from appliance.serving.routes import Candidate, Route, Routes, Target, load_routes, save_routes
from appliance.serving.service import NAME, PACKAGE, SITE, VERSION
from appliance.wiring.parts import Parts

if TYPE_CHECKING:
    from appliance.serving.prediction_topic import PredictionTopic

ROUTES_SEEN_WITHIN_S = 0.5  # the gateway looks at the file ten times a second


class Deployment:
    """Serving of one site."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._site = parts.site
        self.processes = Processes(parts.site)
        self._bentos = Bentos(parts.site)

    def routes(self) -> Routes:
        return load_routes(self._site.serving)

    def start(self, models: tuple[str, ...] = ()) -> tuple[ProcessRecord, ...]:
        """Start the gateway, a route for each of `models`, and every service that the routes need."""
        routes = self.routes()
        for model in models:
            if routes.of(model) is None:
                routes = routes.with_route(Route(model=model))
        save_routes(self._site.serving, routes)
        for route in routes.routes:
            self.follow_registry(route.model)
        self.processes.start_gateway()
        return self.processes.all_running()

    def follow_registry(self, model: str) -> Route:
        """Let the live arm of `model` be the registry's live version."""
        live = self._parts.registry.live(model)
        route = self.routes().of(model) or Route(model=model)
        target = self._serve(live) if live is not None else None
        return self._save(Route(model=model, live=target, candidate=route.candidate))

    def follow_if_served(self, model: str) -> bool:
        """`follow_registry` where the gateway runs and has a route of that name; gives whether it did."""
        if self.processes.running(GATEWAY) is None or self.routes().of(model) is None:
            return False
        self.follow_registry(model)
        return True

    def try_out(self, candidate: ModelVersion, mode: Literal["shadow", "canary"], percent: int) -> Route:
        """Put a version on trial beside the live one."""
        target = self._serve(candidate)
        route = self.routes().of(candidate.name) or Route(model=candidate.name)
        return self._save(
            Route(
                model=candidate.name,
                live=route.live,
                candidate=Candidate(target=target, mode=mode, percent=percent),
            )
        )

    def end_trial(self, model: str) -> Route:
        """Take the candidate out of the route; its service stops unless it is live."""
        route = self.routes().of(model) or Route(model=model)
        return self._save(Route(model=model, live=route.live))

    def stop(self) -> tuple[str, ...]:
        return self.processes.stop_all()

    def prediction_topic(self) -> PredictionTopic | None:
        """The topic that predictions go through; None: this site has none."""
        topic = self._site.settings.kafka.predictions
        if not topic:
            return None
        from appliance.serving.prediction_topic import PredictionTopic

        return PredictionTopic(
            topic=topic,
            writer=self._parts.kafka_of_serving,
            reader=self._parts.kafka,
            folder=self._site.serving / "predictions",
        )

    def prediction_table(self) -> PredictionTable:
        return PredictionTable(
            lake=self._parts.lake,
            objects=self._parts.objects,
            lineage=self._parts.lineage,
            folder=self._site.serving / "predictions",
            site_folder=self._site.folder,
            model_lineage=self._model_lineage,
            rotate=self._rotate,
            topic=self.prediction_topic(),
        )

    def _serve(self, version: ModelVersion) -> Target:
        name = _service_name(version.name, version.version)
        artifact_id = version.manifest.artifact_id
        self._parts.registry.check_loadable(version.name, version.version)  # a clear reason before a process
        bento = self._bentos.build(version.name, version.version, version.folder)
        port = self.processes.free_port()
        record = self.processes.start_model(
            name,
            self._bentos.command(bento, port),
            port=port,
            serves=artifact_id,
            extra={
                **self._bentos.environment,
                SITE: str(self._site.folder),
                NAME: version.name,
                VERSION: str(version.version),
                PACKAGE: str(self._bentos.package_in(bento)),
            },
        )
        return Target(version=version.version, artifact_id=artifact_id, port=record.port)

    def _save(self, route: Route) -> Route:
        before = self.routes()
        if before.of(route.model) != route:
            save_routes(self._site.serving, before.with_route(route))
            time.sleep(ROUTES_SEEN_WITHIN_S)
        wanted = {
            _service_name(route.model, target.version)
            for target in (route.live, route.candidate.target if route.candidate else None)
            if target is not None
        }
        for record in self.processes.all_running():
            if record.name.startswith(f"{route.model}-v") and record.name not in wanted:
                self.processes.stop(record.name)
        return route

    def _model_lineage(self, artifact_id: str) -> str | None:
        for version in self._parts.registry.list():
            if version.manifest.artifact_id == artifact_id:
                return self._parts.registry.lineage_of(version.name, version.version)
        return None

    def _rotate(self) -> None:
        record = self.processes.running(GATEWAY)
        if record is not None:
            from appliance.serving.control import rotate

            rotate(record.port, self.processes.control_token())


def _service_name(model: str, version: int) -> str:
    return f"{model}-v{version}"
