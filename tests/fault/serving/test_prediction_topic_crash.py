"""A crash before and behind every step that a flush through a topic makes: each prediction is in the lake once."""

import random

import pytest

from appliance.base import atomic
from tests.prediction_site import PredictionSite

TOPIC = "predictions"
ROUNDS = 12


@pytest.fixture
def site(tmp_path, monkeypatch):
    return PredictionSite(tmp_path / "site", monkeypatch)


class Crash(BaseException):
    """Nothing catches it, as nothing catches kill -9."""


class Steps:
    """Counts the steps that leave something behind, and crashes before or behind the one that was asked for."""

    def __init__(self, monkeypatch, site):
        self._left, self._behind = -1, False
        for owner, name in (
            (atomic, "write_bytes"), (site.lineage, "write"), (site.objects, "put"), (site.lake, "append"),
            (site.partition(TOPIC), "send"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self._step(getattr(owner, name)))

    def crash_at(self, number, *, behind):
        self._left, self._behind = number, behind

    def _step(self, work):
        def step(*args, **kwargs):
            self._left -= 1
            here = self._left == -1
            if here and not self._behind:
                raise Crash
            found = work(*args, **kwargs)
            if here:
                raise Crash
            return found

        return step


def test_each_prediction_is_there_once_whatever_crashed_and_whichever_way_was_chosen(site, seed, monkeypatch):
    rng, steps = random.Random(seed), Steps(monkeypatch, site)
    crashes = 0
    for _ in range(ROUNDS):
        for _ in range(rng.randrange(3)):
            site.answer(rng.randrange(1, 4))
        steps.crash_at(rng.randrange(14), behind=rng.random() < 0.5)
        try:
            site.flush(rng.choice((TOPIC, TOPIC, None)))
        except Crash:
            crashes += 1
        steps.crash_at(-1, behind=False)
        if rng.random() < 0.3:
            (site.log_folder / "sent" / f"{TOPIC}.txt").unlink(missing_ok=True)
    site.answer(1)
    site.flush(TOPIC)
    site.check_each_is_there_once()
    assert crashes, f"seed {seed}"


@pytest.mark.parametrize("behind", [False, True])
def test_no_step_of_one_flush_loses_or_doubles(site, monkeypatch, behind):
    steps = Steps(monkeypatch, site)
    number, crashed = 0, True
    while crashed:
        site.answer(2)
        site.answer(1)
        steps.crash_at(number, behind=behind)
        try:
            site.flush(TOPIC)
            crashed = False
        except Crash:
            number += 1
        steps.crash_at(-1, behind=False)
        site.flush(TOPIC)
        site.check_each_is_there_once()
    assert number >= 7, "two segments, two hints, an object, documents, a commit"
