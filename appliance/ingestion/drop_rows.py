"""A dropped file, read by its mapping: rows with a reason each, column by column. Reads no clock and writes nothing.

Rules
1. The file's bytes must be text in the declared encoding, whole; one byte that is not refuses the file.
2. A declared column that the file lacks refuses the file; columns that are not declared are ignored. A file of JSON
   lines has no columns of its own: what a line lacks is missing there (`json_lines`).
3. A line with another number of fields than the header, a value of another type, a missing required value, a time
   after arrival, or a value out of bounds refuses the line, with the first reason that applies. Its text is kept.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from appliance.ingestion.json_lines import BadLine, Lines
from appliance.ingestion.mapping import Column, Mapping
from appliance.ingestion.rows import INSTANT
from appliance.ingestion.rules import AHEAD_US
from appliance.ingestion.sensitive.others import other_values

MAX_ROWS = 20_000_000  # of one dropped file
MODEST_BYTES = 32 * 1024 * 1024  # unpacked Parquet up to here is read whatever its expansion
MAX_LINE_CHARACTERS = 2_000  # of a refused line that are kept beside it; the whole file is kept as an object

_FORMS = {
    "long": r"^[+-]?[0-9]{1,18}$",
    "double": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$|^[+-]?(nan|NaN|inf|Inf)$",
    "boolean": r"^(true|false|True|False|0|1)$",
    "iso": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$",
}


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A refused line (None: the whole file), why, and its text as far as it is kept.

    Attributes:
        detail: says nothing that the file says.
        quoted: what more there is to say, in words of the file.
    """

    line: int | None
    code: str
    detail: str
    text: str
    quoted: str = ""

    @property
    def full_detail(self) -> str:
        return f"{self.detail}; {self.quoted}" if self.quoted else self.detail


@dataclass(frozen=True, kw_only=True)
class DropRows:
    """What a file holds.

    Attributes:
        table: accepted rows, columns of the mapping's `read_schema` but source and position.
        lines: lines of data.
        read: declared columns of all lines that have fields, by their names in the file, and ``line``.
        ignored: columns that the mapping does not declare, at least a sample of them; None where they could not be
            looked at, as those of a file that is refused as a whole.
    """

    table: pa.Table
    refusals: tuple[Refusal, ...]
    lines: int
    read: pa.Table = field(default_factory=lambda: pa.table({}))
    ignored: MappingOf[str, pa.ChunkedArray] | None = None


class _FileRefused(Exception):  # noqa: N818 - carries the verdict on a whole file to `read`
    def __init__(self, code: str, detail: str, quoted: str = "") -> None:
        super().__init__(detail)
        self.refusal = Refusal(line=None, code=code, detail=detail, text="", quoted=quoted)


def read(data: bytes, mapping: Mapping, arrived_us: int, *, max_expansion: int) -> DropRows:
    """Rows and refusals of a file. Raises nothing: what is wrong is in `refusals`."""
    try:
        if mapping.format == "jsonl":
            return _json_lines(data, mapping, arrived_us)
        ragged: list[Refusal] = []
        if mapping.format == "csv":
            raw, ragged = _csv(data, mapping)
            others = _others(raw.column_names, mapping)
            ignored: MappingOf[str, pa.ChunkedArray] | None = {raw.column_names[at]: raw.column(at) for at in others}
        else:
            raw, ignored = _parquet(data, mapping, max_expansion * len(data))
    except _FileRefused as error:
        return DropRows(table=pa.table({}), refusals=(error.refusal,), lines=0)
    return replace(_judge(raw, ragged, mapping, arrived_us, lambda bad: _joined(bad, mapping)), ignored=ignored)


def _others(names: list[str], mapping: Mapping) -> list[int]:
    """Places of the columns that the mapping does not declare."""
    wanted = {*_wanted(mapping), "line"}
    return [at for at, name in enumerate(names) if name not in wanted]


def _json_lines(data: bytes, mapping: Mapping, arrived_us: int) -> DropRows:
    _decoded(data, mapping)
    if data.count(b"\n") >= MAX_ROWS:
        raise _FileRefused("SIZE", f"it has more than {MAX_ROWS} lines")
    lines = Lines(data.removeprefix("\ufeff".encode()), [_time(mapping), *mapping.column])
    refused = [_bad_line(each) for each in lines.bad]

    def texts(bad: pa.Table) -> list[str]:
        return [lines.text(line)[:MAX_LINE_CHARACTERS] for line in bad["line"].to_pylist()]

    declared = frozenset(_wanted(mapping))
    return replace(_judge(lines.table, refused, mapping, arrived_us, texts), ignored=other_values(data, declared))


def _bad_line(bad: BadLine) -> Refusal:
    # A name that stands twice is the one thing of a line that its reason repeats.
    twice = bad.code == "COLUMNS"
    return Refusal(
        line=bad.line,
        code=bad.code,
        detail="a name stands twice" if twice else bad.detail,
        text=bad.text[:MAX_LINE_CHARACTERS],
        quoted=bad.detail if twice else "",
    )


def _decoded(data: bytes, mapping: Mapping) -> str:
    try:
        return data.decode(mapping.encoding)
    except UnicodeDecodeError as error:
        raise _FileRefused("ENCODING", f"byte {error.start} is not {mapping.encoding}: {error.reason}") from error


def _time(mapping: Mapping) -> Column:
    return Column(origin=mapping.time.column, name="event_time", type="timestamp")


def _csv(data: bytes, mapping: Mapping) -> tuple[pa.Table, list[Refusal]]:
    """All columns as text plus ``line``; lines with another number of fields apart."""
    text = _decoded(data, mapping)
    ragged: list[Refusal] = []

    def keep(row: Any) -> str:
        detail = f"expected {row.expected_columns} fields, got {row.actual_columns}"
        number = row.number - 1 if row.number is not None else None
        ragged.append(Refusal(line=number, code="COLUMNS", detail=detail, text=row.text[:MAX_LINE_CHARACTERS]))
        return "skip"

    header = text.lstrip("\ufeff").split("\n", 1)[0].rstrip("\r")
    names = [name.strip().strip('"') for name in header.split(mapping.delimiter)]
    wanted = _wanted(mapping)
    _check_columns(names, wanted)
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text.lstrip("\ufeff").encode()),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
            parse_options=pyarrow.csv.ParseOptions(delimiter=mapping.delimiter, invalid_row_handler=keep),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        raise _FileRefused("DECODE", "not CSV", str(error).splitlines()[0]) from error
    gone = {refusal.line for refusal in ragged}
    lines = [line for line in range(1, table.num_rows + len(ragged) + 1) if line not in gone]
    return table.append_column("line", pa.array(lines[: table.num_rows], pa.int64())), ragged


def _parquet(data: bytes, mapping: Mapping, max_bytes: int) -> tuple[pa.Table, MappingOf[str, pa.ChunkedArray] | None]:
    """Declared columns and ``line``; and the others, None where one is too large or holds more than plain values."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        wanted = _wanted(mapping)
        most, rows = max(max_bytes, MODEST_BYTES), file.metadata.num_rows
        size = rows * len(wanted) * 8  # at least; run-length coding makes it a few bytes in the file
        if rows > MAX_ROWS or size > most:
            raise _FileRefused("SIZE", f"it claims {rows} rows, which unpack to {size} bytes")
        _check_columns(file.schema_arrow.names, wanted)
        table = file.read(columns=wanted)
        others = [field for field in file.schema_arrow if field.name not in wanted]
        ignored = None
        if rows * (len(wanted) + len(others)) * 8 <= most and all(_is_plain(each.type) for each in others):
            ignored = {each.name: file.read(columns=[each.name]).column(0) for each in others}
    except (pa.ArrowException, OSError) as error:
        raise _FileRefused("DECODE", "not Parquet", str(error).splitlines()[0]) from error
    return table.append_column("line", pa.array(np.arange(1, table.num_rows + 1))), ignored


def _is_plain(type: pa.DataType) -> bool:
    return not (pa.types.is_nested(type) or pa.types.is_binary(type) or pa.types.is_large_binary(type))


def _wanted(mapping: Mapping) -> list[str]:
    return [mapping.time.column, *(each.origin for each in mapping.column)]


def _check_columns(found: list[str], wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in found]
    doubled = [name for name in wanted if found.count(name) > 1]
    if missing or doubled:
        words = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(doubled)} twice"
        raise _FileRefused("COLUMNS", f"the file {words}", f"it has {', '.join(found)[:500]}")


def _judge(
    raw: pa.Table,
    ragged: list[Refusal],
    mapping: Mapping,
    arrived_us: int,
    texts_of: Callable[[pa.Table], list[str]],
) -> DropRows:
    """`raw`: declared columns as text or typed, and ``line``; `texts_of` gives the text of each of its rows."""
    n = raw.num_rows
    codes = np.full(n, "", object)
    details = np.full(n, "", object)

    def refuse(mask: npt.NDArray[np.bool_], code: str, detail: str) -> None:
        first = mask & (codes == "")
        codes[first], details[first] = code, detail

    given: dict[str, Any] = {name: pa.array([value] * n, pa.string()) for name, value in mapping.constants.items()}
    for column in (_time(mapping), *mapping.column):
        source = raw[column.origin].combine_chunks()
        values = _typed(source, column, mapping)
        given[column.name] = values
        missing, absent = _flags(source.is_null()), _flags(values.is_null())
        refuse(absent & ~missing, "TYPE", f"{column.origin} is not a {column.type}")
        if column.required:
            refuse(missing, "MISSING", f"{column.origin} is empty")
        if column.type == "double":
            refuse(
                ~_flags(pc.fill_null(pc.is_finite(values), fill_value=True)), "NAN", f"{column.origin} is not finite"
            )
        # A long beyond 2**53 has no exact double, and a checked conversion would raise; near is enough for a bound.
        size = values.cast(pa.float64(), safe=False) if column.type == "long" else values
        if column.min is not None:
            refuse(_flags(pc.less(size, column.min)), "RANGE", f"{column.origin} is below {column.min}")
        if column.max is not None:
            refuse(_flags(pc.greater(size, column.max)), "RANGE", f"{column.origin} is above {column.max}")
    if mapping.arrival == "claim":
        given["arrived_at"] = pa.array(np.full(n, arrived_us)).cast(INSTANT)
    else:
        given["arrived_at"] = given[mapping.arrival]
    latest = pa.scalar(arrived_us + AHEAD_US, pa.int64()).cast(INSTANT)
    for name in ("event_time", "arrived_at"):
        refuse(_flags(pc.greater(given[name], latest)), "EVENT_TIME", f"{name} is after the file's arrival")
    given["line"] = raw["line"]
    good = codes == ""
    columns = [name for name in mapping.read_schema.names if name not in ("source", "position")]
    table = pa.table({name: given[name] for name in columns}).filter(pa.array(good))
    refusals = [*ragged, *_refusals(raw, good, codes, details, texts_of)]
    return DropRows(
        table=table,
        refusals=tuple(sorted(refusals, key=lambda each: each.line or 0)),
        lines=n + len(ragged),
        read=raw.select([*dict.fromkeys(_wanted(mapping)), "line"]),
    )


def _refusals(
    raw: pa.Table, good: Any, codes: Any, details: Any, texts_of: Callable[[pa.Table], list[str]]
) -> list[Refusal]:
    bad = raw.filter(pa.array(~good))
    return [
        Refusal(line=line, code=code, detail=detail, text=text)
        for line, code, detail, text in zip(
            bad["line"].to_pylist(), codes[~good].tolist(), details[~good].tolist(), texts_of(bad), strict=True
        )
    ]


def _joined(bad: pa.Table, mapping: Mapping) -> list[str]:
    """Lines as the file has them, but for quotes."""
    columns = (bad.column(at) for at, name in enumerate(bad.column_names) if name != "line")
    texts = zip(*(each.cast(pa.string()).to_pylist() for each in columns), strict=True)
    return [mapping.delimiter.join(value or "" for value in values)[:MAX_LINE_CHARACTERS] for values in texts]


def _flags(mask: Any) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.fill_null(mask, fill_value=False).to_numpy(zero_copy_only=False)
    return found


def _typed(source: Any, column: Column, mapping: Mapping) -> Any:
    """Values of the declared type; null where the source is null or something else."""
    if not pa.types.is_string(source.type) and not pa.types.is_large_string(source.type):
        return _from_typed(source, column, mapping)
    if column.type == "string":
        return source.cast(pa.string())
    if column.type == "timestamp":
        return _instants(source, mapping)
    fits = pc.match_substring_regex(source, _FORMS[column.type])
    return pc.if_else(fits, source, None).cast(
        {"long": pa.int64(), "double": pa.float64(), "boolean": pa.bool_()}[column.type]
    )


def _from_typed(source: Any, column: Column, mapping: Mapping) -> Any:
    """Columns of a Parquet file have types already; one that does not convert is refused line by line."""
    nulls = pa.nulls(len(source), INSTANT if column.type == "timestamp" else None)
    if column.type == "timestamp":
        if not pa.types.is_timestamp(source.type):
            return nulls
        return _zoned(source.cast(pa.timestamp("us", source.type.tz), safe=False), mapping)
    target = {"string": pa.string(), "long": pa.int64(), "double": pa.float64(), "boolean": pa.bool_()}[column.type]
    try:
        return source.cast(target)
    except pa.ArrowException:
        return pa.nulls(len(source), target)


def _instants(source: Any, mapping: Mapping) -> Any:
    if mapping.time.format != "iso":
        return _zoned(pc.strptime(source, format=mapping.time.format, unit="us", error_is_null=True), mapping)
    fits = pc.match_substring_regex(source, _FORMS["iso"])
    zoned = pc.match_substring_regex(source, r"(Z|[+-][0-9]{2}:?[0-9]{2})$")
    # A date alone ends in -dd, which is no zone.
    zoned = pc.and_(zoned, pc.greater(pc.utf8_length(source), 10))
    with_zone = pc.if_else(pc.and_(fits, zoned), source, None)
    without = pc.if_else(pc.and_(fits, pc.invert(zoned)), source, None)
    return pc.coalesce(_cast_each(with_zone, INSTANT), _zoned(_cast_each(without, pa.timestamp("us")), mapping))


def _cast_each(texts: Any, type: pa.DataType) -> Any:
    """Cast; where one text is no date of the calendar (31 February), that one becomes null."""
    try:
        return texts.cast(type)
    except pa.ArrowInvalid:
        return pa.array([_cast_one(each, type) for each in texts.to_pylist()], type)


def _cast_one(text: str | None, type: pa.DataType) -> Any:
    try:
        return pa.scalar(text, pa.string()).cast(type).as_py()
    except pa.ArrowInvalid:
        return None


def _zoned(naive: Any, mapping: Mapping) -> Any:
    if naive.type.tz is not None:
        return naive.cast(INSTANT)
    here = pc.assume_timezone(
        naive, mapping.time.zone, ambiguous=mapping.time.ambiguous, nonexistent=mapping.time.ambiguous
    )
    return here.cast(INSTANT)
