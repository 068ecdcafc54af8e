"""Runs the ten steps of a retraining in order, resumable after a kill at any moment.

    quality    take in what waits, then the gates: books balance, data are fresh, little is quarantined
    features   bring the online features up to date
    split      pin the training set, by content digest
    train      run the recipe in the training environment
    evaluate   metric, honesty, parity and baseline gates
    register   sign and register, if better than what is there
    shadow     after approval: replay recorded requests, copies go to the candidate
    canary     replay again, the candidate answers for its share of entities
    promote    the candidate becomes live
    watch      judge live answers; fall back to the version before when they are bad

A failed gate ends the run; a shadow that failed never reaches the canary, a canary that failed never becomes live.
This module owns order, journal and resumption; `appliance.orchestration.steps` owns what the steps do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from appliance.base.clock import Clock
from appliance.base.errors import ApplianceError
from appliance.orchestration import codes
from appliance.orchestration.journal import Journal, Run, Step

STEPS = ("quality", "features", "split", "train", "evaluate", "register", "shadow", "canary", "promote", "watch")

StepFunction = Callable[[Run], Mapping[str, Any]]
"""Does one step for a run, idempotently; gives its outputs.

Raises:
    ApplianceError: APL-PIPE-001, -005, -006 end the run; APL-PIPE-002 makes it wait; any other leaves it resumable.
"""

ENDING = (codes.GATE_FAILED, codes.NO_TRAFFIC, codes.NOT_BETTER)


def open_run(journal: Journal, recipe: str, clock: Clock) -> Run:
    """The run of `recipe` that has not ended, or a new one."""
    for run in journal.runs(recipe):
        if not run.ended:
            return run
    now = clock.now()
    run = Run(
        run_id=f"{now:%Y%m%dT%H%M%S}{now.microsecond:06d}-{recipe}",
        recipe=recipe,
        created_at=now,
        steps=tuple(Step(name=name) for name in STEPS),
    )
    journal.save(run)
    return run


def advance(
    journal: Journal,
    run: Run,
    functions: Mapping[str, StepFunction],
    clock: Clock,
    *,
    until: str | None = None,
    tell: Callable[[Step], object] = bool,
) -> Run:
    """Do the steps of `run` that are not done, in order, up to and including `until`.

    Raises:
        ApplianceError: what the step raised; the journal says whether the run failed, waits or can go on.
    """
    for name in STEPS:
        step = next(each for each in run.steps if each.name == name)
        if step.status != "done":
            run = _do(journal, run, step, functions[name], clock, tell)
        if name == until:
            break
    return run


def _do(
    journal: Journal, run: Run, step: Step, function: StepFunction, clock: Clock, tell: Callable[[Step], object]
) -> Run:
    def note(changed: Step) -> Run:
        updated = run.with_step(changed)
        journal.save(updated)
        tell(changed)
        return updated

    step = msgspec.structs.replace(
        step, status="running", attempts=step.attempts + 1, started_at=clock.now(), reason="", ended_at=None
    )
    run = note(step)
    try:
        outputs = function(run)
    except ApplianceError as error:
        if error.code in ENDING:
            note(msgspec.structs.replace(step, status="failed", ended_at=clock.now(), reason=str(error)))
        elif error.code == codes.NEEDS_APPROVAL:
            note(msgspec.structs.replace(step, status="waiting", reason=str(error)))
        else:
            note(msgspec.structs.replace(step, status="pending", reason=str(error)))
        raise
    return note(msgspec.structs.replace(step, status="done", ended_at=clock.now(), outputs=dict(outputs)))
