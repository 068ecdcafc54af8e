"""A segment of the prediction log as records of a topic, and back again. Pure.

Rules
1. A prediction is one record: its line of the segment is the value, its entity the key, and headers say the number of
   the segment and of the line, both from 1. The last record says how many lines there are. A segment without a line is
   one record without a value, of line 0.
2. Segments come whole and in order, each at least once. A segment that was taken already is dropped, so that nothing
   comes twice, however often it was sent. One whose number skips another is an error, and so is a foreign record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from appliance.base.errors import ApplianceError
from appliance.ingestion.topics.buffer import Outgoing, Record
from appliance.serving import codes
from appliance.serving.contract import Prediction

SEGMENT, LINE, LINES = "segment", "line", "lines"  # headers: decimal numbers in ASCII
MAX_DIGITS = 12  # of a number in a header, as in the name of a segment

_decoder = msgspec.json.Decoder(Prediction)


@dataclass(frozen=True, kw_only=True)
class TakenSegment:
    """A segment that came whole: its records, none of them empty, and what they say."""

    number: int
    records: tuple[Record, ...]
    predictions: tuple[Prediction, ...]

    @property
    def size_bytes(self) -> int:
        """Of the values."""
        return sum(len(each.value or b"") for each in self.records)


def records_of(number: int, lines: Sequence[tuple[bytes, Prediction]]) -> list[Outgoing]:
    """The records of segment `number`, whose lines are `lines`."""
    if not lines:
        return [Outgoing(key=b"", value=None, headers=_headers(number, 0, last=True))]
    return [
        Outgoing(
            key=prediction.entity.encode(),
            value=line,
            headers=_headers(number, place, last=place == len(lines)),
        )
        for place, (line, prediction) in enumerate(lines, start=1)
    ]


def _headers(number: int, line: int, *, last: bool) -> tuple[tuple[str, bytes], ...]:
    found = {SEGMENT: number, LINE: line, **({LINES: line} if last else {})}
    return tuple((key, b"%d" % value) for key, value in found.items())


class Intake:
    """Puts segments together from records as they come.

    Attributes:
        taken: number of the last segment that the table has, or that was given.
        whole: no segment has begun that has not ended.
    """

    def __init__(self, source: str, taken: int) -> None:
        """`source` as in the position maps, for errors."""
        self._source = source
        self.taken = taken
        self._records: list[Record] = []
        self._predictions: list[Prediction] = []

    @property
    def whole(self) -> bool:
        return not self._records

    def add(self, record: Record) -> TakenSegment | None:
        """The segment that `record` is the last one of, if the table has not taken it.

        Raises:
            ApplianceError: APL-SERVE-009 it is no record of a segment, 010 a segment or a line is missing before it.
        """
        numbers = self._numbers(record)
        number, line = numbers[SEGMENT], numbers[LINE]
        if number <= self.taken:
            return None
        expected = len(self._records) + 1
        if number != self.taken + 1 or line not in (expected, 0):
            raise ApplianceError(
                codes.SEGMENTS_MISSING,
                f"expected segment {self.taken + 1} line {expected}, got segment {number} line {line}",
                where=self._where(record),
            )
        if line:
            self._predictions.append(self._prediction(record))
            self._records.append(record)
        if LINES not in numbers:
            return None
        found = TakenSegment(number=number, records=tuple(self._records), predictions=tuple(self._predictions))
        self.taken, self._records, self._predictions = number, [], []
        return found

    def _numbers(self, record: Record) -> Mapping[str, int]:
        given = dict(record.headers or ())
        numbers = {
            key: int(value)
            for key, value in given.items()
            if key in (SEGMENT, LINE, LINES) and value and value.isdigit() and len(value) <= MAX_DIGITS
        }
        line = numbers.get(LINE, -1)
        fits = set(given) == set(numbers) and numbers.get(SEGMENT, 0) >= 1 and line >= 0
        ends = numbers.get(LINES, line) == line  # only the last record says how many there are
        empty = line == 0
        if not fits or not ends or empty != (record.value is None) or (empty and LINES not in numbers):
            raise self._foreign(record, "its headers are not those of a prediction")
        return numbers

    def _prediction(self, record: Record) -> Prediction:
        try:
            return _decoder.decode(record.value or b"")
        except msgspec.DecodeError as error:
            raise self._foreign(record, str(error)) from error

    def _foreign(self, record: Record, detail: str) -> ApplianceError:
        return ApplianceError(codes.NOT_A_PREDICTION, f"offset {record.offset}: {detail}", where=self._where(record))

    def _where(self, record: Record) -> str:
        return f"{self._source} offset {record.offset}"
