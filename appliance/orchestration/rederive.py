"""Recomputes lake rows from the raw bytes that they came from.

Every accepted reading names source, position, record and index. The raw object of that position is decoded again and
the reading must stand there with the same device, measure, value, unit, quality, firmware and sequence; its time must
be the raw one, in the unit that the commit's decoder declared. This proves that no row was invented or altered; that
none is missing is what the conservation ledger says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appliance.ingestion.chunk import Chunk
from appliance.ingestion.declarations import US_PER_UNIT
from appliance.ingestion.decode import Limits
from appliance.ingestion.raw_object import chunks_of
from appliance.storage.files import SiteFiles

SAME = ("device_id", "measure", "value", "unit", "quality", "firmware", "sequence")
COLUMNS = (*SAME, "event_time", "source", "position", "record", "index")


Position = tuple[str, int]  # source and number of a raw object


def compare_with_raw(
    files: SiteFiles, rows: str, raw: Mapping[Position, str], limits: Limits, *, left_out: Collection[Position] = ()
) -> str:
    """Compare every row of one data file of ``silver.readings`` with the raw objects.

    Args:
        files: where both are.
        rows: name of the data file.
        raw: names of the raw objects.
        left_out: positions whose rows are not compared, because their raw object is known to be broken.

    Returns:
        Empty when all rows stand in the raw bytes, else what differs first.
    """
    table = pq.read_table(rows, filesystem=files.arrow, columns=list(COLUMNS))
    order = pc.sort_indices(table, [("source", "ascending"), ("position", "ascending")])
    table = table.take(order)
    sources = table["source"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    positions = table["position"].to_numpy()
    borders = np.flatnonzero((np.diff(positions, prepend=-1) != 0) | (np.diff(sources, prepend=-1) != 0))
    objects = _RawRows(files, limits)
    for start, end in zip(borders, [*borders[1:], len(positions)], strict=True):
        part = table.slice(start, end - start)
        key = (part["source"][0].as_py(), int(positions[start]))
        if key in left_out:
            continue
        name = raw.get(key)
        if name is None:
            return f"no raw object for {key[0]} position {key[1]}"
        there = objects.at(name, key[1])
        if there is None:
            return f"the raw object for {key[0]} position {key[1]} does not hold it"
        difference = _compare(part, there)
        if difference:
            return f"{key[0]} position {key[1]}: {difference}"
    return ""


class _RawRows:
    """Rows of raw objects by position; a segment is decoded once for its records, which come one after another."""

    def __init__(self, files: SiteFiles, limits: Limits) -> None:
        self._files = files
        self._limits = limits
        self._name: str | None = None
        self._chunk: Chunk | None = None

    def at(self, name: str, position: int) -> pa.Table | None:
        """`reading.ARROW` of the item; None when the object has none at this position."""
        if name != self._name or self._chunk is None or position not in self._chunk.positions:
            with self._files.open(name) as file:
                (self._chunk,) = chunks_of(file.read(), self._limits, digest="", positions=[position])
            self._name = name
        chunk = self._chunk
        item = int(np.searchsorted(chunk.positions, position))
        if item == chunk.items or chunk.positions[item] != position:
            return None
        first, last = np.searchsorted(chunk.row_item, [item, item + 1])
        return chunk.rows.slice(first, last - first)


def _compare(part: pa.Table, decoded: pa.Table) -> str:
    """`part` against all rows of the decoded file, by record and index."""
    span = 1 + max(int(pc.max(decoded["index"]).as_py() or 0), int(pc.max(part["index"]).as_py()))
    keys = decoded["record"].to_numpy().astype(np.int64) * span + decoded["index"].to_numpy()
    wanted = part["record"].to_numpy().astype(np.int64) * span + part["index"].to_numpy()
    found = np.searchsorted(keys, wanted)  # the decoder gives rows in order of record and index
    if (found >= len(keys)).any() or (keys[np.minimum(found, len(keys) - 1)] != wanted).any():
        return "a row names a record and index that the raw bytes do not have"
    there = decoded.take(pa.array(found))
    for name in SAME:
        column = there[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        if not pc.all(pc.equal(part[name].combine_chunks(), column)).as_py():
            return f"{name} differs from the raw bytes"
    times = part["event_time"].cast(pa.int64()).to_numpy()
    sent = there["event_time"].to_numpy()
    for firmware in pc.unique(part["firmware"]).to_pylist():
        mine = pc.equal(part["firmware"], firmware).to_numpy()
        if not any((times[mine] == sent[mine] * up // down).all() for up, down in US_PER_UNIT.values()):
            return f"event_time of firmware {firmware} is not the raw one in any unit"
    return ""
