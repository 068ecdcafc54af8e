"""From claimed files to judged rows: what one batch brings to each table. Reads no clock and commits nothing."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from appliance.base.clock import from_us, rfc3339, to_us
from appliance.ingestion import fingerprint, rows
from appliance.ingestion.declarations import US_PER_UNIT, Declared
from appliance.ingestion.decode import Decoded, Fault
from appliance.ingestion.history import Flags, Longs, ReadingHistory, RecordHistory, Words
from appliance.ingestion.positions import Batch
from appliance.ingestion.reading import UNKNOWN_DEVICE
from appliance.ingestion.rules import CODES, DUPLICATE, EVENT_TIME, OK, Columns, Rulebook, classify
from appliance.ingestion.spool import ClaimedFile
from appliance.observability.alerts import Alert

FIRST_US = to_us(dt.datetime(1, 1, 1, tzinfo=dt.UTC))
LAST_US = to_us(dt.datetime(9999, 12, 31, tzinfo=dt.UTC))


@dataclass(frozen=True, kw_only=True)
class TakenFile:
    """A claimed file with its bytes kept and decoded."""

    file: ClaimedFile
    digest: str
    size_bytes: int
    arrived_us: int
    decoded: Decoded


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
    """A batch and its verdicts: `codes` per reading (`rules.CODES`), rows of what gave no readings, and alarms."""

    batch: Batch
    files: Sequence[TakenFile]
    readings: Readings
    codes: npt.NDArray[np.int8]
    units: Sequence[str]
    alerts: Sequence[Alert]


def arrival_us(file: ClaimedFile, decoded: Decoded, *, trust_received_at: bool) -> int:
    """The collector's stamp if it is to be believed and not after the claim; else the time of the claim."""
    if trust_received_at and decoded.received_at is not None:
        return min(to_us(decoded.received_at), file.claimed_us)
    return file.claimed_us


def side_by_side(files: Sequence[TakenFile], event_time_units: Mapping[str, str]) -> Readings:
    counts = [each.decoded.rows.num_rows for each in files]
    table = pa.concat_tables([each.decoded.rows for each in files]).unify_dictionaries().combine_chunks()
    columns = Columns.of(table)
    fixed = fix_event_times(columns.event_time, columns.firmware, event_time_units)
    if fixed is not columns.event_time:
        table = table.set_column(table.schema.get_field_index("event_time"), "event_time", pa.array(fixed))
    return Readings(
        table=table,
        columns=Columns.of(table),
        sent=columns.event_time,
        position=np.repeat(np.array([each.file.position for each in files], np.int64), counts),
        arrived_us=np.repeat(np.array([each.arrived_us for each in files], np.int64), counts),
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
    files: Sequence[TakenFile],
    declared: Declared,
    records: RecordHistory,
    history: ReadingHistory,
    silver_snapshot: int | None,
) -> Judged:
    """Verdicts and alarms. Both histories have taken the batch afterwards."""
    records.stand_at(batch.start)
    decoders = declared.decoders.event_time_units()
    readings = side_by_side(files, decoders)
    counts = [each.decoded.headers.num_rows for each in files]
    headers = pa.concat_tables([each.decoded.headers for each in files]).unify_dictionaries().combine_chunks()
    per_record = headers["readings"].to_numpy()
    device = Words.of(headers["device_id"])
    produced_at = headers["produced_at"].to_numpy()
    repeated = records.repeated(device, headers["sequence"].to_numpy(), produced_at)
    arrived_us = np.repeat(np.array([each.arrived_us for each in files], np.int64), counts)
    unit = _units_shown(readings.sent, per_record, arrived_us)
    codes = classify(
        readings.columns,
        Rulebook.of(declared.measures),
        record_ids=np.repeat(np.arange(headers.num_rows), per_record),
        arrived_us=readings.arrived_us,
        repeated=np.repeat(repeated, per_record),
    )
    columns = readings.columns
    again = history.repeated(columns.device, columns.measure, columns.event_time, codes == OK, silver_snapshot)
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
    return Judged(batch=batch, files=files, readings=readings, codes=codes, units=units, alerts=alerts)


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
    """`rows.RAW` of the files in `part`."""
    taken, headers, first = [], [], 0
    for each in judged.files:
        count = each.decoded.headers.num_rows
        units, first = judged.units[first : first + count], first + count
        if part.start <= each.file.position < part.end:
            taken.append(each)
            headers.append(_header_list(each.decoded, units))
    return pa.Table.from_arrays(
        [
            pa.array([part.source] * len(taken)),
            pa.array([each.file.position for each in taken], pa.int64()),
            pa.array([each.file.name for each in taken]),
            pa.array([each.digest for each in taken]),
            pa.array([each.size_bytes for each in taken], pa.int64()),
            pa.array([each.arrived_us for each in taken], rows.INSTANT),
            pa.array([each.decoded.headers.num_rows for each in taken], pa.int32()),
            pa.concat_arrays(headers),
        ],
        schema=rows.RAW,
    )


def _header_list(decoded: Decoded, units: Sequence[str]) -> pa.ListArray:
    lost = len(decoded.faults)
    names = ("device_id", "firmware", "sequence", "produced_at", "readings")
    plain = {name: decoded.headers[name].combine_chunks().cast(rows.HEADER.field(name).type) for name in names}
    plain["event_time_unit"] = pa.array(units, pa.string())
    found = pa.StructArray.from_arrays([plain[field.name] for field in rows.HEADER], fields=list(rows.HEADER))
    if lost:
        unknown = {"device_id": UNKNOWN_DEVICE, "firmware": "", "sequence": 0, "produced_at": 0, "event_time_unit": ""}
        found = pa.concat_arrays([found, pa.array([{**unknown, "readings": lost}], rows.HEADER)])
    return pa.ListArray.from_arrays(pa.array([0, len(found)], pa.int32()), found, type=rows.RAW.field("headers").type)


def silver_rows(judged: Judged, part: Batch, accepted: Flags) -> pa.Table:
    """`rows.SILVER` of the accepted readings in `part`."""
    wanted = accepted & _inside(judged.readings, part)
    return select_readings(judged.readings, part.source, wanted, rows.SILVER, {})


def quarantine_rows(judged: Judged, part: Batch) -> pa.Table:
    """`rows.QUARANTINE` of the refused readings and of what could not be decoded in `part`."""
    refused = (judged.codes != OK) & _inside(judged.readings, part)
    codes = judged.codes[refused]
    digests = {each.file.position: number for number, each in enumerate(judged.files)}
    file_numbers = np.array([digests[each] for each in judged.readings.position[refused].tolist()], np.int32)
    sent = pa.array(judged.readings.sent[refused]).cast(pa.string())
    detail = pc.if_else(pa.array(codes == EVENT_TIME), pc.binary_join_element_wise("sent as ", sent, ""), None)
    extra = {
        "code": pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(CODES)),
        "detail": detail,
        "raw_digest": pa.DictionaryArray.from_arrays(
            pa.array(file_numbers), pa.array([each.digest for each in judged.files])
        ),
    }
    readings = select_readings(judged.readings, part.source, refused, rows.QUARANTINE, extra)
    instants = readings["event_time"].cast(pa.int64()).to_numpy()
    no_instant = (instants < FIRST_US) | (instants > LAST_US)
    if no_instant.any():
        shown = pa.array(instants, mask=no_instant).cast(rows.INSTANT)
        readings = readings.set_column(readings.schema.get_field_index("event_time"), "event_time", shown)
    lost = [
        fault_row(part.source, each, fault)
        for each in judged.files
        if part.start <= each.file.position < part.end
        for fault in each.decoded.faults
    ]
    return pa.concat_tables([readings.cast(rows.QUARANTINE), pa.Table.from_pylist(lost, rows.QUARANTINE)])


def fault_row(source: str, taken: TakenFile, fault: Fault) -> dict[str, object]:
    return {
        "device_id": UNKNOWN_DEVICE,
        "arrived_at": from_us(taken.arrived_us),
        "source": source,
        "position": taken.file.position,
        "record": fault.record,
        "code": fault.code,
        "detail": fault.detail,
        "raw_digest": taken.digest,
    }


def select_readings(
    readings: Readings, source: str, wanted: Flags, schema: pa.Schema, extra: Mapping[str, pa.Array]
) -> pa.Table:
    """The wanted readings as columns of `schema`; `extra` columns have one entry per wanted reading."""
    mask = pa.array(wanted)
    table = readings.table.filter(mask)
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
    found.update(fault.code for each in judged.files for fault in each.decoded.faults)
    return found


def describe(batch: Batch, declared: Declared, first_us: int, last_us: int) -> dict[str, object]:
    """The facts of a commit that do not depend on the table."""
    return {
        "source": batch.source,
        "start": batch.start,
        "end": batch.end,
        "measures": declared.measures.digest,
        "arrived_from": rfc3339(from_us(first_us)),
        "arrived_to": rfc3339(from_us(last_us)),
    }
