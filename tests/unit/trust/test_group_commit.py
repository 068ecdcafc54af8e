"""Threads that append at once share a commit, and each learns what became of its own entries."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest

from appliance.base import codes
from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.group_commit import GroupCommit
from appliance.trust.tlog import TransparencyLog

WITHIN_S = 20.0


class Gate:
    """A log whose lock the test gives out, one commit at a time."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.commits: list[int] = []
        self.free = threading.Semaphore(0)
        self.fail_lock: Exception | None = None
        self.fail_commit: BaseException | None = None

    @contextlib.contextmanager
    def hold(self) -> Iterator[Gate]:
        assert self.free.acquire(timeout=WITHIN_S)
        if self.fail_lock is not None:
            error, self.fail_lock = self.fail_lock, None
            raise error
        yield self

    def append(self, entries: Sequence[bytes]) -> range:
        if self.fail_commit is not None:
            error, self.fail_commit = self.fail_commit, None
            raise error
        start = len(self.entries)
        self.entries += entries
        self.commits.append(len(entries))
        return range(start, len(self.entries))


class Callers:
    """Appends from one thread each; returns when so many calls wait in the queue."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.group = GroupCommit(self.gate.hold)
        self.pool = ThreadPoolExecutor(32)
        self.queued = 0

    def append(self, *entries: bytes) -> Future[range]:
        future = self.pool.submit(self.group.append, entries)
        self.queued += 1
        end_s = time.monotonic() + WITHIN_S
        while len(self.group._waiting) < self.queued:
            assert time.monotonic() < end_s
            time.sleep(0.001)
        return future

    def commit(self) -> None:
        self.queued = 0
        self.gate.free.release()


@pytest.fixture
def callers() -> Iterator[Callers]:
    made = Callers()
    yield made
    made.gate.free.release(100)
    made.pool.shutdown()


def error_of(future: Future[range]) -> ApplianceError:
    error = future.exception(WITHIN_S)
    assert isinstance(error, ApplianceError)
    return error


def test_who_waits_for_the_lock_shares_the_commit_in_order_of_arrival(callers: Callers) -> None:
    futures = [callers.append(b"a"), callers.append(b"b", b"c"), callers.append(), callers.append(b"d")]
    callers.commit()
    assert [future.result(WITHIN_S) for future in futures] == [range(0, 1), range(1, 3), range(3, 3), range(3, 4)]
    assert (callers.gate.entries, callers.gate.commits) == ([b"a", b"b", b"c", b"d"], [4])


def test_a_failed_commit_is_told_to_each_of_its_callers_and_to_no_other(callers: Callers) -> None:
    failed = [callers.append(b"a"), callers.append(b"b")]
    callers.gate.fail_commit = ApplianceError(codes.WRITE_FAILED, "cannot write: disk full", where="/log")
    callers.commit()
    errors = [error_of(future) for future in failed]
    assert [(error.code.id, error.message, error.where) for error in errors] == [
        ("APL-BASE-002", "cannot write: disk full", "/log")
    ] * 2
    assert errors[0] is not errors[1]
    later = callers.append(b"c")
    callers.commit()
    assert later.result(WITHIN_S) == range(0, 1)
    assert callers.gate.entries == [b"c"]


def test_a_lock_that_cannot_be_had_is_told_to_the_leader_alone(callers: Callers) -> None:
    leader, other = callers.append(b"a"), callers.append(b"b")
    callers.gate.fail_lock = ApplianceError(codes.WRITE_FAILED, "cannot lock: no locks", where="/log/lock")
    callers.commit()
    assert error_of(leader).message == "cannot lock: no locks"
    assert not other.done()
    callers.commit()
    assert other.result(WITHIN_S) == range(0, 1)
    assert callers.gate.entries == [b"b"]


def test_an_interrupted_leader_leaves_nobody_waiting(callers: Callers) -> None:
    leader, other = callers.append(b"a"), callers.append(b"b")
    callers.gate.fail_commit = KeyboardInterrupt()
    callers.commit()
    assert isinstance(leader.exception(WITHIN_S), KeyboardInterrupt)
    assert error_of(other).message == "the append was interrupted"
    later = callers.append(b"c")
    callers.commit()
    assert later.result(WITHIN_S) == range(0, 1)


def test_who_is_interrupted_while_waiting_is_not_written(callers: Callers) -> None:
    leader = callers.append(b"a")

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            callers.group.append([b"b"])
    finally:
        signal.signal(signal.SIGALRM, before)
    callers.commit()
    assert leader.result(WITHIN_S) == range(0, 1)
    assert callers.gate.entries == [b"a"]


def test_a_too_large_entry_fails_its_own_caller_only(tmp_path: Path) -> None:
    log = TransparencyLog(tmp_path, "log.test", keys.generate("ed25519"))
    log.create()
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(log.append, [b"x" * (65_536 if number == 3 else 10)]) for number in range(8)]
        codes_ = [getattr(future.exception(), "code", None) for future in futures]
    assert [code.id if code else "" for code in codes_] == ["", "", "", "APL-TRUST-001", "", "", "", ""]
    assert log.size() == 7


def test_many_threads_and_writers_that_read_first_share_one_log(tmp_path: Path) -> None:
    """Every call's entries stay together, where its range says, beside appends under `writing`."""
    log = TransparencyLog(tmp_path, "log.test", keys.generate("ed25519"))
    log.create()

    def appends(name: int) -> list[tuple[range, list[bytes]]]:
        told = []
        for number in range(20):
            batch = [b"%d.%d.%d" % (name, number, index) for index in range(number % 4)]
            told.append((log.append(batch), batch))
        return told

    def reads_first() -> list[tuple[range, list[bytes]]]:
        told = []
        for _ in range(10):
            with log.writing() as writer:
                entry = b"seen %d" % writer.checkpoint().size
                told.append((writer.append([entry]), [entry]))
        return told

    with ThreadPoolExecutor(9) as pool:
        futures = [pool.submit(reads_first), *(pool.submit(appends, name) for name in range(8))]
        told = [each for future in futures for each in future.result()]
    entries = list(log.entries())
    assert len(entries) == sum(len(batch) for _, batch in told)
    assert all(entries[indexes.start : indexes.stop] == batch for indexes, batch in told)
    assert all(entry == b"seen %d" % index for index, entry in enumerate(entries) if entry.startswith(b"seen"))
    assert log.fsck().ok
