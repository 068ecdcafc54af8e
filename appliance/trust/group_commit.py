"""Callers of one process that share a durable commit.

Rules
1. A caller queues its entries. When nobody leads it leads; otherwise it waits.
2. The leader takes the log's kernel lock first and the queue second: whoever came while another process held the log is
   in its group. A group is committed once, in the order of arrival, the entries of one caller together.
3. The leader goes after one commit, whatever has queued meanwhile; one of those who wait leads next.
4. A commit that fails is told to every caller of its group, each with an error of its own. A lock that cannot be had
   is told to the leader alone: nobody's entries were tried but its own.

Processes do not share a commit: they take turns at the kernel lock, each with all that its own threads have queued.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from appliance.base import codes
from appliance.base.errors import ApplianceError


class Committer(Protocol):
    """What the lock gives: it makes entries durable and tells their indexes."""

    def append(self, entries: Sequence[bytes]) -> range: ...


@dataclass(eq=False)
class _Call:
    entries: Sequence[bytes]
    indexes: range | None = None
    error: ApplianceError | None = None

    @property
    def ended(self) -> bool:
        return self.indexes is not None or self.error is not None

    def result(self) -> range:
        if self.error is not None:
            raise self.error
        assert self.indexes is not None
        return self.indexes


class GroupCommit:
    """The queue before a log; `hold` takes the log's kernel lock."""

    def __init__(self, hold: Callable[[], AbstractContextManager[Committer]]) -> None:
        self._hold = hold
        self._changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._leading = False

    def append(self, entries: Sequence[bytes]) -> range:
        """Returns when the entries are durable.

        Raises:
            ApplianceError: of `hold` and of the commit.
        """
        call = _Call(entries)
        with self._changed:
            self._waiting.append(call)
            try:
                while self._leading and not call.ended:
                    self._changed.wait()
            except BaseException:
                self._withdraw(call)  # interrupted before a leader took it: then it must not be written either
                raise
            if call.ended:
                return call.result()
            self._leading = True
        self._lead(call)
        return call.result()

    def _lead(self, call: _Call) -> None:
        group = [call]
        try:
            with self._hold() as log:
                with self._changed:
                    group, self._waiting = self._waiting, []
                indexes = log.append([entry for each in group for entry in each.entries])
            start = indexes.start
            for each in group:
                each.indexes = range(start, start + len(each.entries))
                start += len(each.entries)
        except ApplianceError as error:
            for each in group:
                each.error = ApplianceError(error.code, error.message, where=error.where, hint=error.hint)
                each.error.__cause__ = error
        finally:
            with self._changed:
                self._withdraw(call)
                for each in group:
                    if not each.ended:  # Ctrl-C in the leader, for one: whether they are in the log is open
                        each.error = ApplianceError(codes.WRITE_FAILED, "the append was interrupted")
                self._leading = False
                self._changed.notify_all()

    def _withdraw(self, call: _Call) -> None:
        if call in self._waiting:
            self._waiting.remove(call)
