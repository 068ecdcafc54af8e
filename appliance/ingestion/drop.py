"""Drops: CSV, JSON-lines and Parquet files with a declared mapping, by the commit protocol; one file is one batch.

Rules
1. A drop spool ``spool/drops/NAME`` is a source ``spool:NAME`` like the one of readings: claimed, numbered, and
   taken by ``raw.drops``, ``quarantine.drops`` and the target table in this order, each from where it stands.
2. What quarantine took stands: after a crash the target takes the lines that are not in quarantine.
3. A file whose bytes came before (same digest, same mapping) is refused as a whole, as ``DUPLICATE``.
4. A mapping that cannot be read stops its own drops only after the others were taken.
5. What is, or may be, sensitive is sealed before anything of the file is stored (`sensitive.intake`); a file that waits
   for a declaration is taken again when the mapping has changed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from appliance.base import atomic
from appliance.base.clock import Clock, rfc3339, to_us
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.config.model import IngestSection
from appliance.governance.lineage import FileRecord
from appliance.ingestion import codes, drop_rows
from appliance.ingestion.commit import NEWEST_ARRIVAL, newer_arrival
from appliance.ingestion.drop_rows import DropRows, Refusal
from appliance.ingestion.mapping import Mapping, load_all
from appliance.ingestion.positions import PROPERTY, Batch, Positions, restart_point
from appliance.ingestion.rows import INSTANT
from appliance.ingestion.sensitive import codes as sensitive_codes
from appliance.ingestion.sensitive import intake
from appliance.ingestion.sensitive.intake import Intake
from appliance.ingestion.sensitive.sealing import is_sealed_file
from appliance.ingestion.sink import checked_now, refused_file_alerts
from appliance.ingestion.spool import ClaimedFile, Spool
from appliance.observability.alerts import Alert, Alerts
from appliance.storage import columns, names
from appliance.storage.codes import COMMIT_LOST
from appliance.storage.objects import ObjectStore
from appliance.storage.tables import LINEAGE, CommitLost, Lake, LineageWriter
from appliance.storage.upkeep import expire_when_due
from appliance.trust.data_keys import DataKeys

RAW = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("arrived_at", INSTANT, nullable=False),
        pa.field("mapping", pa.string(), nullable=False),
        pa.field("lines", pa.int64(), nullable=False),
        pa.field("content", pa.string()),
    ]
)
"""One row per dropped file; ``mapping`` is the digest of the mapping that it was read with, ``content`` the keyed hash
of a file that is kept sealed (null: it is kept as it came)."""

QUARANTINE = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("code", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("text", pa.string()),
        pa.field("arrived_at", INSTANT, nullable=False),
        pa.field("raw_digest", pa.string(), nullable=False),
    ]
)
"""Refused lines; ``line`` is null where the whole file is refused."""


@dataclass(frozen=True, kw_only=True)
class DropReport:
    """`files` taken, `lines` in them, `accepted` rows, and `refused` lines and files by reason code."""

    files: int = 0
    lines: int = 0
    accepted: int = 0
    refused: MappingOf[str, int] = field(default_factory=dict)
    refused_files: int = 0
    alarms: tuple[Alert, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _File:
    """A claimed drop, read."""

    batch: Batch
    claimed: ClaimedFile
    digest: str
    size_bytes: int
    rows: DropRows
    content: str | None = None


@dataclass(frozen=True, kw_only=True)
class _First:
    """Where bytes that come again are kept."""

    position: int
    digest: str
    size_bytes: int


class Drops:
    def __init__(
        self,
        *,
        spool_folder: Path,
        declarations_folder: Path,
        lake: Lake,
        objects: ObjectStore,
        lineage: LineageWriter,
        alerts: Alerts,
        data_keys: DataKeys,
        settings: IngestSection,
        clock: Clock,
    ) -> None:
        self._spool_folder = spool_folder / "drops"
        self._mappings_folder = declarations_folder / "drops"
        self._lake = lake
        self._objects = objects
        self._lineage = lineage
        self._alerts = alerts
        self._intake = Intake(data_keys)
        self._settings = settings
        self._clock = clock

    def mappings(self) -> dict[str, Mapping]:
        """All declared mappings by name. Raises APL-INGEST-005."""
        return load_all(self._mappings_folder)

    def mapping(self, name: str) -> Mapping:
        """Raises APL-INGEST-006 when it is not declared."""
        found = self.mappings()
        if name not in found:
            raise ApplianceError(codes.DROP_UNKNOWN, f"expected one of {', '.join(found) or 'none'}, got {name!r}")
        return found[name]

    def original(self, raw_digest: str) -> bytes:
        """The bytes of a dropped file as it came, but for lines of erased subjects.

        Raises:
            ApplianceError: APL-STORAGE-004, and those of `Intake.original`.
        """
        return self.unsealed(self._objects.read(raw_digest))

    def unsealed(self, stored: bytes) -> bytes:
        """The bytes that a stored or refused file had. Raises as `original`."""
        return self._intake.original(stored)[0] if is_sealed_file(stored) else stored

    def incoming(self, name: str) -> Path:
        """Where files for a mapping are dropped; makes nothing."""
        return self._spool_folder / name / "incoming"

    def spool(self, name: str, mapping: Mapping) -> Spool:
        """The spool of a mapping; makes its folders."""
        return Spool(
            self._spool_folder / name,
            name,
            suffixes=(f".{mapping.format}",),
            max_file_bytes=self._settings.max_file_bytes,
        )

    def run(self, *, progress: Progress | None = None) -> DropReport:
        """Take what was dropped for every mapping.

        Raises:
            ApplianceError: as `Sink.run`; APL-INGEST-005 a mapping is not valid, nothing was claimed;
                APL-SENSITIVE-005; those of the data keys.
        """
        report = DropReport()
        for name, mapping in self.mappings().items():
            spool = self.spool(name, mapping)
            with spool.exclusive():
                report = self._take(spool, mapping, progress or NoProgress(), report)
        return report

    def _take(self, spool: Spool, mapping: Mapping, progress: Progress, report: DropReport) -> DropReport:
        tables = (names.DROPS_RAW, names.DROPS_QUARANTINE, mapping.table)
        self._check_sealable(mapping)
        for table, schema in zip(tables, (RAW, QUARANTINE, mapping.schema), strict=True):
            self._lake.ensure(table, schema)
        if not columns.set_tags(self._lake.table(mapping.table), mapping.schema):
            raise CommitLost(COMMIT_LOST, f"{mapping.table}: its columns changed meanwhile")
        now = checked_now(self._clock, self._lake, names.DROPS_RAW)
        self._return_waiting(spool, mapping)
        stands = [self._positions(table) for table in tables]
        spool.claim(now_us=to_us(now), least_position=max(each.of(spool.source) for each in stands))
        if mapping.sealed:
            for each in spool.refused():
                if each.path.is_file() and not each.path.is_symlink():
                    self._intake.seal_refused(each.path, f"{spool.source} {each.path.name}")
        start = restart_point(stands, spool.source)
        spool.release(start)
        waiting = spool.log()
        if waiting and waiting[0].position != start:
            raise ApplianceError(
                codes.SPOOL_DAMAGED, f"the log begins at {waiting[0].position}, the tables stand at {start}"
            )
        raised: tuple[Alert, ...] = ()
        progress.begin(f"ingest drops of {spool.source}", len(waiting))
        for claimed in waiting:
            file = self._read(spool, claimed, mapping)
            raised += self._alerts.record(_waiting_alerts(file, now))  # first: a crash must not lose it
            accepted = self._commit(file, mapping)
            spool.release(file.batch.end)
            progress.advance(1)
            refused = Counter(each.code for each in file.rows.refusals)
            report = replace(
                report,
                files=report.files + 1,
                lines=report.lines + file.rows.lines,
                accepted=report.accepted + accepted,
                refused=dict(Counter(report.refused) + refused),
            )
        alarms = self._alerts.record(refused_file_alerts(spool, now))
        alarms_of_all = (*report.alarms, *raised, *alarms)
        return replace(report, refused_files=report.refused_files + len(alarms), alarms=alarms_of_all)

    def _read(self, spool: Spool, claimed: ClaimedFile, mapping: Mapping) -> _File:
        data = self._intake.reopened(spool.read(claimed))
        batch = Batch(source=spool.source, start=claimed.position, end=claimed.position + 1)
        rows = drop_rows.read(data, mapping, claimed.claimed_us, max_expansion=self._settings.max_expansion)
        judgement = intake.judge(mapping, rows)
        content = self._intake.content_of(data) if judgement.seal else None
        digest, stored = digest_bytes(data), data
        first = self._first_of(mapping, batch, "content" if content else "digest", content or digest)
        if first is not None:
            digest = first.digest  # its bytes are kept
            refusal = Refusal(
                line=None, code="DUPLICATE", detail=f"the same bytes were taken at position {first.position}", text=""
            )
            rows = DropRows(table=pa.table({}), refusals=(refusal,), lines=0)
            return _File(
                batch=batch, claimed=claimed, digest=digest, size_bytes=first.size_bytes, rows=rows, content=content
            )
        if content:
            place = intake.Place(source=batch.source, position=batch.start)
            stored, rows = self._intake.seal(data, content, mapping, rows, place)
        if judgement.undeclared:
            rows = intake.stopped(rows, judgement.undeclared)
        digest = self._objects.put(stored)
        return _File(batch=batch, claimed=claimed, digest=digest, size_bytes=len(stored), rows=rows, content=content)

    def _first_of(self, mapping: Mapping, batch: Batch, column: str, value: str) -> _First | None:
        """The first file of the same bytes that was taken by the same mapping."""
        before = self._lake.scan(
            names.DROPS_RAW,
            columns=("position", "digest", "size_bytes"),
            where=f"source = '{batch.source}' and {column} = '{value}' and mapping = '{mapping.digest}' "
            f"and position < {batch.start} and lines > 0",
        )
        rows = sorted(before.to_pylist(), key=lambda row: row["position"])
        return _First(**rows[0]) if rows else None

    def _return_waiting(self, spool: Spool, mapping: Mapping) -> None:
        """Put files that waited for another declaration than there was into ``incoming`` once more."""
        stopped = self._lake.scan(
            names.DROPS_QUARANTINE, columns=("position",), where=f"source = '{spool.source}' and code = 'SENSITIVE'"
        )
        if not stopped.num_rows:
            return
        taken = self._lake.scan(
            names.DROPS_RAW,
            columns=("position", "name", "digest", "mapping", "content"),
            where=f"source = '{spool.source}'",
        ).to_pylist()
        judged = {row[key] for row in taken if row["mapping"] == mapping.digest for key in ("content", "name")}
        positions = set(stopped["position"].to_pylist())
        waiting = {row["content"]: row for row in taken if row["position"] in positions}
        claimed = {each.name for each in spool.log()}
        for content, row in sorted(waiting.items()):
            # The name tells a run that follows that the file is back already.
            name = f"again-{row['position']:012d}-{row['name'][-150:]}"
            if content not in judged and name not in judged | claimed:
                atomic.write_bytes(spool.incoming / name, self.original(row["digest"]), mode=0o600)

    def _check_sealable(self, mapping: Mapping) -> None:
        """Raises:
        ApplianceError: APL-SENSITIVE-005, a column to seal is no text in the table.
        """
        sealed = [each.name for each in mapping.column if each.sealed]
        if not sealed or mapping.table not in self._lake.tables():
            return
        there = self._lake.schema(mapping.table)
        for name in sealed:
            if name in there.names and there.field(name).type != pa.string():
                message = f"{mapping.table} holds {name} as {there.field(name).type}"
                raise ApplianceError(sensitive_codes.COLUMN_CHANGED, message)

    def _commit(self, file: _File, mapping: Mapping) -> int:
        """Gives how many rows the target took."""
        position = file.batch.start
        facts = {
            "source": file.batch.source,
            "position": position,
            "name": file.claimed.name,
            "mapping": mapping.digest,
        }
        path = self._objects.site_name(file.digest)
        document = self._lineage.write(
            kind="raw",
            name=file.batch.source,
            files=[FileRecord(path=path, digest=file.digest, size=file.size_bytes)],
            inputs=[],
            facts=facts,
        )
        table = file.rows.table
        if self._positions(names.DROPS_QUARANTINE).of(file.batch.source) > position:
            table = self._not_quarantined(file)
        newest = newer_arrival(self._lake.head(names.DROPS_RAW), file.claimed.claimed_us)
        self._append(names.DROPS_RAW, file.batch, _raw(file, mapping), [document], facts, {NEWEST_ARRIVAL: newest})
        inputs = [self._lake.head(names.DROPS_RAW).properties[LINEAGE]]
        self._append(names.DROPS_QUARANTINE, file.batch, _quarantine(file), inputs, facts, {})
        schema = mapping.schema
        target = _placed(table, file, schema) if table.num_rows else schema.empty_table()
        self._append(mapping.table, file.batch, target, inputs, facts, {})
        for name in (names.DROPS_RAW, names.DROPS_QUARANTINE, mapping.table):
            expire_when_due(self._lake, name)
        return int(target.num_rows)

    def _not_quarantined(self, file: _File) -> pa.Table:
        found = self._lake.scan(
            names.DROPS_QUARANTINE,
            columns=("line",),
            where=f"source = '{file.batch.source}' and position = {file.batch.start}",
        )
        if found["line"].null_count or not file.rows.table.num_rows:
            return pa.table({})  # the whole file is there
        return file.rows.table.filter(pc.invert(pc.is_in(file.rows.table["line"], value_set=found["line"])))

    def _append(
        self,
        name: str,
        batch: Batch,
        rows: pa.Table,
        inputs: Sequence[str],
        facts: MappingOf[str, Any],
        properties: MappingOf[str, str],
    ) -> None:
        head = self._lake.head(name)
        positions = Positions.parse(head.properties.get(PROPERTY))
        if positions.untaken(batch) is None:
            return
        given = {**properties, PROPERTY: positions.advance(batch).format()}
        fitted = rows.select(self._lake.schema(name).names) if rows.num_rows else rows
        self._lake.append(name, fitted, expected=head, properties=given, inputs=inputs, facts=facts)

    def _positions(self, name: str) -> Positions:
        return Positions.parse(self._lake.head(name).properties.get(PROPERTY))


def _waiting_alerts(file: _File, now: dt.datetime) -> Iterator[Alert]:
    """One alert for a file that waits for a declaration."""
    for refusal in file.rows.refusals:
        if refusal.code == "SENSITIVE":
            yield Alert(
                code="SENSITIVE",
                severity="warning",
                subject=f"file {file.claimed.name}",
                message=f"not taken from {file.batch.source}: {refusal.detail}",
                at=rfc3339(now),
                key=f"SENSITIVE/{file.batch.source}/{file.batch.start}",
                facts={"name": file.claimed.name, "position": str(file.batch.start), "found": refusal.detail},
            )


def _raw(file: _File, mapping: Mapping) -> pa.Table:
    row = {
        "source": file.batch.source,
        "position": file.batch.start,
        "name": file.claimed.name,
        "digest": file.digest,
        "size_bytes": file.size_bytes,
        "arrived_at": file.claimed.claimed_us,
        "mapping": mapping.digest,
        "lines": file.rows.lines,
        "content": file.content,
    }
    return pa.table({name: pa.array([row[name]], RAW.field(name).type) for name in RAW.names})


def _quarantine(file: _File) -> pa.Table:
    refusals = file.rows.refusals
    n = len(refusals)
    return (
        pa.table(
            {
                "source": [file.batch.source] * n,
                "position": pa.array([file.batch.start] * n, pa.int64()),
                "line": pa.array([each.line for each in refusals], pa.int64()),
                "code": [each.code for each in refusals],
                "detail": [each.full_detail for each in refusals],
                "text": [each.text for each in refusals],
                "arrived_at": pa.array([file.claimed.claimed_us] * n, INSTANT),
                "raw_digest": [file.digest] * n,
            },
        )
        if n
        else QUARANTINE.empty_table()
    )


def _placed(table: pa.Table, file: _File, schema: pa.Schema) -> pa.Table:
    n = table.num_rows
    given = {
        **{name: table[name] for name in table.column_names},
        "source": pa.array([file.batch.source] * n, pa.string()),
        "position": pa.array([file.batch.start] * n, pa.int64()),
    }
    return pa.table({name: given[name] for name in schema.names}).cast(schema)
