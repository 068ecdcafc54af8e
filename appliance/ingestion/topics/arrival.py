"""The broker's time is a record's time of arrival; whether records of a topic can be believed in that. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.base.clock import from_us, rfc3339, to_us
from appliance.base.errors import ApplianceError
from appliance.ingestion.sink import EARLIEST_CLOCK
from appliance.ingestion.topics import codes
from appliance.ingestion.topics.buffer import LOG_APPEND_TIME, Record


def check_times(source: str, records: Sequence[Record]) -> None:
    """Refuse times that the producers gave, and those of a wrong clock.

    Raises:
        ApplianceError: APL-TOPIC-006, 011.
    """
    if any(each.timestamp_type != LOG_APPEND_TIME for each in records):
        raise ApplianceError(codes.TOPIC_UNFIT, f"{source} keeps the producers' times", where=source)
    earliest = min(each.timestamp for each in records)
    if earliest * 1000 < to_us(EARLIEST_CLOCK):
        raise ApplianceError(
            codes.BROKER_CLOCK, f"a record arrived at {rfc3339(from_us(earliest * 1000))}", where=source
        )
