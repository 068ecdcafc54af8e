"""The ledger: what came in against where it is. Derived from the tables at any time; nothing is counted along the way.

Per device and hour of arrival: readings that came in (``raw.records``, the counts of each decoded record, and one for
each stretch that could not be decoded, as device ``unknown``) = accepted + quarantined + pending. Pending are readings
of files that raw has taken and another table not yet; after a finished run there are none. A reading that a reparse
has copied to silver but not yet taken from quarantine counts once. Anything else is an imbalance, and an alarm.

The hour of arrival is that of the file, also for readings that a later reparse let in.

Workers may commit while it is counted: each table is read at one snapshot, silver's being the oldest of the three, so
that whatever is in silver has come in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from appliance.base.clock import rfc3339
from appliance.ingestion import rows
from appliance.ingestion.positions import PROPERTY, Positions
from appliance.observability.alerts import Alert
from appliance.storage import names
from appliance.storage.tables import Head, Lake

REPARSE = "appliance.reparse"  # snapshot property: the newest reparse that this table has a commit of
ALERTED_LINES = 20
IDENTITY = ("source", "position", "record", "index")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One device and hour (RFC 3339 to the hour)."""

    device_id: str
    hour: str
    came_in: int
    accepted: int
    quarantined: int
    pending: int

    @property
    def imbalance(self) -> int:
        return self.came_in - self.accepted - self.quarantined - self.pending


@dataclass(frozen=True, kw_only=True)
class Ledger:
    lines: Sequence[Line]

    @property
    def came_in(self) -> int:
        return sum(line.came_in for line in self.lines)

    @property
    def accepted(self) -> int:
        return sum(line.accepted for line in self.lines)

    @property
    def quarantined(self) -> int:
        return sum(line.quarantined for line in self.lines)

    @property
    def pending(self) -> int:
        return sum(line.pending for line in self.lines)

    @property
    def imbalance(self) -> int:
        """Sum of what does not add up, whatever its sign; 0 when every line balances."""
        return sum(abs(line.imbalance) for line in self.lines)


def alerts_of(ledger: Ledger, now: dt.datetime) -> list[Alert]:
    """An alert for each line that does not balance, the first `ALERTED_LINES` of them."""
    wrong = [line for line in ledger.lines if line.imbalance]
    return [
        Alert(
            code="IMBALANCE",
            severity="critical",
            subject=f"device {line.device_id}",
            message=f"{line.came_in} readings came in, {line.came_in - line.imbalance} are accounted for ({line.hour})",
            at=rfc3339(now),
            key=f"IMBALANCE/{line.device_id}/{line.hour}/{line.imbalance}",
            facts={"hour": line.hour, "imbalance": line.imbalance},
        )
        for line in wrong[:ALERTED_LINES]
    ]


def balance(lake: Lake) -> Ledger:
    """Count anew from the three tables. An empty lake balances."""
    if not {names.RAW, names.QUARANTINE, names.READINGS} <= set(lake.tables()):
        return Ledger(lines=())
    heads = _heads(lake)
    files = _scan(lake, heads, names.RAW, ("source", "position", "arrived_at", "headers"))
    taken = [Positions.parse(heads[name].properties.get(PROPERTY)) for name in (names.QUARANTINE, names.READINGS)]
    stands = {source: min(table.of(source) for table in taken) for source in pc.unique(files["source"]).to_pylist()}
    complete = [
        position < stands[source]
        for source, position in zip(files["source"].to_pylist(), files["position"].to_pylist(), strict=True)
    ]
    place = pa.table(
        {
            "source": files["source"],
            "position": files["position"],
            "hour": pc.strftime(pc.floor_temporal(files["arrived_at"], unit="hour"), "%Y-%m-%dT%H:00:00Z"),
            "complete": pa.array(complete, pa.bool_()),
        }
    )
    came_in = _sum(_from_headers(files), place, "came_in")
    silver = _scan(lake, heads, names.READINGS, ("source", "position", "device_id"))
    accepted = _sum(_by_file(silver), place, "accepted")
    quarantined = _sum(_by_file(_quarantined(lake, heads)), place, "quarantined")
    keys = ["device_id", "hour", "complete"]
    joined = came_in.join(accepted, keys, join_type="full outer").join(quarantined, keys, join_type="full outer")
    lines: dict[tuple[str, str], Line] = {}
    for each in joined.sort_by([(key, "ascending") for key in keys]).to_pylist():
        counts = {name: each[name] or 0 for name in ("came_in", "accepted", "quarantined")}
        open_ = 0 if each["complete"] else counts["came_in"] - counts["accepted"] - counts["quarantined"]
        key = each["device_id"], each["hour"] or "unknown"
        old = lines.get(key) or Line(device_id=key[0], hour=key[1], came_in=0, accepted=0, quarantined=0, pending=0)
        lines[key] = Line(
            device_id=key[0],
            hour=key[1],
            came_in=old.came_in + counts["came_in"],
            accepted=old.accepted + counts["accepted"],
            quarantined=old.quarantined + counts["quarantined"],
            pending=old.pending + max(open_, 0),
        )
    return Ledger(lines=tuple(lines.values()))


def _from_headers(files: pa.Table) -> pa.Table:
    headers = pa.chunked_array(files["headers"].chunks, rows.RAW.field("headers").type).combine_chunks()
    each = headers.flatten() if isinstance(headers, pa.Array) else headers.chunk(0).flatten()
    parents = pc.list_parent_indices(headers)
    return pa.table(
        {
            "source": files["source"].combine_chunks().take(parents),
            "position": files["position"].combine_chunks().take(parents),
            "device_id": each.field("device_id"),
            "count": each.field("readings").cast(pa.int64()),
        }
    )


def _by_file(found: pa.Table) -> pa.Table:
    """Count per file and device."""
    grouped = found.group_by(["source", "position", "device_id"]).aggregate([([], "count_all")])
    return grouped.rename_columns(["source", "position", "device_id", "count"])


def _sum(counts: pa.Table, place: pa.Table, name: str) -> pa.Table:
    """Sum per device, hour and completeness."""
    placed = counts.join(place, ["source", "position"], join_type="left outer")
    grouped = placed.group_by(["device_id", "hour", "complete"]).aggregate([("count", "sum")])
    return grouped.rename_columns(["device_id", "hour", "complete", name])


def _heads(lake: Lake) -> Mapping[str, Head]:
    """Heads of the three tables, at which whatever silver has taken the others have too."""
    while True:
        heads = {name: lake.head(name) for name in (names.READINGS, names.QUARANTINE, names.RAW)}
        if lake.head(names.READINGS) == heads[names.READINGS]:
            return heads


def _scan(
    lake: Lake, heads: Mapping[str, Head], name: str, columns: Sequence[str], where: str | None = None
) -> pa.Table:
    if heads[name].snapshot_id is None:
        return lake.schema(name).empty_table().select(list(columns))
    return lake.scan(name, columns=columns, where=where, snapshot_id=heads[name].snapshot_id)


def _quarantined(lake: Lake, heads: Mapping[str, Head]) -> pa.Table:
    """Rows in quarantine that are not in silver too."""
    found = _scan(lake, heads, names.QUARANTINE, (*IDENTITY, "device_id"))
    silver = heads[names.READINGS].properties.get(REPARSE)
    if silver == heads[names.QUARANTINE].properties.get(REPARSE) or not found.num_rows:
        return found
    # A reparse is between its two commits: take out what silver has already.
    positions = found["position"].to_numpy()
    there = _scan(
        lake,
        heads,
        names.READINGS,
        IDENTITY,
        f"position >= {int(np.min(positions))} and position <= {int(np.max(positions))}",
    )
    return found.join(there, list(IDENTITY), join_type="left anti")
