"""Quarantine: what is in it, and bringing readings in after a fix.

Reparse in two commits (docs/explanation/commit_protocol.md): readings that pass now go to silver, then they leave
quarantine. Rules
1. Only readings of the reasons in `FIXABLE` are tried: those that a decoder or a declaration can be the cause of.
   The first by position still wins, so duplicates stay. What passes the rules must hold the checks for the sink, too.
2. Only items that every table has taken are touched. The spool is held, so that one reparse works at a time; workers
   on topics may commit meanwhile, and who loses the race for a table judges again.
3. Killed between the two commits, the next reparse finds the readings in silver, adds none, and finishes the removal.
4. ``arrived_at`` of what comes in is the time of the reparse: nobody could know it before.
5. What does not pass stays as it is, with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from appliance.base.clock import from_us, rfc3339, to_us
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.ingestion import codes, declarations, rows
from appliance.ingestion.batch import Readings, check, select_readings, side_by_side
from appliance.ingestion.chunk import Chunk
from appliance.ingestion.commit import RACES, Landing, gate_of
from appliance.ingestion.decode import Limits
from appliance.ingestion.history import Flags, ReadingHistory
from appliance.ingestion.ledger import REPARSE
from appliance.ingestion.raw_object import chunks_of
from appliance.ingestion.reasons import BY_CODE
from appliance.ingestion.rules import OK, Rulebook, classify
from appliance.ingestion.seen import KeySet
from appliance.ingestion.sink import Sink
from appliance.storage import names
from appliance.storage.tables import LINEAGE, CommitLost, Lake

if TYPE_CHECKING:
    from appliance.ingestion.gates.sink import SinkGate

FIXABLE = ("EVENT_TIME", "MEASURE", "UNIT", "RANGE", "QUALITY", "STUCK", "CONTRACT")
FILES_PER_COMMIT = 64  # items with quarantined readings, and what else lies in their raw objects; bounds memory


@dataclass(frozen=True, kw_only=True)
class Group:
    """Quarantined rows of one reason: how many, of how many devices and files, when they arrived."""

    code: str
    title: str
    rows: int
    devices: int
    files: int
    first_arrived_at: str
    last_arrived_at: str


@dataclass(frozen=True, kw_only=True)
class ReparseReport:
    """`tried` readings of `files` files were decoded again; `accepted` are in silver now, by firmware."""

    tried: int = 0
    accepted: int = 0
    files: int = 0
    by_firmware: Mapping[str, int] = field(default_factory=dict)
    commits: int = 0


def summarize(lake: Lake) -> tuple[Group, ...]:
    """What is in quarantine: one group per reason, most rows first."""
    if names.QUARANTINE not in lake.tables():
        return ()
    found = lake.scan(names.QUARANTINE, columns=("code", "device_id", "source", "position", "arrived_at"))
    grouped = found.group_by("code").aggregate(
        [([], "count_all"), ("device_id", "count_distinct"), ("position", "count_distinct"),
         ("arrived_at", "min"), ("arrived_at", "max")]
    )  # fmt: skip
    groups = (
        Group(
            code=each["code"],
            title=BY_CODE[each["code"]].title if each["code"] in BY_CODE else each["code"],
            rows=each["count_all"],
            devices=each["device_id_count_distinct"],
            files=each["position_count_distinct"],
            first_arrived_at=rfc3339(each["arrived_at_min"]),
            last_arrived_at=rfc3339(each["arrived_at_max"]),
        )
        for each in grouped.to_pylist()
    )
    return tuple(sorted(groups, key=lambda group: (-group.rows, group.code)))


class Quarantine:
    def __init__(self, *, landing: Landing, sink: Sink, declarations_folder: Path) -> None:
        self._lake = landing.lake
        self._landing = landing
        self._sink = sink
        self._declarations_folder = declarations_folder
        settings = landing.settings
        self._limits = Limits(max_file_bytes=settings.max_file_bytes, max_expansion=settings.max_expansion)

    def summary(self) -> tuple[Group, ...]:
        """One group per reason, most rows first."""
        return summarize(self._lake)

    def rows(self, code: str, *, device_id: str | None = None, limit: int = 20) -> pa.Table:
        """The first rows of a reason, by position.

        Raises:
            ApplianceError: APL-INGEST-007.
        """
        if code not in BY_CODE:
            raise ApplianceError(codes.REASON_UNKNOWN, f"expected one of {', '.join(BY_CODE)}, got {code!r}")
        if names.QUARANTINE not in self._lake.tables():
            return rows.QUARANTINE.empty_table()
        found = self._lake.scan(names.QUARANTINE, where=f"code = '{code}'")
        if device_id is not None:
            found = found.filter(pc.equal(found["device_id"], device_id))
        ordered = found.sort_by([(name, "ascending") for name in ("source", "position", "record", "index")])
        return ordered.slice(0, limit)

    def reparse(self, *, progress: Progress | None = None) -> ReparseReport:
        """Decode refused readings again with the declarations of now, and let in those that pass.

        Raises:
            ApplianceError: see `Sink.run`.
        """
        progress = progress or NoProgress()
        declared = declarations.load(self._declarations_folder)
        if names.QUARANTINE not in self._lake.tables():
            return ReparseReport()
        with self._sink.spool.exclusive():
            now_us = to_us(self._sink.checked_now())
            waiting = self._waiting()
            progress.begin("reparse files", len(waiting))
            history, gate = ReadingHistory(self._lake), gate_of(self._landing, declared)
            report = ReparseReport()
            for some in _portions(waiting):
                report = self._retried(some, declared, history, gate, now_us, report)
                progress.advance(len(some))
            return report

    def _waiting(self) -> list[dict[str, Any]]:
        """Items with readings to try, by source, raw object and position: source, position, raw_digest."""
        reasons = ", ".join(f"'{code}'" for code in FIXABLE)
        found = self._lake.scan(
            names.QUARANTINE, columns=("source", "position", "raw_digest"), where=f"code in ({reasons}) and index >= 0"
        )
        silver = self._landing.positions(names.READINGS)
        items = found.group_by(["source", "position", "raw_digest"]).aggregate([]).to_pylist()
        done = (each for each in items if each["position"] < silver.of(each["source"]))
        return sorted(done, key=lambda each: (each["source"], each["position"]))

    def _retried(
        self,
        items: Sequence[dict[str, Any]],
        declared: declarations.Declared,
        history: ReadingHistory,
        gate: SinkGate | None,
        now_us: int,
        report: ReparseReport,
    ) -> ReparseReport:
        for _ in range(RACES):
            try:
                return self._some(items, declared, history, gate, now_us, report)
            except CommitLost:
                continue
        raise CommitLost(codes.STALE_BATCH, f"reparse: lost {RACES} races in a row")

    def _some(
        self,
        items: Sequence[dict[str, Any]],
        declared: declarations.Declared,
        history: ReadingHistory,
        gate: SinkGate | None,
        now_us: int,
        report: ReparseReport,
    ) -> ReparseReport:
        source, first, last = items[0]["source"], items[0]["position"], items[-1]["position"]
        where = f"source = '{source}' and position >= {first} and position <= {last}"
        reasons = ", ".join(f"'{code}'" for code in FIXABLE)
        refused = self._lake.scan(names.QUARANTINE, where=f"{where} and code in ({reasons}) and index >= 0")
        decoded = side_by_side(list(self._again(items)), declared.decoders.event_time_units())
        readings = _as_arrived(decoded, refused)
        identities = _identities(readings)
        tried = _among(identities, refused)
        judged = self._judge(readings, declared)
        inside = _among(identities, self._lake.scan(names.READINGS, columns=_IDENTITY, where=where))
        passes = tried & (judged == OK)
        if gate is not None:
            gate.read_keys()
            passes &= check(gate, readings, source, passes).first < 0
        head = self._lake.head(names.READINGS)
        new = passes & ~inside
        columns = readings.columns
        again = history.repeated(columns.device, columns.measure, columns.event_time, new, head.snapshot_id)
        new &= ~again
        leaves = new | (tried & inside)
        token = f"{now_us}:{first}:{last}"
        facts = {
            "source": source,
            "reparse": token,
            "measures": declared.measures.digest,
            **(gate.facts if gate is not None else {}),
            "at": rfc3339(from_us(now_us)),
        }
        inputs = [self._lake.head(names.QUARANTINE).properties[LINEAGE]]
        commits = 0
        if new.any():
            arrived = replace(readings, arrived_us=np.full(len(new), now_us, np.int64))
            commit = self._lake.append(
                names.READINGS,
                select_readings(arrived, source, new, rows.SILVER, {}),
                expected=head,
                properties={REPARSE: token},
                inputs=inputs,
                facts=facts,
            )
            history.committed(commit.snapshot_id)
            commits += 1
        if leaves.any():
            self._remove(readings, leaves, refused, f"{where} and code in ({reasons}) and index >= 0", inputs, facts)
            commits += 1
        firmware = Counter(columns.firmware.texts[code] for code in columns.firmware.codes[new].tolist())
        return ReparseReport(
            tried=report.tried + int(tried.sum()),
            accepted=report.accepted + int(new.sum()),
            files=report.files + len(items),
            by_firmware=dict(Counter(report.by_firmware) + firmware),
            commits=report.commits + commits,
        )

    def _remove(
        self,
        readings: Readings,
        leaves: Flags,
        refused: pa.Table,
        where: str,
        inputs: Sequence[str],
        facts: Mapping[str, Any],
    ) -> None:
        gone = KeySet(3)
        gone.add(_identities(readings), leaves)
        stays = refused.filter(pa.array(~gone.add(_row_identities(refused))))
        head = self._lake.head(names.QUARANTINE)
        token = self._lake.head(names.READINGS).properties[REPARSE]
        self._lake.replace(
            names.QUARANTINE,
            stays,
            expected=head,
            properties={REPARSE: token},
            inputs=[*inputs, self._lake.head(names.READINGS).properties[LINEAGE]],
            facts=facts,
            remove=where,
        )

    def _again(self, items: Sequence[Mapping[str, Any]]) -> Iterator[Chunk]:
        for digest, some in groupby(items, key=lambda each: str(each["raw_digest"])):
            data = self._landing.objects.read(digest)
            yield from chunks_of(data, self._limits, digest=digest, positions=[each["position"] for each in some])

    def _judge(self, readings: Readings, declared: declarations.Declared) -> Any:
        """Reasons by the rules of now."""
        place = np.unique(readings.position, return_inverse=True)[1]
        record = readings.table["record"].to_numpy().astype(np.int64)
        return classify(
            readings.columns,
            Rulebook.of(declared.measures),
            record_ids=place * (1 << 32) + record,
            arrived_us=readings.arrived_us,
            repeated=np.zeros(len(place), np.bool_),
        )


def _as_arrived(readings: Readings, refused: pa.Table) -> Readings:
    """With the time of arrival that each item had, which the bytes of a spool file do not tell; 0 without a row."""
    arrivals = dict(
        zip(refused["position"].to_pylist(), refused["arrived_at"].cast(pa.int64()).to_pylist(), strict=True)
    )
    items, place = np.unique(readings.position, return_inverse=True)
    arrived_of = np.array([arrivals.get(each, 0) for each in items.tolist()], np.int64)
    return replace(readings, arrived_us=arrived_of[place])


def _portions(items: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Items of one source each, whole raw objects, `FILES_PER_COMMIT` items or a few more."""
    portion: list[dict[str, Any]] = []
    for (source, _), some in groupby(items, key=lambda each: (each["source"], each["raw_digest"])):
        if portion and (portion[0]["source"] != source or len(portion) >= FILES_PER_COMMIT):
            yield portion
            portion = []
        portion += some
    if portion:
        yield portion


_IDENTITY = ("position", "record", "index")


def _identities(readings: Readings) -> Any:
    record, index = (readings.table[name].to_numpy().astype(np.int64) for name in ("record", "index"))
    return np.stack([readings.position, record, index], axis=1)


def _row_identities(table: pa.Table) -> Any:
    return np.stack([table[name].to_numpy().astype(np.int64) for name in _IDENTITY], axis=1)


def _among(identities: Any, table: pa.Table) -> Flags:
    """Which readings are rows of `table`."""
    there = KeySet(3)
    there.add(_row_identities(table))
    return there.add(identities)
