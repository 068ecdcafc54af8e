"""Why a row is refused: one table of reason codes, shared by readings and drops.

A row carries the first reason that applies, in the order of this table. The reference page of the codes is generated
from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Attributes:
    code: what the row carries, stable for ever.
    title: a few words.
    meaning: when it applies, and what it tends to mean.
    """

    code: str
    title: str
    meaning: str


REASONS: tuple[Reason, ...] = (
    Reason(
        code="SCHEMA",
        title="Another schema",
        meaning="The file's writer schema is not that of a reading batch. The whole file is refused.",
    ),
    Reason(
        code="SIZE",
        title="Beyond the limits",
        meaning="The file, a block or a count in it claims or unpacks to more than the limits of hostile input allow.",
    ),
    Reason(
        code="DECODE",
        title="Cannot be decoded",
        meaning="Bytes are cut short, damaged or in another encoding. The rest of the file is kept where it can be.",
    ),
    Reason(
        code="DUPLICATE",
        title="Taken already",
        meaning="The record (device, sequence, produced_at) or the reading (device, measure, event time) came before; "
        "the first by position stands.",
    ),
    Reason(
        code="DEVICE",
        title="Not a device",
        meaning="The device id or the firmware is empty, too long, reserved, or holds characters that ids do not have.",
    ),
    Reason(
        code="MEASURE",
        title="Unknown measure",
        meaning="The measure is not declared in measures.toml; often a new or renamed code.",
    ),
    Reason(
        code="UNIT",
        title="Another unit",
        meaning="The unit is not the one that is declared for the measure.",
    ),
    Reason(
        code="EVENT_TIME",
        title="Impossible time",
        meaning="The event time is before 2000 or more than an hour after arrival; milliseconds or seconds sent as "
        "microseconds look like this.",
    ),
    Reason(code="NAN", title="Not a number", meaning="The value is NaN or infinite."),
    Reason(
        code="RANGE",
        title="Out of range",
        meaning="The value is outside the physical range that is declared for the measure.",
    ),
    Reason(
        code="QUALITY",
        title="Bad quality",
        meaning="The device itself marks the reading with a quality that is not declared as accepted.",
    ),
    Reason(
        code="STUCK",
        title="Stuck sensor",
        meaning="Sixteen or more identical values in a row of a measure that is not declared to rest.",
    ),
    Reason(
        code="CONTRACT",
        title="Breaks the contract",
        meaning="The reading breaks a check of the contract of silver.readings that is judged in the sink; the detail "
        "names the check.",
    ),
    Reason(
        code="TYPE",
        title="Not of the declared type",
        meaning="Drops only: the text of a column is not a value of the type that the mapping declares.",
    ),
    Reason(
        code="MISSING",
        title="A required value is missing",
        meaning="Drops only: a column that the mapping requires is empty.",
    ),
    Reason(
        code="ENCODING",
        title="Another encoding",
        meaning="Drops only: the file's bytes are not text in the encoding that the mapping declares.",
    ),
    Reason(
        code="COLUMNS",
        title="Other columns",
        meaning="Drops only: the file lacks a declared column, or a line has another number of fields than the header.",
    ),
    Reason(
        code="SENSITIVE",
        title="Sensitive and not declared",
        meaning="Drops only: a column holds what looks like sensitive data, and the mapping does not say what it is. "
        "The whole file waits, sealed, and is taken by itself when the mapping says so.",
    ),
    Reason(
        code="ERASED",
        title="Of an erased subject",
        meaning="Drops only: the line is about a subject whose data key was destroyed. Nothing of it is kept.",
    ),
)

BY_CODE = {reason.code: reason for reason in REASONS}
