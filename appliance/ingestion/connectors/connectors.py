"""The connectors of a site: what is declared, where each stands, and running one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.base.clock import Clock, rfc3339
from appliance.base.duration import parse_duration
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion.connectors import codes
from appliance.ingestion.connectors.declaration import Declaration, load_all
from appliance.ingestion.connectors.delivery import Delivery, Failure
from appliance.ingestion.connectors.run import Limits, Report, run
from appliance.ingestion.connectors.source import Connector
from appliance.ingestion.drop import Drops

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
        drops: Drops,
        max_file_bytes: int,
        clock: Clock,
    ) -> None:
        self._site_folder = site_folder
        self._state_folder = state_folder
        self._declarations = declarations_folder / "connectors"
        self._drops = drops
        self._max_file_bytes = max_file_bytes
        self._clock = clock

    def all(self) -> tuple[Status, ...]:
        """Raises APL-CONN-001 when a declaration is not valid, APL-CONN-004 when a state cannot be read."""
        return tuple(self._status(name, declared) for name, declared in load_all(self._declarations).items())

    def status(self, name: str) -> Status:
        """Raises APL-CONN-002 when it is not declared; else as `all`."""
        return self._status(name, self._declaration(name))

    def pause(self, name: str) -> None:
        """Not run again until `resume`; a run that is under way ends after its batch."""
        self._delivery(name, self._declaration(name)).pause()

    def resume(self, name: str) -> None:
        self._delivery(name, self._declaration(name)).resume()

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

            return MqttSource(declared.mqtt, self._site_folder)
        from appliance.ingestion.connectors.rest import RestSource

        assert declared.rest is not None, "the kind's section is there"
        return RestSource(declared.rest, self._site_folder)

    def _declaration(self, name: str) -> Declaration:
        found = load_all(self._declarations)
        if name not in found:
            raise ApplianceError(codes.UNKNOWN, f"expected one of {', '.join(found) or 'none'}, got {name!r}")
        return found[name]

    def _delivery(self, name: str, declared: Declaration) -> Delivery:
        return Delivery(self._state_folder / name, name, self._drops.incoming(declared.mapping))

    def _status(self, name: str, declared: Declaration) -> Status:
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
