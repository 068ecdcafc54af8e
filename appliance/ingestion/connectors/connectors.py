"""The connectors of a site: what is declared, where each stands, and running one.

Those of kinds rest and mqtt are run here, and have a state in the site. Those of kind changes are run by Kafka Connect
(`appliance.ingestion.changes.captures`): they are added to it, and a run takes what it has brought.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.base.clock import Clock, rfc3339
from appliance.base.duration import parse_duration
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion.changes.captures import Added, Captures, CaptureStatus
from appliance.ingestion.changes.declaration import Changes
from appliance.ingestion.changes.source import Objection
from appliance.ingestion.changes.worker import ChangeReport
from appliance.ingestion.connectors import codes
from appliance.ingestion.connectors.declaration import Declaration, load_all, secret_of
from appliance.ingestion.connectors.delivery import Delivery, Failure
from appliance.ingestion.connectors.run import Limits, Report, run
from appliance.ingestion.connectors.source import Connector
from appliance.ingestion.drop import Drops
from appliance.secrets.secret import Secret
from appliance.secrets.settings import Secrets

_STALLED_ROWS = 10  # fewer than the messages under way that brokers allow where they allow few (20 to 32)
_BATCH_BYTES = 32 * 1024 * 1024  # a file that is read in one piece downstream


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a connector stands; `files` and `rows` since its state began. `pending`: a batch waits for the next run."""

    name: str
    kind: str
    mapping: str
    description: str
    paused: bool
    files: int
    rows: int
    pending: bool
    cursor: Any
    last_error: dict[str, str] | None


class Connectors:
    def __init__(
        self,
        *,
        site_folder: Path,
        state_folder: Path,
        declarations_folder: Path,
        captures: Callable[[], Captures],
        drops: Drops,
        secrets: Secrets,
        max_file_bytes: int,
        clock: Clock,
    ) -> None:
        self._site_folder = site_folder
        self._state_folder = state_folder
        self._declarations = declarations_folder / "connectors"
        self._captures = captures
        self._drops = drops
        self._secrets = secrets
        self._max_file_bytes = max_file_bytes
        self._clock = clock

    def all(self) -> tuple[Status | CaptureStatus, ...]:
        """Raises APL-CONN-001 when a declaration is not valid, APL-CONN-004 when a state cannot be read.

        Of a connector of changes whose Connect or source does not answer, the state says so.
        """
        found: list[Status | CaptureStatus] = []
        for name, declared in load_all(self._declarations).items():
            try:
                found.append(self._status(name, declared))
            except ApplianceError as error:
                if declared.changes is None:
                    raise
                found.append(
                    CaptureStatus(
                        name=name,
                        description=declared.description,
                        tables=declared.changes.tables,
                        state="unknown",
                        reason=str(error),
                    )
                )
        return tuple(found)

    def status(self, name: str) -> Status | CaptureStatus:
        """Raises APL-CONN-002 when it is not declared; else as `all`, and as `Captures.status`."""
        return self._status(name, self._declaration(name))

    def pause(self, name: str) -> None:
        """Not run again until `resume`; a run that is under way ends after its batch."""
        declared = self._declaration(name)
        if declared.changes is not None:
            self._captures().pause(name)
        else:
            self._delivery(name, declared).pause()

    def resume(self, name: str) -> None:
        declared = self._declaration(name)
        if declared.changes is not None:
            self._captures().resume(name, declared.changes)
        else:
            self._delivery(name, declared).resume()

    def objections(self, name: str) -> tuple[Objection, ...]:
        """What the source of a connector of changes lacks. Raises as `add`."""
        return self._captures().objections(self._changes(name))

    def add(self, name: str, progress: Progress | None = None) -> Added:
        """Have Connect capture the source. Raises APL-CONN-002, APL-CONN-015, and as `Captures.add`."""
        return self._captures().add(name, self._changes(name), progress)

    def restart(self, name: str, *, snapshot: bool) -> None:
        """Start it anew in Connect. Raises as `add`."""
        self._captures().restart(name, self._changes(name), snapshot=snapshot)

    def remove(self, name: str) -> None:
        """Take it out of Connect, and its slot out of the source. Raises as `add`."""
        self._captures().remove(name, self._changes(name))

    def is_captured(self, name: str) -> bool:
        """Whether it is of kind changes. Raises APL-CONN-001, 002."""
        return self._declaration(name).changes is not None

    def take(
        self,
        name: str,
        *,
        until_end: bool,
        stop: Callable[[], bool],
        progress: Progress | None = None,
    ) -> ChangeReport:
        """Changes that Connect has brought, into the tables. Raises as `Captures.take`."""
        return self._captures().take(name, self._changes(name), until_end=until_end, stop=stop, progress=progress)

    def run(self, name: str, *, seconds: float | None, progress: Progress | None = None) -> Report:
        """Deliver what the source has, until it is empty (`seconds` None) or for so long.

        Raises:
            ApplianceError: of this room's codes; APL-BASE-006 when another process runs it. The error is kept in the
                connector's state; what was delivered stays, and the next run goes on from there.
        """
        declared = self._declaration(name)
        mapping = self._drops.mapping(declared.mapping)
        where = str(self._declarations / f"{name}.toml")
        if mapping.format != "jsonl":
            raise ApplianceError(
                codes.INVALID, f"mapping: {declared.mapping!r} is of format {mapping.format}, not jsonl", where=where
            )
        limits = _limits(declared, min(_BATCH_BYTES, self._max_file_bytes // 2))
        if declared.rest is not None and declared.rest.max_page_bytes > self._max_file_bytes // 2:
            raise ApplianceError(
                codes.INVALID, f"rest.max_page_bytes: at most half of {self._max_file_bytes} (ingest.max_file_bytes)",
                where=where,
            )  # fmt: skip
        self._drops.spool(declared.mapping, mapping)  # makes its folders
        delivery = self._delivery(name, declared)
        if delivery.paused:
            raise ApplianceError(codes.PAUSED, f"{name} is paused")
        with delivery.exclusive():
            try:
                report = run(self._open(declared), delivery, limits, seconds=seconds, progress=progress or NoProgress())
            except ApplianceError as error:
                self._keep(delivery, error)
                raise
            delivery.failed(delivery.state(), None)
        return report

    def _keep(self, delivery: Delivery, error: ApplianceError) -> None:
        failure = Failure(code=error.code.id, message=str(error), at=rfc3339(self._clock.now()))
        with contextlib.suppress(ApplianceError):  # the first error is the one to tell
            delivery.failed(delivery.state(), failure)

    def _open(self, declared: Declaration) -> Connector:
        # Each library is loaded for its own kind only.
        if declared.mqtt is not None:
            from appliance.ingestion.connectors.mqtt import MqttSource

            return MqttSource(declared.mqtt, self._site_folder, self._secret(declared))
        from appliance.ingestion.connectors.rest import RestSource

        assert declared.rest is not None, "the kind's section is there"
        return RestSource(declared.rest, self._site_folder, self._secret(declared))

    def _secret(self, declared: Declaration) -> Secret | None:
        """Raises APL-SECRETS-001."""
        text = secret_of(declared)
        return self._secrets.named(text) if text else None

    def _declaration(self, name: str) -> Declaration:
        found = load_all(self._declarations)
        if name not in found:
            raise ApplianceError(codes.UNKNOWN, f"expected one of {', '.join(found) or 'none'}, got {name!r}")
        return found[name]

    def _changes(self, name: str) -> Changes:
        declared = self._declaration(name)
        if declared.changes is None:
            raise ApplianceError(codes.NOT_CAPTURED, f"{name} is of kind {declared.kind}")
        return declared.changes

    def _delivery(self, name: str, declared: Declaration) -> Delivery:
        return Delivery(self._state_folder / name, name, self._drops.incoming(declared.mapping))

    def _status(self, name: str, declared: Declaration) -> Status | CaptureStatus:
        if declared.changes is not None:
            return self._captures().status(name, declared.changes, declared.description)
        delivery = self._delivery(name, declared)
        state = delivery.state()
        error = state.last_error
        return Status(
            name=name,
            kind=declared.kind,
            mapping=declared.mapping,
            description=declared.description,
            paused=delivery.paused,
            files=state.files,
            rows=state.rows,
            pending=state.pending is not None,
            cursor=state.cursor,
            last_error=None if error is None else {"code": error.code, "message": error.message, "at": error.at},
        )


def _limits(declared: Declaration, max_bytes: int) -> Limits:
    age_s = parse_duration(declared.batch_time).total_seconds()
    if declared.mqtt is not None:
        # The broker sends no more than this until we acknowledge.
        rows = min(declared.batch_rows, declared.mqtt.receive_maximum)
        return Limits(rows=rows, bytes=max_bytes, age_s=age_s, stalled_rows=min(rows, _STALLED_ROWS), poll_s=0.0)
    assert declared.rest is not None, "the kind's section is there"
    poll_s = parse_duration(declared.rest.poll).total_seconds()
    return Limits(rows=declared.batch_rows, bytes=max_bytes, age_s=age_s, stalled_rows=1, poll_s=poll_s)
