"""Runs a recipe: pin the data, start the job in its own environment, watch it, read its outcome.

Rules
1. The job is a subprocess in the training environment; nothing of torch is ever loaded here.
2. The run's folder is named by the artifact id, so the same inputs land in the same place.
3. A closed gate raises the gate's own error; the report stays in the run's folder (``refused``), no package exists.
4. What differs from run to run (times, telemetry) stands in ``telemetry.json`` beside the package, never in it.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from appliance.base import atomic, process
from appliance.base.digest import hex_of
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.features.source import Tables
from appliance.features.training_set import LineageWriter, TrainingSet, file_record
from appliance.features.view import FeatureView
from appliance.governance.package import Identity
from appliance.observability.gpu import GpuSampler, gpu_name
from appliance.training import codes
from appliance.training.dataset import pin_dataset
from appliance.training.environment import CPU_CLASS, code_digest, job_environment
from appliance.training.job import OUTCOME, REQUEST
from appliance.training.package import FILES
from appliance.training.recipe import ClassifierRecipe, Recipe, as_json, uses_gpu

KIND = "model"  # of the lineage document
LOG_TAIL_CHARACTERS = 1_500


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run that made a package.

    Attributes:
        folder: of the run: package, job.log, telemetry.json.
        lineage_id: of the document ``model``.
    """

    folder: Path
    package: Path
    artifact_id: str
    training_set: TrainingSet
    lineage_id: str
    metrics: dict[str, Any]
    model_card: Path
    telemetry: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Everything a run needs besides its recipe.

    Attributes:
        python: interpreter of the training environment.
        environment: digest of its lock file.
        runs_folder: inside `site_folder`.
    """

    tables: Tables
    views: Sequence[FeatureView]
    lineage: LineageWriter
    python: Path
    environment: str
    runs_folder: Path
    site_folder: Path
    threads: int
    timeout_s: float

    def pin(self, recipe: Recipe) -> TrainingSet:
        """Materialise and pin the newest data of `recipe`; the same data are the same training set.

        Raises:
            ApplianceError: as `pin_dataset`.
        """
        return pin_dataset(
            recipe,
            tables=self.tables,
            views=self.views,
            lineage=self.lineage,
            folder=self.runs_folder / "training-sets",
            site_folder=self.site_folder,
        )

    def train(
        self, recipe: Recipe, *, pinned: TrainingSet | None = None, progress: Progress | None = None
    ) -> RunResult:
        """Run `recipe` on the training set `pinned`, or on the newest data.

        Raises:
            ApplianceError: the gate's code (APL-TRAINING-004 to -008), APL-TRAINING-003 when the job failed, or as
                `pin_dataset`.
        """
        progress = progress or NoProgress()
        progress.begin("training", 3)
        pinned = pinned or self.pin(recipe)
        progress.advance(1)
        identity = identity_for(recipe, pinned.digest, self.views, environment=self.environment, threads=self.threads)
        folder = self.runs_folder / f"{recipe.model}-{hex_of(identity.artifact_id)[:16]}"
        telemetry = run_job_process(identity, pinned.folder, folder, python=self.python, timeout_s=self.timeout_s)
        progress.advance(1)
        outcome = read_outcome(folder)
        if not outcome["packaged"]:
            gate, reason = next(iter(sorted(outcome["closed"].items())))
            raise ApplianceError(codes.GATES[gate], reason, where=str(folder / "refused"))
        package = folder / "package"
        lineage_id = self.lineage.write(
            kind=KIND,
            name=recipe.model,
            files=[file_record(package / name, self.site_folder) for name in sorted((*FILES, "package.json"))],
            inputs=[pinned.lineage_id],
            facts={
                "artifact_id": identity.artifact_id,
                "data": identity.data,
                "code": identity.code,
                "environment": identity.environment,
                "hardware": identity.hardware,
                "seed": identity.seed,
            },
        )
        progress.advance(1)
        return RunResult(
            folder=folder,
            package=package,
            artifact_id=identity.artifact_id,
            training_set=pinned,
            lineage_id=lineage_id,
            metrics=json.loads((package / "metrics.json").read_bytes()),
            model_card=package / "model_card.md",
            telemetry=telemetry,
        )


def identity_for(
    recipe: Recipe, data: str, views: Sequence[FeatureView], *, environment: str, threads: int
) -> Identity:
    """The identity of a run of `recipe` here and now."""
    used = set()
    if isinstance(recipe, ClassifierRecipe):
        used = {name.partition(".")[0] for name in recipe.features}
    name = gpu_name() if uses_gpu(recipe) else None
    return Identity(
        code=code_digest(),
        data=data,
        recipe=as_json(recipe),
        views=[view.declaration for view in views if view.name in used],
        environment=environment,
        hardware=CPU_CLASS if name is None else f"gpu-{name}",
        seed=recipe.seed,
        threads=threads,
    )


def run_job_process(
    identity: Identity, training_set: Path, folder: Path, *, python: Path, timeout_s: float
) -> dict[str, Any]:
    """Run the job into the empty folder `folder`; gives and writes the telemetry of the run.

    Raises:
        ApplianceError: APL-TRAINING-003 when it fails, APL-BASE-003 when it cannot start or runs too long.
    """
    atomic.remove_tree(folder)
    request = {
        "identity": msgspec.to_builtins(identity),
        "training_set": str(training_set),
        "output": str(folder),
    }
    atomic.write_bytes(folder / REQUEST, json.dumps(request, indent=1).encode())
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with GpuSampler() as sampler:
        running = process.start(
            [python, "-m", "appliance.training.job", folder / REQUEST],
            log_path=folder / "job.log",
            folder=folder,
            extra_environment=job_environment(identity.threads, gpu=identity.hardware != CPU_CLASS),
            tied=True,
        )
        try:
            code = running.wait(timeout_s)
        finally:
            running.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code != 0:
        tail = (folder / "job.log").read_text("utf-8", "replace")[-LOG_TAIL_CHARACTERS:].strip()
        raise ApplianceError(codes.JOB_FAILED, f"the job ended with {code}: {tail}", where=str(folder / "job.log"))
    telemetry = {
        "wall_s": round(time.monotonic() - started, 2),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_memory_bytes": after.ru_maxrss * 1024,
        "gpu": sampler.summary(),
    }
    atomic.write_bytes(folder / "telemetry.json", json.dumps(telemetry, indent=1).encode())
    return telemetry


def read_outcome(folder: Path) -> dict[str, Any]:
    """What the job of the run `folder` decided."""
    outcome: dict[str, Any] = json.loads((folder / OUTCOME).read_bytes())
    return outcome
