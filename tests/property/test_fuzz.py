"""Inputs that once were findings stay refused, and the fuzzer finds what it is meant to find."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from appliance.base import codes
from appliance.base.errors import ApplianceError
from tests.fuzz.harness import CORPUS, fuzz, try_input
from tests.fuzz.mutate import mutated
from tests.fuzz.registry import Loaded, Target
from tests.fuzz.targets import TARGETS

KNOWN = {target.name: target for target in TARGETS}
KEPT = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", KEPT)
def test_what_was_found_once_is_refused_as_declared(name: str, tmp_path: Path) -> None:
    loaded = KNOWN[name].load(tmp_path)
    found = {path.name: try_input(loaded, path.read_bytes()) for path in sorted((CORPUS / name).iterdir())}
    assert not {path: fault for path, fault in found.items() if fault}


def load_hanging(folder: Path) -> Loaded:
    return Loaded(parse=lambda data: time.sleep(60 if b"7" in data else 0), seeds=[b"123456"])


def load_crashing(folder: Path) -> Loaded:
    return Loaded(parse=lambda data: os.abort() if len(data) > 12 else None, seeds=[b"short"])


def load_greedy(folder: Path) -> Loaded:
    return Loaded(parse=lambda data: bytearray(300 << 20) if len(data) > 12 else None, seeds=[b"short"])


def load_leaking(folder: Path) -> Loaded:
    def parse(data: bytes) -> None:
        if len(data) > 12:
            raise IndexError("of a list")
        if len(data) > 6:
            raise ApplianceError(codes.NOT_CANONICAL, "as declared")

    return Loaded(parse=parse, seeds=[b"short"])


@pytest.mark.parametrize(
    ("load", "fault"),
    [
        (load_hanging, "took longer than 0.2 s"),
        (load_crashing, "the process ended with -6"),
        (load_greedy, "builtins.MemoryError left the boundary"),
        (load_leaking, "builtins.IndexError left the boundary: of a list"),
    ],
)
def test_the_fuzzer_finds(load: object, fault: str, tmp_path: Path) -> None:
    outcome = fuzz(Target(name="made_up", load=load), seconds=20, seed=1, hang_s=0.2)  # type: ignore[arg-type]
    assert outcome.fault.startswith(fault)
    assert outcome.data
    assert outcome.keep(tmp_path).read_bytes() == outcome.data


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_target_accepts_its_seeds(target: Target, tmp_path: Path) -> None:
    loaded = target.load(tmp_path)
    assert loaded.seeds
    for seed in loaded.seeds:
        assert try_input(loaded, seed) is None


def test_a_run_can_be_repeated() -> None:
    """A seed and a count name an input."""
    runs = [[mutated([b'{"a":[1,2]}', b"log\n12\nQUJDREVGR0hJSktM\n"], chance) for _ in range(500)]
            for chance in (random.Random(3), random.Random(3))]  # fmt: skip
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 250
