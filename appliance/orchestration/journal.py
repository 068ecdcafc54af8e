"""The journal of one pipeline run: which steps are done, with what result. Replaced atomically at every change.

Rules
1. A step is pending, running, waiting (for a person), done or failed. Only `done` is skipped when a run goes on.
2. A run that was killed shows one step running; it is executed again, and every step is idempotent.
3. A run has ended when a step failed, or all are done. An ended run is never changed.
4. What later steps rest on is in the outputs of earlier ones: the training set is the one that `split` pinned.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.errors import ApplianceError
from appliance.orchestration import codes

Status = Literal["pending", "running", "waiting", "done", "failed"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run.

    Attributes:
        outputs: what later steps and people need of it; JSON.
        reason: why it waits, failed, or stopped and can be tried again; else empty.
    """

    name: str
    status: Status = "pending"
    attempts: int = 0
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    outputs: dict[str, Any] = {}
    reason: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the pipeline for one recipe."""

    run_id: str
    recipe: str
    created_at: dt.datetime
    steps: tuple[Step, ...]

    @property
    def status(self) -> Literal["open", "waiting", "done", "failed"]:
        states = {step.status for step in self.steps}
        if "failed" in states:
            return "failed"
        if states == {"done"}:
            return "done"
        return "waiting" if "waiting" in states else "open"

    @property
    def ended(self) -> bool:
        return self.status in ("done", "failed")

    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Outputs of all steps that are done, by step name."""
        return {step.name: step.outputs for step in self.steps if step.status == "done"}

    def with_step(self, changed: Step) -> Run:
        steps = tuple(changed if step.name == changed.name else step for step in self.steps)
        return msgspec.structs.replace(self, steps=steps)


class Journal:
    """The runs of a site, one folder each under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, run: Run) -> None:
        data = msgspec.json.format(msgspec.json.encode(run), indent=1)
        atomic.write_bytes(self._path(run.run_id), data)

    def load(self, run_id: str) -> Run:
        """Raises:
        ApplianceError: APL-PIPE-003 no such run, APL-PIPE-004 damaged.
        """
        path = self._path(run_id)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Run)
        except FileNotFoundError as error:
            raise ApplianceError(codes.NO_SUCH_RUN, f"no run {run_id!r}", where=str(path)) from error
        except msgspec.DecodeError as error:
            raise ApplianceError(codes.JOURNAL_BROKEN, str(error), where=str(path)) from error

    def runs(self, recipe: str | None = None) -> list[Run]:
        """All runs (of `recipe`), newest first."""
        names = sorted((path.parent.name for path in self._folder.glob("*/journal.json")), reverse=True)
        runs = [self.load(name) for name in names]
        return [run for run in runs if recipe is None or run.recipe == recipe]

    @contextlib.contextmanager
    def at_work(self, recipe: str) -> Iterator[None]:
        """Only one process moves the runs of a recipe; the kernel lets go when it dies.

        Raises:
            ApplianceError: APL-PIPE-007.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(atomic.exclusive(self._folder / f".{recipe}.lock", wait=False))
            except ApplianceError as error:
                if error.code != base_codes.LOCKED:
                    raise
                raise ApplianceError(codes.BUSY, f"a run of {recipe} is under way", where=error.where) from error
            yield

    def _path(self, run_id: str) -> Path:
        if "/" in run_id or run_id.startswith("."):
            raise ApplianceError(codes.NO_SUCH_RUN, f"{run_id!r} is not a run id")
        return self._folder / run_id / "journal.json"
