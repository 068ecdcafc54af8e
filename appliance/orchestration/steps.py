"""What the ten steps do. Each is idempotent: done twice it leaves what once would have left.

How each stays idempotent
- quality, features: ingest and the online store take only what they have not taken; a contract that is checked again
  leaves another result, which says the same.
- split, train: training set and run folder are named by digests of their content and inputs.
- register: a package that is registered already is found, not added.
- shadow, canary: requests of a trial have fixed ids; those that were recorded before a kill are not sent again.
- promote, watch: the registry is asked first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pyarrow.compute as pc

from appliance.base.clock import rfc3339
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.features.training_set import TrainingSet
from appliance.features.view import FeatureView
from appliance.governance import codes as governance_codes
from appliance.governance.registry import ModelVersion
from appliance.ingestion import ledger
from appliance.orchestration import codes, trial
from appliance.orchestration.incumbent import incumbent_metric
from appliance.orchestration.journal import Run
from appliance.orchestration.model_links import training_set_statement
from appliance.orchestration.replay import send
from appliance.serving.contract import PredictRequest
from appliance.serving.control import under_way
from appliance.serving.deployment import Deployment
from appliance.serving.processes import GATEWAY
from appliance.serving.split import takes_canary
from appliance.storage import names
from appliance.training import codes as training_codes
from appliance.training.recipe import ClassifierRecipe, Recipe, find_recipe
from appliance.wiring.parts import Parts

DRAIN_WITHIN_S = 60.0
CHUNK_REQUESTS = 400  # sent before the shadow is waited for, so that its queue never overflows
WATCH_REQUESTS = 200


class Steps:
    """The steps of one site for one recipe, as the mapping that `pipeline.advance` wants."""

    def __init__(self, parts: Parts, deployment: Deployment, recipe: str, progress: Progress) -> None:
        self._parts, self._deployment, self._progress = parts, deployment, progress
        self._recipe: Recipe = find_recipe(parts.recipes, recipe)
        self._settings = parts.site.settings.pipeline

    def functions(self) -> Mapping[str, Callable[[Run], Mapping[str, Any]]]:
        return {
            "quality": self.quality,
            "features": self.features,
            "split": self.split,
            "train": self.train,
            "evaluate": self.evaluate,
            "register": self.register,
            "shadow": self.shadow,
            "canary": self.canary,
            "promote": self.promote,
            "watch": self.watch,
        }

    def quality(self, run: Run) -> Mapping[str, Any]:
        """Take in what waits; then the books must balance, most readings be good, and tables keep their contracts."""
        self._parts.drops.run(progress=self._progress)  # first: readings may be checked against a table of theirs
        taken = self._parts.sink.run(progress=self._progress)
        workers = bool(self._parts.site.settings.kafka.servers)  # they may commit while we count
        if workers:
            taken += self._parts.topic_worker.run(until_end=True, progress=self._progress).taken
        books = ledger.balance(self._parts.lake)
        self._parts.alerts.record(ledger.alerts_of(books, self._parts.clock.now()))
        if books.imbalance or (books.pending and not workers):
            raise ApplianceError(
                codes.GATE_FAILED, f"ledger: imbalance {books.imbalance}, pending {books.pending}, expected 0 and 0"
            )
        share, limit = 100.0 * books.quarantined / max(1, books.came_in), self._settings.max_quarantined_percent
        if share > limit:
            raise ApplianceError(codes.GATE_FAILED, f"{share:.1f} % of readings are in quarantine, at most {limit:g} %")
        reports = self._parts.gates.run(_tables_of(self._recipe, self._parts.views), progress=self._progress)
        closed = [
            f"{each.table}: {one.check} ({one.observed})" for each in reports for one in each.results if one.stops
        ]
        if closed:
            raise ApplianceError(codes.GATE_FAILED, f"contract of {'; '.join(closed)}", where=names.GATES)
        return {
            "contracts": {each.table: str(each.snapshot_id) for each in reports},
            "readings_taken": taken.readings,
            "readings": books.came_in,
            "lake": books.accepted,
            "quarantined": books.quarantined,
            "imbalance": books.imbalance,
        }

    def features(self, run: Run) -> Mapping[str, Any]:
        """Bring the online features up to the newest commit."""
        done = self._parts.feature_store.materialize()
        return {"files": done.files, "through_us": done.through_us, "data": self._parts.feature_store.data_lineage()}

    def split(self, run: Run) -> Mapping[str, Any]:
        """Pin the training set."""
        pinned = self._parts.trainer.pin(self._recipe)
        return {
            "folder": pinned.folder.relative_to(self._parts.site.folder).as_posix(),
            "digest": pinned.digest,
            "lineage": pinned.lineage_id,
            "rows": pinned.rows,
        }

    def train(self, run: Run) -> Mapping[str, Any]:
        """Run the recipe on the pinned set; a closed gate of the recipe ends the run."""
        split = run.outputs()["split"]
        pinned = TrainingSet(
            folder=self._parts.site.folder / split["folder"],
            digest=split["digest"],
            lineage_id=split["lineage"],
            rows=split["rows"],
        )
        try:
            result = self._parts.trainer.train(self._recipe, pinned=pinned, progress=self._progress)
        except ApplianceError as error:
            if error.code in training_codes.GATES.values():
                raise ApplianceError(codes.GATE_FAILED, str(error), where=error.where) from error
            raise
        return {
            "package": result.package.relative_to(self._parts.site.folder).as_posix(),
            "artifact_id": result.artifact_id,
            "lineage": result.lineage_id,
            "wall_s": result.telemetry["wall_s"],
            "gpu": result.telemetry["gpu"]["gpu"],
        }

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        """Measure the live version on the candidate's held-out rows, so that the registry compares like with like."""
        outputs = run.outputs()
        package = self._parts.site.folder / outputs["train"]["package"]
        live = self._parts.registry.live(self._recipe.model)
        metric, value = incumbent_metric(
            package=package,
            training_set=self._parts.site.folder / outputs["split"]["folder"],
            incumbent=live.folder if live else None,
        )
        return {"metric": metric.name, "value": metric.value, "incumbent": value}

    def register(self, run: Run) -> Mapping[str, Any]:
        """Sign training set and model, and register the package if it is better."""
        outputs = run.outputs()
        package = self._parts.site.folder / outputs["train"]["package"]
        version = self._registered(outputs["train"]["artifact_id"])
        if version is None:
            self._sign_training_set(outputs["split"])
            try:
                version = self._parts.registry.register(
                    package, lineage=outputs["train"]["lineage"], incumbent=outputs["evaluate"]["incumbent"]
                )
            except ApplianceError as error:
                if error.code == governance_codes.NOT_BETTER:
                    raise ApplianceError(codes.NOT_BETTER, error.message) from error
                raise
        elif version.stage in ("live", "retired"):
            raise ApplianceError(codes.NOT_BETTER, f"{version.id} has the same artifact id and is {version.stage}")
        return {"version": version.version, "id": version.id, "artifact_id": version.manifest.artifact_id}

    def shadow(self, run: Run) -> Mapping[str, Any]:
        """Replay recorded requests; the candidate gets copies and answers nobody."""
        return self._trial(run, "shadow", percent=0)

    def canary(self, run: Run) -> Mapping[str, Any]:
        """Replay again; the candidate answers for its share of entities."""
        return self._trial(run, "canary", percent=self._settings.canary_percent)

    def promote(self, run: Run) -> Mapping[str, Any]:
        """Make the candidate live."""
        version = self._candidate(run)
        if version.stage != "live":
            before = self._parts.registry.live(version.name)
            version = self._parts.registry.promote(version.name, version.version)
        else:
            before = None
        self._deployment.follow_registry(version.name)
        self._deployment.end_trial(version.name)
        return {"live": version.id, "replaced": before.id if before else None}

    def watch(self, run: Run) -> Mapping[str, Any]:
        """Send recorded requests to the new live version; roll back when it does not answer as it should."""
        version = self._candidate(run)
        if version.stage != "live":  # rolled back by a try that was killed after it, or by a person
            self._deployment.follow_registry(version.name)
            raise ApplianceError(codes.GATE_FAILED, f"{version.id} is {version.stage}, no longer live")
        requests = self._requests(run, "watch", WATCH_REQUESTS)
        self._send(version.name, requests)
        self._deployment.prediction_table().flush()
        found = self._recorded(run, "watch")
        judged = trial.judge(
            expected=[request.request_id or "" for request in requests],
            arm=found.get("live", []),
            reference=[],
            sent=len(requests),
            limits=self._limits(WATCH_REQUESTS),
        )
        if judged.passed:
            return dict(judged.figures)
        reason = "; ".join(judged.reasons)
        if self._parts.registry.rollback_target(version.name) is not None:
            back = self._parts.registry.rollback(version.name, reason=reason)
            self._deployment.follow_registry(version.name)
            reason += f"; {back.id} is live again"
        raise ApplianceError(codes.GATE_FAILED, f"{version.id}: {reason}")

    def _trial(self, run: Run, mode: Literal["shadow", "canary"], *, percent: int) -> Mapping[str, Any]:
        version = self._candidate(run)
        if version.stage == "candidate":
            raise ApplianceError(codes.NEEDS_APPROVAL, f"{version.id} waits for approval", where=version.id)
        wanted = self._settings.replay_requests
        requests = self._requests(run, mode, wanted)
        self._deployment.try_out(version, mode, percent)
        self._send(version.name, requests)
        self._deployment.prediction_table().flush()
        found = self._recorded(run, mode)
        sent = {request.request_id or "" for request in requests}
        if mode == "canary":
            artifact_id = version.manifest.artifact_id
            sent = {
                request.request_id or "" for request in requests if takes_canary(request.entity, artifact_id, percent)
            }
        judged = trial.judge(
            expected=sorted(sent),
            arm=found.get(mode, []),
            reference=self._recorded(run, "shadow").get("live", []),
            sent=len(requests),
            limits=self._limits(wanted),
        )
        if judged.passed:
            return dict(judged.figures)
        self._deployment.end_trial(version.name)
        code = codes.GATE_FAILED if judged.traffic else codes.NO_TRAFFIC
        raise ApplianceError(code, f"{mode} of {version.id}: {'; '.join(judged.reasons)}")

    def _candidate(self, run: Run) -> ModelVersion:
        registered = run.outputs()["register"]
        return self._parts.registry.get(self._recipe.model, registered["version"])

    def _registered(self, artifact_id: str) -> ModelVersion | None:
        for version in self._parts.registry.list(self._recipe.model):
            if version.manifest.artifact_id == artifact_id:
                return version
        return None

    def _sign_training_set(self, split: Mapping[str, Any]) -> None:
        statement = training_set_statement(self._parts.lineage.load(split["lineage"]))
        self._parts.signer.sign(statement, self._parts.audit.current().role)

    def _requests(self, run: Run, phase: str, count: int) -> list[PredictRequest]:
        """The newest recorded questions of clients, asked again under the ids of this trial.

        Raises:
            ApplianceError: APL-PIPE-005, clients asked too little.
        """
        self._deployment.prediction_table().flush()
        rows = self._parts.lake.scan(
            names.PREDICTIONS,
            columns=("request_id", "entity", "at", "served_at", "arm"),
            where=f"model = '{self._recipe.model}'",
        )
        mine = pc.or_(pc.starts_with(rows["request_id"], "trial:"), pc.equal(rows["arm"], "shadow"))
        rows = rows.filter(pc.invert(mine)).sort_by([("served_at", "descending"), ("request_id", "ascending")])
        asked = dict.fromkeys(zip(rows["entity"].to_pylist(), rows["at"].to_pylist(), strict=True))
        if len(asked) < count:
            raise ApplianceError(codes.NO_TRAFFIC, f"{len(asked)} requests are recorded, {count} are asked for")
        return [
            PredictRequest(entity=entity, at=at, request_id=f"{_prefix(run, phase)}{number}")
            for number, (entity, at) in enumerate(list(asked)[:count])
        ]

    def _send(self, model: str, requests: Sequence[PredictRequest]) -> None:
        """Send what was not recorded before, and wait for the shadow."""
        gateway = self._deployment.processes.running(GATEWAY)
        port = gateway.port if gateway else self._parts.site.settings.serving.gateway_port
        token = self._deployment.processes.control_token()
        # A try that was killed may have left requests under way: they are answered and recorded first.
        self._drain(port, token)
        self._deployment.prediction_table().flush()
        done = self._recorded_ids((requests[0].request_id or "").rpartition(":")[0])
        missing = [request for request in requests if request.request_id not in done]
        for start in range(0, len(missing), CHUNK_REQUESTS):
            send(port, model, missing[start : start + CHUNK_REQUESTS], self._progress)
            self._drain(port, token)

    def _drain(self, port: int, token: str) -> None:
        """Wait until the gateway holds nothing that it has not answered and copied to the shadow."""
        end_s = time.monotonic() + DRAIN_WITHIN_S
        while under_way(port, token) and time.monotonic() < end_s:
            time.sleep(0.05)

    def _recorded_ids(self, prefix: str) -> set[str]:
        rows = self._parts.lake.scan(
            names.PREDICTIONS, columns=("request_id",), where=f"model = '{self._recipe.model}'"
        )
        return set(rows.filter(pc.starts_with(rows["request_id"], f"{prefix}:"))["request_id"].to_pylist())

    def _recorded(self, run: Run, phase: str) -> dict[str, list[trial.Answer]]:
        """Answers of a trial by arm."""
        columns = ("request_id", "arm", "score", "entity", "at")
        rows = self._parts.lake.scan(names.PREDICTIONS, columns=columns, where=f"model = '{self._recipe.model}'")
        rows = rows.filter(pc.starts_with(rows["request_id"], _prefix(run, phase)))
        found: dict[str, list[trial.Answer]] = {}
        for id, arm, score, entity, at in zip(*(rows[name].to_pylist() for name in columns), strict=True):
            found.setdefault(arm, []).append(trial.Answer(request_id=id, question=f"{entity}@{at}", score=score))
        return found

    def _limits(self, requests: int) -> trial.Limits:
        return trial.Limits(
            requests=requests,
            max_error_percent=self._settings.max_error_percent,
            max_score_shift=self._settings.max_score_shift,
        )


def _tables_of(recipe: Recipe, views: Sequence[FeatureView]) -> set[str]:
    """The lake tables that a recipe is trained on."""
    if not isinstance(recipe, ClassifierRecipe):
        return {recipe.series.table}
    used = {name.partition(".")[0] for name in recipe.features}
    features = [feature for view in views if view.name in used for feature in view.features]
    return {recipe.label.table} | {slot.table for feature in features for slot in feature.slots}


def check_classifier(recipe: Recipe) -> None:
    """The pipeline serves classifiers; forecasters are trained, registered and approved without a trial.

    Raises:
        ApplianceError: APL-PIPE-001.
    """
    if not isinstance(recipe, ClassifierRecipe):
        raise ApplianceError(codes.GATE_FAILED, f"{recipe.model} is not served by the gateway")


def _prefix(run: Run, phase: str) -> str:
    return f"trial:{rfc3339(run.created_at)}:{phase}:"
