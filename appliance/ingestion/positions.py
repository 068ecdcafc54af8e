"""How far each table has taken in each source.

This module owns one value, the position map that travels in the properties of every Iceberg snapshot, and the
decisions that follow from it. It reads and writes nothing. The page ``docs/explanation/commit_protocol.md`` tells the
whole protocol; ``tests/property/ingestion/test_positions.py`` tries to break it.

Rules of the map
1. A source is an ordered log: one spool (``spool:readings``), or one Kafka topic partition. Its position is the
   offset of the next record that the table has not taken yet; a source that is missing from the map stands at 0.
2. Every commit carries the whole map of its table: appends, replacements, schema changes, upkeep.
3. A source's position only grows, and only from the very position that the batch was read at (`advance`).
   A worker that lost its source therefore cannot commit, however late it wakes up.
4. Tables commit independently. A restart reads from the least position over all tables (`restart_point`), and
   each table skips the records that its own map already covers (`untaken`).
5. One byte form per value: canonical JSON, sorted, no spaces. Anything else is refused.

Not here: choosing batch sizes, retrying a commit that lost a race (the caller reloads the map and calls `advance`
again), or storing the map.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from appliance.base.errors import ApplianceError
from appliance.ingestion import codes

PROPERTY = "appliance.positions"  # key in the Iceberg snapshot summary
MAX_SOURCES = 10_000  # one table; 40 bytes each keep the property well under the size of a manifest list


class StaleBatch(ApplianceError):  # noqa: N818 - named for what happened; callers reload and decide
    """The batch starts elsewhere than where the table stands: another worker has been here, or one is missing."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A contiguous run of records of one source.

    Attributes:
        source: name of the log, for example ``spool:readings`` or ``kafka:readings:3``.
        start: offset of the first record, 0 or more.
        end: offset after the last record, greater than `start`.
    """

    source: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"batch of {self.source} runs from {self.start} to {self.end}")


@dataclass(frozen=True)
class Positions:
    """An immutable map from source to the offset of the next record that a table has not taken."""

    by_source: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, text: str | None) -> Positions:
        """Read the snapshot property. ``None`` (a table with no snapshot) is the empty map.

        Raises:
            ApplianceError: APL-INGEST-001, the text is not the one canonical form of a valid map.
        """
        if text is None:
            return cls()
        try:
            value = json.loads(text)
        except ValueError as error:
            raise _invalid(f"not JSON: {error}") from error
        if not isinstance(value, dict) or len(value) > MAX_SOURCES:
            raise _invalid(f"not a map of at most {MAX_SOURCES} sources")
        for source, offset in value.items():
            if type(offset) is not int or offset <= 0:
                raise _invalid(f"{source!r} stands at {offset!r}, expected an integer above 0")
        positions = cls(MappingProxyType(value))
        if positions.format() != text:
            raise _invalid("not in canonical form")
        return positions

    def format(self) -> str:
        """The one text form; ``Positions.parse(p.format()) == p`` for every map."""
        return json.dumps(dict(self.by_source), sort_keys=True, separators=(",", ":"))

    def of(self, source: str) -> int:
        return self.by_source.get(source, 0)

    def advance(self, batch: Batch) -> Positions:
        """The map after this table has taken `batch`.

        Raises:
            StaleBatch: APL-INGEST-002, the table does not stand at the start of the batch.
        """
        here = self.of(batch.source)
        if here != batch.start:
            raise StaleBatch(codes.STALE_BATCH, f"{batch.source} stands at {here}, batch starts at {batch.start}")
        return Positions(MappingProxyType({**self.by_source, batch.source: batch.end}))

    def untaken(self, batch: Batch) -> Batch | None:
        """The part of `batch` that this table has not taken yet, or ``None`` when it has all of it.

        Raises:
            StaleBatch: APL-INGEST-002, records between this table's position and the batch are missing.
        """
        here = self.of(batch.source)
        if here < batch.start:
            raise StaleBatch(codes.STALE_BATCH, f"{batch.source} stands at {here}, batch starts at {batch.start}")
        return None if here >= batch.end else Batch(source=batch.source, start=here, end=batch.end)


def restart_point(tables: Iterable[Positions], source: str) -> int:
    """Where reading of `source` resumes: the least position over all tables that take from it."""
    return min(table.of(source) for table in tables)


def _invalid(message: str) -> ApplianceError:
    return ApplianceError(codes.POSITIONS_INVALID, f"{PROPERTY}: {message}")
