"""The online store: the newest readings of each entity, packed into one blob in SQLite.

Rules
1. It keeps readings, not feature values: an answer is computed by the same `compute.evaluate` as in training, so a
   window that slides while no reading arrives still slides here.
2. One writer (`materialize` holds a lock), any number of readers; WAL, so readers never wait.
3. Of each slot it keeps the longest window over it plus `history_us`; an instant before that is refused, never
   answered from a cut window.
4. A file of the lake is taken exactly once: the paths taken so far stand in the same transaction as their readings.
   When files have vanished (a rewrite), or the declared slots have changed, everything is built anew.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.base.atomic import exclusive
from appliance.base.errors import ApplianceError
from appliance.features import codes
from appliance.features.compute import Readings, group_readings

FILE_NAME = "features.sqlite"
BUSY_MS = 10_000  # a reader waits so long for a checkpoint

_SCHEMA = """
CREATE TABLE IF NOT EXISTS readings (entity TEXT PRIMARY KEY, packed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class OnlineStore:
    """The store under `folder`; made on first write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._local = threading.local()

    def state(self, *keys: str) -> dict[str, str]:
        """What the last `write` left (slots, files, through_us, oldest_us), all or `keys`; empty before the first."""
        if not (self._folder / FILE_NAME).is_file():
            return {}
        query = "SELECT key, value FROM state"
        if keys:
            query += f" WHERE key IN ({', '.join('?' * len(keys))})"
        try:
            return dict(self._connection().execute(query, keys))
        except sqlite3.OperationalError:  # a first write that was cut off left a file without tables
            return {}

    def read(self, entities: Sequence[str], slot_count: int) -> Readings:
        """The kept readings of `entities` (each once); one without any has empty groups."""
        connection = self._connection()
        found: list[_Packed] = []
        for index, entity in enumerate(entities):
            row = connection.execute("SELECT packed FROM readings WHERE entity = ?", (entity,)).fetchone()
            if row is not None:
                found.append(_unpack(row[0], index * slot_count))
        return _grouped(entities, slot_count, found)

    def write(self, readings: Readings, slot_count: int, *, state: dict[str, str], anew: bool) -> None:
        """Replace the blobs of the entities in `readings` and the state, in one transaction."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self._folder / ".lock"):
            connection = self._connection()
            connection.executescript(_SCHEMA)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                if anew:
                    connection.execute("DELETE FROM readings")
                connection.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?)", _blobs(readings, slot_count))
                connection.execute("DELETE FROM state")
                connection.executemany("INSERT INTO state VALUES (?, ?)", sorted(state.items()))

    def _connection(self) -> sqlite3.Connection:
        held: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if held is None:
            held = sqlite3.connect(self._folder / FILE_NAME, isolation_level=None)
            held.execute("PRAGMA journal_mode = WAL")
            held.execute("PRAGMA synchronous = NORMAL")  # a lost last write is materialised again from the lake
            held.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            self._local.connection = held
        return held


def trim(readings: Readings, slot_count: int, floors_us: Sequence[int]) -> Readings:
    """Leave out what happened at or before the floor of its slot."""
    group = np.repeat(np.arange(len(readings.offsets) - 1), np.diff(readings.offsets))
    keep = readings.event > np.array(floors_us, np.int64)[group % slot_count]
    return group_readings(
        readings.entities,
        slot_count,
        group=group[keep],
        event=readings.event[keep],
        known=readings.known[keep],
        value=readings.value[keep],
        foreign=readings.foreign[keep],
    )


def merge(first: Readings, second: Readings, slot_count: int) -> Readings:
    """The readings of both, over the entities of `second`; others of `first` are left out."""
    position = {entity: index for index, entity in enumerate(second.entities)}
    parts = []
    for readings in (first, second):
        group = np.repeat(np.arange(len(readings.offsets) - 1), np.diff(readings.offsets))
        target = np.array([position.get(entity, -1) for entity in readings.entities], np.int64)
        owner = target[group // slot_count] if len(group) else np.zeros(0, np.int64)
        keep = owner >= 0
        parts.append(
            _Packed(
                group=(owner * slot_count + group % slot_count)[keep],
                event=readings.event[keep],
                known=readings.known[keep],
                value=readings.value[keep],
                foreign=readings.foreign[keep],
            )
        )
    return _grouped(second.entities, slot_count, parts)


def check_reach(state: dict[str, str], slots_key: str, at_us: int) -> None:
    """Refuse an instant that the kept readings cannot answer.

    Raises:
        ApplianceError: APL-FEATURES-009 when the store holds nothing for these slots, APL-FEATURES-005 when `at_us`
            is before its reach.
    """
    if state.get("slots") != slots_key:
        raise ApplianceError(codes.ONLINE_MISSING, "the online store holds no readings for the declared views")
    oldest = int(state["oldest_us"])
    if at_us < oldest:
        raise ApplianceError(
            codes.ONLINE_OUT_OF_REACH, f"asked for {at_us} us, the oldest instant that can be answered is {oldest} us"
        )


def slots_key(keys: Iterable[str]) -> str:
    """The text under which the layout of the blobs is kept."""
    return json.dumps(list(keys))


class _Packed:
    """Rows of one blob: `group` and the four columns of `Readings`."""

    def __init__(
        self,
        *,
        group: NDArray[np.int64],
        event: NDArray[np.int64],
        known: NDArray[np.int64],
        value: NDArray[np.float64],
        foreign: NDArray[np.uint8],
    ) -> None:
        self.group, self.event, self.known, self.value, self.foreign = group, event, known, value, foreign


def _grouped(entities: Sequence[str], slot_count: int, parts: Sequence[_Packed]) -> Readings:
    def joined(name: str, dtype: type) -> NDArray[np.generic]:
        return np.concatenate([np.zeros(0, dtype), *(getattr(part, name) for part in parts)])

    return group_readings(
        entities,
        slot_count,
        group=joined("group", np.int64),  # type: ignore[arg-type]
        event=joined("event", np.int64),  # type: ignore[arg-type]
        known=joined("known", np.int64),  # type: ignore[arg-type]
        value=joined("value", np.float64),  # type: ignore[arg-type]
        foreign=joined("foreign", np.uint8),  # type: ignore[arg-type]
    )


def _blobs(readings: Readings, slot_count: int) -> Iterable[tuple[str, bytes]]:
    # Little-endian: counts int32 per slot, then event, known (int64), value (double), foreign (byte) of all slots.
    for index, entity in enumerate(readings.entities):
        edges = readings.offsets[index * slot_count : (index + 1) * slot_count + 1]
        part = slice(int(edges[0]), int(edges[-1]))
        yield (
            entity,
            b"".join(
                (
                    np.diff(edges).astype("<i4").tobytes(),
                    readings.event[part].astype("<i8").tobytes(),
                    readings.known[part].astype("<i8").tobytes(),
                    readings.value[part].astype("<f8").tobytes(),
                    readings.foreign[part].tobytes(),
                )
            ),
        )


def _unpack(blob: bytes, first_group: int) -> _Packed:
    # The number of slots follows from the lengths: 4 * slots + 25 * rows.
    slots = 0
    rows = 0
    while 4 * slots + 25 * rows != len(blob):
        rows += int.from_bytes(blob[4 * slots : 4 * slots + 4], "little")
        slots += 1
    counts = np.frombuffer(blob, "<i4", slots)
    start = 4 * slots
    return _Packed(
        group=np.repeat(np.arange(first_group, first_group + slots), counts),
        event=np.frombuffer(blob, "<i8", rows, start),
        known=np.frombuffer(blob, "<i8", rows, start + 8 * rows),
        value=np.frombuffer(blob, "<f8", rows, start + 16 * rows),
        foreign=np.frombuffer(blob, "u1", rows, start + 24 * rows),
    )
