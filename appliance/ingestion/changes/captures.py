"""The connectors of kind changes: adding one to Connect, how it stands, stopping and starting it, taking its changes.

The declaration in its file is what counts; Connect is given it anew by every `add`. Of a connector the site keeps one
file, ``connectors/NAME/captured.json``: the tables for which a snapshot was asked for.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from appliance.base import atomic
from appliance.base.clock import Clock
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion.changes import alerts, codes
from appliance.ingestion.changes.configuration import configuration
from appliance.ingestion.changes.connect import KafkaConnect, Running
from appliance.ingestion.changes.declaration import Changes, excluded_of, slot_of, topic_of
from appliance.ingestion.changes.event import Reader
from appliance.ingestion.changes.slot import gap, place_of, text_of
from appliance.ingestion.changes.source import Objection, SourceDatabase
from appliance.ingestion.changes.worker import ChangeReport, ChangeWorker
from appliance.ingestion.topics.connection import Connection
from appliance.observability.alerts import Alerts
from appliance.secrets.secret import FileSecret
from appliance.storage.tables import Lake

_log = logging.getLogger(__name__)

START_S = 60.0  # of a connector that was added: its slot is made when transactions that run at the source have ended
SETTLE_S = 5.0  # a task that is started anew is told as failed for a moment
_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class CaptureStatus:
    """How a connector stands.

    Attributes:
        tables: table of the source -> its name in the lake.
        state: running, paused, failed, "not added", or Connect's own word for what is in between.
        reason: of a failure.
        captured: up to where changes are in Kafka, as PostgreSQL writes it; empty before the first.
        slot: up to where the slot has been confirmed.
        held_bytes: of log that the source keeps for us.
        snapshot: whether one is under way.
        gap: what was lost; empty where nothing was.
    """

    name: str
    description: str
    tables: Mapping[str, str]
    state: str
    reason: str = ""
    captured: str = ""
    slot: str = ""
    held_bytes: int = 0
    snapshot: bool = False
    gap: str = ""
    kind: str = "changes"


@dataclass(frozen=True, kw_only=True)
class Added:
    """What `add` did: the tables for which a snapshot was asked for now."""

    snapshot_of: tuple[str, ...]


class Captures:
    """`connect` and `kafka` are asked for when they are needed."""

    def __init__(
        self,
        *,
        connect: Callable[[], KafkaConnect],
        kafka: Callable[[], Connection],
        site_folder: Path,
        state_folder: Path,
        standing_folder: Path,
        lake: Lake,
        alerts: Alerts,
        clock: Clock,
        commit_after_s: float,
    ) -> None:
        self._connect = connect
        self._kafka = kafka
        self._site_folder = site_folder
        self._state_folder = state_folder
        self._standing_folder = standing_folder
        self._lake = lake
        self._alerts = alerts
        self._clock = clock
        self._commit_after_s = commit_after_s

    def objections(self, changes: Changes) -> tuple[Objection, ...]:
        """What the source lacks. Raises ApplianceError APL-CHANGE-006."""
        return self._source(changes).objections()

    def add(self, name: str, changes: Changes, progress: Progress | None = None) -> Added:
        """Have Connect capture the source as it is declared; new tables are read from their start.

        Done again it changes what was declared otherwise since, and nothing else.

        Raises:
            ApplianceError: APL-CHANGE-001 to 004; APL-CHANGE-006; APL-CHANGE-007, with all that the source lacks;
                APL-CHANGE-011 changes were lost since it was captured.
        """
        progress = progress or NoProgress()
        progress.begin("capturing", None)
        connect, source = self._connect(), self._source(changes)
        lacking = source.objections()
        if lacking:
            raise ApplianceError(
                codes.SOURCE_UNFIT, "; ".join(f"({each.number}) {each.message}" for each in lacking), where=name
            )
        self._refuse_gap(name, changes)
        self._give(name, connect, configuration(name, changes, self._site_folder))
        self._await_start(name, connect, source)
        new = tuple(each for each in changes.tables if each not in self._captured(name))
        if new:
            self._ask_for_snapshot(name, source, new)
        return Added(snapshot_of=new)

    def status(self, name: str, changes: Changes, description: str = "") -> CaptureStatus:
        """Raises ApplianceError APL-CHANGE-001 to 004, APL-CHANGE-006."""
        known = CaptureStatus(name=name, description=description, tables=changes.tables, state="not added")
        try:
            running = self._connect().running(name)
        except ApplianceError as error:
            if error.code != codes.NOT_ADDED:
                raise
            return known
        # Both move on while we ask, the slot behind Connect's place and that behind the end of the log: in this order
        # a slot that stands further than the place was never behind it.
        source = self._source(changes)
        slot = source.slot(slot_of(name))
        place = place_of(self._connect().offsets(name))
        slot = replace(slot, log_end_lsn=source.slot(slot_of(name)).log_end_lsn)
        return replace(
            known,
            state=_state(running),
            reason=running.reason,
            captured=text_of(place.lsn) if place else "",
            slot=text_of(slot.confirmed_lsn) if slot.confirmed_lsn is not None else "",
            held_bytes=slot.held_bytes,
            snapshot=place.snapshot if place else False,
            gap=gap(slot, place),
        )

    def pause(self, name: str) -> None:
        """Changes wait at the source, which keeps its log for them."""
        self._connect().stop(name)

    def resume(self, name: str, changes: Changes) -> None:
        """Raises also APL-CHANGE-011."""
        self._refuse_gap(name, changes)
        self._connect().resume(name)

    def restart(self, name: str, changes: Changes, *, snapshot: bool) -> None:
        """Start it anew, with `snapshot` also reading all rows again. Raises also APL-CHANGE-011."""
        self._refuse_gap(name, changes)
        connect, source = self._connect(), self._source(changes)
        connect.restart(name)
        if snapshot:
            self._await_start(name, connect, source)
            self._ask_for_snapshot(name, source, tuple(changes.tables))

    def remove(self, name: str, changes: Changes) -> None:
        """Take it out of Connect and let the source forget it; topics and tables stay as they are."""
        try:
            self._connect().remove(name)
        except ApplianceError as error:
            if error.code != codes.NOT_ADDED:  # it was taken out by a call that ended before the slot was dropped
                raise
        source, slot, end_s = self._source(changes), slot_of(name), time.monotonic() + START_S
        while not source.drop_slot(slot):  # Connect's task lets go of it a moment after it is gone
            if time.monotonic() > end_s:
                raise ApplianceError(codes.SOURCE_UNREACHABLE, f"somebody reads the slot {slot}")
            time.sleep(_POLL_S)
        self._state_file(name).unlink(missing_ok=True)

    def take(
        self,
        name: str,
        changes: Changes,
        *,
        until_end: bool,
        stop: Callable[[], bool],
        progress: Progress | None = None,
    ) -> ChangeReport:
        """Changes from the topics into the tables. Raises as `ChangeWorker.run`."""
        worker = ChangeWorker(
            connection=self._kafka(),
            topics={topic_of(name, source): table for source, table in changes.tables.items()},
            readers={topic_of(name, source): Reader(excluded_of(changes, source)) for source in changes.tables},
            lake=self._lake,
            commit_after_s=self._commit_after_s,
            look=lambda: self._look(name, changes),
            standing_folder=self._standing_folder,
            clock=self._clock,
        )
        return worker.run(until_end=until_end, stop=stop, progress=progress)

    def _look(self, name: str, changes: Changes) -> None:
        """Tell of a gap and of a failure. What is in Kafka is taken also while Connect or the source is away."""
        try:
            found = self.status(name, changes)
        except ApplianceError as error:
            _log.warning("the source of %s cannot be looked at: %s", name, error)
            return
        self._stop_at_gap(found)
        if found.state == "failed":
            self._alerts.record([alerts.connector_failed(name, found.reason, self._clock.now())])

    def _refuse_gap(self, name: str, changes: Changes) -> None:
        self._stop_at_gap(self.status(name, changes))

    def _stop_at_gap(self, found: CaptureStatus) -> None:
        """Raises ApplianceError APL-CHANGE-011, after the alert."""
        if found.gap:
            self._alerts.record([alerts.lsn_gap(found.name, found.gap, found.captured, self._clock.now())])
            raise ApplianceError(codes.GAP, found.gap, where=found.name)

    def _give(self, name: str, connect: KafkaConnect, wanted: Mapping[str, str]) -> None:
        """Give Connect the configuration. What runs by another one is stopped first: a signal that is asked for next
        must be seen by the new one, and a task that is given another configuration runs on by the old for a while.
        """
        try:
            known = connect.configuration(name)
        except ApplianceError as error:
            if error.code != codes.NOT_ADDED:
                raise
            connect.put(name, wanted)
            return
        if known != {**wanted, "name": name}:
            connect.stop(name)
            self._await(name, connect, lambda running: running.state == "STOPPED" and not running.task)
            connect.put(name, wanted)
        connect.resume(name)

    def _await(self, name: str, connect: KafkaConnect, holds: Callable[[Running], bool]) -> None:
        """Until the connector is so. Connect tells of one that is new once its own topic has come round."""
        running, began_s = Running(state="", task="", reason=""), time.monotonic()
        while (waited_s := time.monotonic() - began_s) < START_S:
            try:
                running = connect.running(name)
            except ApplianceError as error:
                if error.code != codes.NOT_ADDED:
                    raise
            if running.task == "FAILED" and waited_s > SETTLE_S:
                raise ApplianceError(codes.CONNECT_REFUSED, running.reason, where=name)
            if holds(running):
                return
            time.sleep(_POLL_S)
        message = f"after {START_S:.0f} s it is {running.state or 'not there'}, its task {running.task or 'not there'}"
        raise ApplianceError(codes.CONNECT_REFUSED, message, where=name)

    def _await_start(self, name: str, connect: KafkaConnect, source: SourceDatabase) -> None:
        """Until its task runs and the slot is there: a signal that was written before would not be seen."""
        self._await(
            name,
            connect,
            lambda running: running.task == "RUNNING" and source.slot(slot_of(name)).confirmed_lsn is not None,
        )

    def _ask_for_snapshot(self, name: str, source: SourceDatabase, tables: tuple[str, ...]) -> None:
        # Asked first: a crash before it is written down has the rows read twice, which changes nothing.
        source.ask_for_snapshot(tables, f"appliance-{secrets.token_hex(8)}")
        captured = sorted({*self._captured(name), *tables})
        self._state_file(name).parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(self._state_file(name), msgspec.json.encode({"tables": captured}))

    def _captured(self, name: str) -> frozenset[str]:
        path = self._state_file(name)
        if not path.is_file():
            return frozenset()
        try:
            found: Mapping[str, list[str]] = msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])
            return frozenset(found["tables"])
        except (msgspec.DecodeError, KeyError):
            return frozenset()  # then the rows are read again, which changes nothing

    def _state_file(self, name: str) -> Path:
        return self._state_folder / name / "captured.json"

    def _source(self, changes: Changes) -> SourceDatabase:
        return SourceDatabase(changes, self._site_folder, FileSecret(self._site_folder / changes.password_file))


def _state(running: Running) -> str:
    if "FAILED" in (running.state, running.task):
        return "failed"
    if running.state == "STOPPED":
        return "paused"
    return (running.task or "starting").lower() if running.state == "RUNNING" else running.state.lower()
