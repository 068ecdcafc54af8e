"""Runs one target in a process of its own, with limits, and says what left the boundary.

Rules
1. Only the errors that a target declares may leave it.
2. An input may take `HANG_S`; Python code is interrupted then, and a process that cannot be is killed soon after.
3. Memory may grow by `MAX_GROWTH_BYTES` of address space over that of the loaded target.
4. The input under test stands in a file before it is tried, so that a crash is known by its input.
5. A target ends at its first finding; the input is kept in ``corpus/<target>/`` and replayed by a test ever after.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from tests.fuzz.mutate import mutated
from tests.fuzz.registry import Loaded, Target

CORPUS = Path(__file__).parent / "corpus"
HANG_S = 5.0
STUCK_S = 15.0  # without a sign of life: the process is in code that no signal interrupts
MAX_GROWTH_BYTES = 200 << 20
_HEAD = struct.Struct("<QQ")  # inputs tried, bytes of the one under test


class Hang(BaseException):
    """An input took too long."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`fault` is empty when nothing was found."""

    target: str
    inputs: int
    accepted: int
    fault: str = ""
    data: bytes = b""

    def keep(self, corpus: Path = CORPUS) -> Path:
        path = corpus / self.target / hashlib.sha256(self.data).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.data)
        return path


def fuzz(target: Target, *, seconds: float, seed: int, hang_s: float = HANG_S) -> Outcome:
    """Try inputs for so many seconds of processor time, so that a busy machine tries no fewer."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        journal = Path(name) / "journal"
        journal.write_bytes(_HEAD.pack(0, 0))
        process = context.Process(target=_run, args=(target, seconds, seed, hang_s, Path(name), there), daemon=True)
        process.start()
        there.close()
        try:
            outcome = _watch(target, process, here, journal)
        finally:
            process.kill()
            process.join()
    return outcome


def _watch(target: Target, process: multiprocessing.process.BaseProcess, here: Connection, journal: Path) -> Outcome:
    tried, alive_s = -1, time.monotonic()
    while True:
        if here.poll(0.25):
            try:
                outcome = here.recv()
            except EOFError:  # it died; its last words are the journal
                process.join()
                return _unfinished(target, journal, f"the process ended with {process.exitcode}")
            assert isinstance(outcome, Outcome)
            return outcome
        count, _ = _read(journal)
        if count != tried:
            tried, alive_s = count, time.monotonic()
        elif time.monotonic() - alive_s > STUCK_S + (60 if count == 0 else 0):  # at first it makes its seeds
            return _unfinished(target, journal, f"no sign of life for {STUCK_S:g} s")


def _read(journal: Path) -> tuple[int, bytes]:
    data = journal.read_bytes()
    count, size = _HEAD.unpack_from(data)
    return count, data[_HEAD.size : _HEAD.size + size]


def _unfinished(target: Target, journal: Path, fault: str) -> Outcome:
    count, data = _read(journal)
    return Outcome(target=target.name, inputs=count, accepted=0, fault=fault, data=data)


def _run(target: Target, seconds: float, seed: int, hang_s: float, folder: Path, parent: Connection) -> None:
    loaded = target.load(folder)
    for data in loaded.seeds:
        loaded.parse(data)  # a seed that is refused tests nothing
    chance = random.Random(seed)
    limit_memory()
    inputs = accepted = 0
    end_s = time.process_time() + seconds
    with (folder / "journal").open("r+b", buffering=0) as journal:
        while time.process_time() < end_s:
            data = mutated(loaded.seeds, chance)
            inputs += 1
            journal.seek(0)
            journal.write(_HEAD.pack(inputs, len(data)) + data)
            fault = try_input(loaded, data, hang_s=hang_s)
            if fault:
                parent.send(Outcome(target=target.name, inputs=inputs, accepted=accepted, fault=fault, data=data))
                return
            accepted += fault is None
    parent.send(Outcome(target=target.name, inputs=inputs, accepted=accepted))


def limit_memory() -> None:
    """No more than `MAX_GROWTH_BYTES` over what is in use now: a larger wish becomes a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MAX_GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def try_input(loaded: Loaded, data: bytes, *, hang_s: float = HANG_S) -> str | None:
    """What is wrong; empty when the input was refused as declared, None when it was accepted."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, hang_s)
    try:
        loaded.parse(data)
    except Hang:
        return f"took longer than {hang_s:g} s"
    except loaded.errors:
        return ""
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__module__}.{type(error).__qualname__} left the boundary: {str(error)[:300]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return None


def report(outcome: Outcome) -> None:
    """Print what came of a target, and keep the input where something was found."""
    line = f"{outcome.target:<26}{outcome.inputs:>10,} inputs, {outcome.accepted:,} accepted"
    if outcome.fault:
        print(f"{line}\n  FOUND: {outcome.fault}\n  input: {outcome.keep()}", file=sys.stderr, flush=True)
    else:
        print(line, flush=True)
