"""What a playbook tells (the callback ``json_lines``), added up for people. Pure.

Words that are Ansible's own and no event are kept for the case that it fails before the first task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OWN_WORDS = 20  # last lines of Ansible's own that are kept


@dataclass(frozen=True, kw_only=True)
class Failure:
    host: str
    role: str
    task: str
    message: str

    def text(self) -> str:
        place = f"{self.role}: {self.task}" if self.role else self.task
        return f"{self.host}, {place}: {self.message}"


@dataclass(kw_only=True)
class HostSum:
    """Tasks by status; `seconds` is what its tasks took."""

    ok: int = 0
    changed: int = 0
    skipped: int = 0
    failed: int = 0
    ignored: int = 0
    seconds: float = 0.0

    @property
    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "seconds": round(self.seconds, 1)}


@dataclass(kw_only=True)
class Told:
    """What was told so far.

    Attributes:
        task: that which is at work.
    """

    hosts: dict[str, HostSum] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    task: str = ""

    def take(self, line: str) -> str:
        """Add a line; gives what a person who waits is told, which may be nothing."""
        event = _event(line)
        kind = event.get("event") if event else None
        if event is None or kind is None:
            self.words = [*self.words, line.rstrip()][-OWN_WORDS:]
            return ""
        if kind == "play":
            return f"{event['name']}"
        if kind == "task":
            self.task = _named(event)
        if kind == "summary":
            for host in event["hosts"]:
                self.hosts.setdefault(host, HostSum())
        return self._result(event) if kind == "result" else ""

    def _result(self, event: Mapping[str, Any]) -> str:
        host = self.hosts.setdefault(event["host"], HostSum())
        status, seconds = event["status"], float(event["seconds"])
        setattr(host, status, getattr(host, status) + 1)
        host.seconds += seconds
        if status == "failed":
            self.failures.append(
                Failure(host=event["host"], role=event["role"], task=event["task"], message=event["message"])
            )
        if status in ("ok", "skipped"):
            return ""
        shown = f"  {event['host']} {status:<8} {_named(event)} ({seconds:.1f} s)"
        return f"{shown}\n{event['diff'].rstrip()}" if event["diff"].strip() else shown


def _named(event: Mapping[str, Any]) -> str:
    return f"{event['role']}: {event['task']}" if event["role"] else str(event["task"])


def _event(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
