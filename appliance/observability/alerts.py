"""Alerts: what a person should look at, kept as JSON lines.

Rules
1. An alert has a key that says what it is about; raising it again changes nothing. Work that is repeated after a crash
   therefore raises nothing twice.
2. The file is replaced crash-safely, under a lock; it holds every alert ever raised, oldest first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from appliance.base import atomic

Severity = Literal["info", "warning", "critical"]
FILE_NAME = "alerts.jsonl"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Attributes:
    code: kind of alert, for example ``FORMAT``.
    severity: info, warning or critical.
    subject: what it is about, for example ``device tx-0042``.
    message: what happened with both values, for people.
    at: RFC 3339, when the thing that it is about happened.
    key: identity; one alert per key.
    facts: JSON, for programs.
    """

    code: str
    severity: Severity
    subject: str
    message: str
    at: str
    key: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Alerts:
    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def record(self, alerts: Iterable[Alert]) -> tuple[Alert, ...]:
        """Keep those whose key is new; gives them.

        Raises:
            ApplianceError: APL-BASE-002, none was kept.
        """
        wanted: dict[str, Alert] = {}
        for alert in alerts:
            wanted.setdefault(alert.key, alert)
        if not wanted:
            return ()
        with atomic.exclusive(self._path.with_suffix(".lock")):
            old = self._path.read_bytes() if self._path.is_file() else b""
            known = {json.loads(line)["key"] for line in old.splitlines()}
            new = tuple(alert for key, alert in wanted.items() if key not in known)
            if new:
                lines = b"".join(json.dumps(asdict(alert), sort_keys=True).encode() + b"\n" for alert in new)
                atomic.write_bytes(self._path, old + lines)
        return new

    def all(self) -> tuple[Alert, ...]:
        """Oldest first."""
        if not self._path.is_file():
            return ()
        return tuple(Alert(**json.loads(line)) for line in self._path.read_bytes().splitlines())
