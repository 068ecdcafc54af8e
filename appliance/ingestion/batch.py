"""From decoded chunks to judged rows: what one batch brings to each table. Reads no clock and commits nothing."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from appliance.base.clock import from_us, rfc3339, to_us
from appliance.ingestion import fingerprint, rows
from appliance.ingestion.chunk import Chunk, join, per_header, per_row
from appliance.ingestion.declarations import US_PER_UNIT, Declared
from appliance.ingestion.decode import Fault
from appliance.ingestion.history import Flags, Longs, ReadingHistory, RecordHistory, Words
from appliance.ingestion.positions import Batch
from appliance.ingestion.reading import UNKNOWN_DEVICE
from appliance.ingestion.rules import CODES, CONTRACT, DUPLICATE, EVENT_TIME, OK, Columns, Rulebook, classify
from appliance.observability.alerts import Alert

if TYPE_CHECKING:
    from appliance.ingestion.gates.sink import Judgement, SinkGate

FIRST_US = to_us(dt.datetime(1, 1, 1, tzinfo=dt.UTC))
LAST_US = to_us(dt.datetime(9999, 12, 31, tzinfo=dt.UTC))


@dataclass(frozen=True, kw_only=True)
class Readings:
    """All readings of a batch side by side, in order of position.

    Attributes:
        table: `reading.ARROW`, event times as fixed by the declared decoders.
        sent: event times as the device sent them.
        position, arrived_us: per row.
    """

    table: pa.Table
    columns: Columns
    sent: Longs
    position: Longs
    arrived_us: Longs


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A batch and its verdicts.

    Attributes:
        codes: per reading, `rules.CODES`.
        units: per header, what its event times look like.
        silver_snapshot: the accepted readings that the verdicts know of.
        judgement: what the checks of the contract said; None: it has none for the sink.
    """

    batch: Batch
    chunks: Sequence[Chunk]
    readings: Readings
    codes: npt.NDArray[np.int8]
    units: Sequence[str]
    alerts: Sequence[Alert]
    silver_snapshot: int | None
    judgement: Judgement | None = None


def side_by_side(chunks: Sequence[Chunk], event_time_units: Mapping[str, str]) -> Readings:
    table = join([each.rows for each in chunks])
    columns = Columns.of(table)
    fixed = fix_event_times(columns.event_time, columns.firmware, event_time_units)
    if fixed is not columns.event_time:
        table = table.set_column(table.schema.get_field_index("event_time"), "event_time", pa.array(fixed))
    return Readings(
        table=table,
        columns=Columns.of(table),
        sent=columns.event_time,
        position=per_row(chunks, "positions"),
        arrived_us=per_row(chunks, "arrived_us"),
    )


def fix_event_times(sent: Longs, firmware: Words, event_time_units: Mapping[str, str]) -> Longs:
    """Microseconds of what firmwares with a declared decoder sent; the very same array when none of them did."""
    fixed = sent
    for code, text in enumerate(firmware.texts):
        factor, divisor = US_PER_UNIT[event_time_units.get(text, "us")]
        if (factor, divisor) == (1, 1):
            continue
        mine = (firmware.codes == code) & (np.abs(sent) < 2**62 // factor)  # beyond, it stays what no rule accepts
        fixed = sent.copy() if fixed is sent else fixed
        fixed[mine] = sent[mine] * factor // divisor
    return fixed


def judge(
    batch: Batch,
    chunks: Sequence[Chunk],
    declared: Declared,
    records: RecordHistory,
    history: ReadingHistory,
    silver_snapshot: int | None,
    *,
    gate: SinkGate | None = None,
    goes_on: bool = False,
) -> Judged:
    """Verdicts and alarms. Both histories have taken the batch afterwards.

    Args:
        gate: the checks for the sink, if there are any; it has read its keys.
        goes_on: it is committed together with the batch before it, of another source.
    """
    records.stand_at(batch.start)
    decoders = declared.decoders.event_time_units()
    readings = side_by_side(chunks, decoders)
    headers = join([each.headers for each in chunks])
    per_record = headers["readings"].to_numpy()
    device = Words.of(headers["device_id"])
    produced_at = headers["produced_at"].to_numpy()
    repeated = records.repeated(device, headers["sequence"].to_numpy(), produced_at)
    arrived_us = per_header(chunks, "arrived_us")
    unit = _units_shown(readings.sent, per_record, arrived_us)
    codes = classify(
        readings.columns,
        Rulebook.of(declared.measures),
        record_ids=np.repeat(np.arange(headers.num_rows), per_record),
        arrived_us=readings.arrived_us,
        repeated=np.repeat(repeated, per_record),
    )
    judgement = check(gate, readings, batch.source, codes == OK) if gate is not None else None
    if judgement is not None:
        codes[judgement.first >= 0] = CONTRACT
    broken = gate.alerts(judgement, readings.arrived_us) if gate is not None and judgement is not None else []
    columns = readings.columns
    again = history.repeated(
        columns.device, columns.measure, columns.event_time, codes == OK, silver_snapshot, goes_on=goes_on
    )
    codes[again] = DUPLICATE
    look = fingerprint.Records(
        device=device,
        firmware=Words.of(headers["firmware"]),
        unit=unit,
        produced_at=produced_at,
        arrived_us=arrived_us,
        repeated=repeated,
    )
    units = [fingerprint.UNITS[number] for number in unit.tolist()]
    alerts = [
        *broken,
        *fingerprint.changes(look, records.known, decoders),
        *fingerprint.shortfalls(look, records.known, _owed_per_us(columns, declared), _accepted(columns, codes == OK)),
    ]
    records.saw_all(
        headers["device_id"].combine_chunks().cast(pa.string()),
        headers["firmware"].combine_chunks().cast(pa.string()),
        pa.array(units, pa.string()),
        headers["produced_at"].combine_chunks(),
        repeated,
    )
    records.position = batch.end
    return Judged(
        batch=batch,
        chunks=chunks,
        readings=readings,
        codes=codes,
        units=units,
        alerts=alerts,
        silver_snapshot=silver_snapshot,
        judgement=judgement,
    )


def check(gate: SinkGate, readings: Readings, source: str, among: Flags) -> Judgement:
    """What the checks for the sink say of the readings that `among` marks."""
    return gate.judge(select_readings(readings, source, among, gate.columns, {}), among)


def _units_shown(sent: Longs, per_record: npt.NDArray[np.int32], arrived_us: Longs) -> npt.NDArray[np.int32]:
    shown = np.zeros(per_record.size, np.int32)
    full = per_record > 0
    ends = np.cumsum(per_record, dtype=np.int64)[full]
    first, last = sent[ends - per_record[full]], sent[ends - 1]
    shown[full] = fingerprint.unit_of(first, last, arrived_us[full])
    return shown


def _owed_per_us(columns: Columns, declared: Declared) -> dict[str, float]:
    """Readings per microsecond of each device, by the declared measures that it sends in this batch."""
    measures = declared.measures.measure
    rate = np.array([1 / each.interval_us for each in measures.values()] + [0.0])
    numbers = {name: number for number, name in enumerate(measures)}
    number_of = np.array([numbers.get(text, len(numbers)) for text in columns.measure.texts], np.int64)
    sent = np.zeros((len(columns.device.texts), rate.size), np.bool_)
    if columns.measure.codes.size:
        sent[columns.device.codes, number_of[columns.measure.codes]] = True
    return dict(zip(columns.device.texts, (sent @ rate).tolist(), strict=True))


def _accepted(columns: Columns, accepted: Flags) -> dict[str, int]:
    counts = np.bincount(columns.device.codes[accepted], minlength=len(columns.device.texts))
    return dict(zip(columns.device.texts, counts.tolist(), strict=True))


# What goes to each table


def raw_rows(judged: Judged, part: Batch) -> pa.Table:
    """`rows.RAW` of the items in `part`."""
    first, tables = 0, []
    for each in judged.chunks:
        count = each.headers.num_rows
        units, first = judged.units[first : first + count], first + count
        inside = (each.positions >= part.start) & (each.positions < part.end)
        table = pa.Table.from_arrays(
            [
                pa.array([part.source] * each.items),
                pa.array(each.positions),
                pa.array(each.names, pa.string()),
                pa.array([each.digest] * each.items),
                pa.array(each.sizes),
                pa.array(each.arrived_us, rows.INSTANT),
                pa.array(np.bincount(each.header_item, minlength=each.items).astype(np.int32)),
                _header_lists(each, units),
            ],
            schema=rows.RAW,
        )
        tables.append(table if inside.all() else table.filter(pa.array(inside)))
    return pa.concat_tables(tables)


def _header_lists(chunk: Chunk, units: Sequence[str]) -> pa.ListArray:
    """Per item its records, and behind them one of device ``unknown`` that counts what could not be decoded."""
    names = ("device_id", "firmware", "sequence", "produced_at", "readings")
    plain = {name: chunk.headers[name].combine_chunks().cast(rows.HEADER.field(name).type) for name in names}
    plain["event_time_unit"] = pa.array(units, pa.string())
    found = pa.StructArray.from_arrays([plain[field.name] for field in rows.HEADER], fields=list(rows.HEADER))
    item = chunk.header_item
    lost = Counter(number for number, _ in chunk.faults)
    if lost:
        unknown = {"device_id": UNKNOWN_DEVICE, "firmware": "", "sequence": 0, "produced_at": 0, "event_time_unit": ""}
        more = pa.array([{**unknown, "readings": count} for count in lost.values()], rows.HEADER)
        item = np.concatenate([item, np.array(list(lost), np.int64)])
        order = np.argsort(item, kind="stable")
        found, item = pa.concat_arrays([found, more]).take(pa.array(order)), item[order]
    ends = np.cumsum(np.bincount(item, minlength=chunk.items))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, found, type=rows.RAW.field("headers").type)


def silver_rows(judged: Judged, part: Batch, accepted: Flags) -> pa.Table:
    """`rows.SILVER` of the accepted readings in `part`."""
    wanted = accepted & _inside(judged.readings, part)
    return select_readings(judged.readings, part.source, wanted, rows.SILVER, {})


def quarantine_rows(judged: Judged, part: Batch) -> pa.Table:
    """`rows.QUARANTINE` of the refused readings and of what could not be decoded in `part`."""
    lost = [
        fault_row(part.source, each, item, fault)
        for each in judged.chunks
        for item, fault in each.faults
        if part.start <= each.positions[item] < part.end
    ]
    return pa.concat_tables([refused_rows(judged, part), pa.Table.from_pylist(lost, rows.QUARANTINE)])


def refused_rows(judged: Judged, part: Batch) -> pa.Table:
    """`rows.QUARANTINE` of the refused readings in `part`."""
    refused = (judged.codes != OK) & _inside(judged.readings, part)
    codes = judged.codes[refused]
    firsts = np.array([each.positions[0] for each in judged.chunks], np.int64)
    chunk_numbers = np.searchsorted(firsts, judged.readings.position[refused], side="right").astype(np.int32) - 1
    extra = {
        "code": pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(CODES)),
        "detail": _details(judged, refused),
        "raw_digest": pa.DictionaryArray.from_arrays(
            pa.array(chunk_numbers), pa.array([each.digest for each in judged.chunks])
        ),
    }
    readings = select_readings(judged.readings, part.source, refused, rows.QUARANTINE, extra)
    instants = readings["event_time"].cast(pa.int64()).to_numpy()
    no_instant = (instants < FIRST_US) | (instants > LAST_US)
    if no_instant.any():
        shown = pa.array(instants, mask=no_instant).cast(rows.INSTANT)
        readings = readings.set_column(readings.schema.get_field_index("event_time"), "event_time", shown)
    return readings.cast(rows.QUARANTINE)


def _details(judged: Judged, refused: Flags) -> pa.Array:
    """The time as the device sent it where that is the reason, the check that a reading breaks where it is that."""
    codes = judged.codes[refused]
    sent = pa.array(judged.readings.sent[refused]).cast(pa.string())
    details = pc.if_else(pa.array(codes == EVENT_TIME), pc.binary_join_element_wise("sent as ", sent, ""), None)
    if judged.judgement is None:
        return details
    broken = pa.array(judged.judgement.first[refused], mask=codes != CONTRACT)
    return pc.coalesce(details, pa.array([f"check {each.check}" for each in judged.judgement.results]).take(broken))


def fault_row(source: str, chunk: Chunk, item: int, fault: Fault) -> dict[str, object]:
    return {
        "device_id": UNKNOWN_DEVICE,
        "arrived_at": from_us(int(chunk.arrived_us[item])),
        "source": source,
        "position": int(chunk.positions[item]),
        "record": fault.record,
        "code": fault.code,
        "detail": fault.detail,
        "raw_digest": chunk.digest,
    }


def select_readings(
    readings: Readings, source: str, wanted: Flags, schema: pa.Schema, extra: Mapping[str, pa.Array]
) -> pa.Table:
    """The wanted readings as columns of `schema`; `extra` columns have one entry per wanted reading."""
    mask = pa.array(wanted)
    table = readings.table.select(
        [name for name in readings.table.column_names if name in schema.names or name == "event_time"]
    ).filter(mask)
    given = {
        **{name: table[name] for name in table.column_names},
        "event_time": table["event_time"].cast(rows.INSTANT),
        "arrived_at": pa.array(readings.arrived_us).filter(mask).cast(rows.INSTANT),
        "position": pa.array(readings.position).filter(mask),
        "source": pa.DictionaryArray.from_arrays(pa.array(np.zeros(table.num_rows, np.int32)), pa.array([source])),
        **extra,
    }
    return pa.table({field.name: given[field.name] for field in schema})


def _inside(readings: Readings, part: Batch) -> Flags:
    return (readings.position >= part.start) & (readings.position < part.end)


def counts_by_code(judged: Judged) -> Counter[str]:
    """Refused readings and faults of the batch by reason code."""
    counts = np.bincount(judged.codes, minlength=len(CODES)).tolist()
    found = Counter({code: count for code, count in zip(CODES, counts, strict=True) if code and count})
    found.update(fault.code for each in judged.chunks for _, fault in each.faults)
    return found


def describe(judged: Judged) -> dict[str, object]:
    """What a commit's document says about a batch."""
    arrived = np.concatenate([each.arrived_us for each in judged.chunks])
    return {
        "source": judged.batch.source,
        "start": judged.batch.start,
        "end": judged.batch.end,
        "arrived_from": rfc3339(from_us(int(arrived.min()))),
        "arrived_to": rfc3339(from_us(int(arrived.max()))),
    }
