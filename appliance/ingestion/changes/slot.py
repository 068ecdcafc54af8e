"""Whether what was captured and what the source can still give meet without a gap. Pure.

A replication slot keeps the database's log from the place that its reader has confirmed (PostgreSQL 15, 49.2.2);
Connect keeps the place up to which it has brought changes to Kafka. Confirmed comes after brought, so a slot that
stands further than Connect's place was made anew or moved on by somebody else, and what lies between was never seen.
Debezium is told to stop before such a slot; this is what tells people why, also while it does not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A slot and the log that it stands in, as the database tells.

    Attributes:
        confirmed_lsn: up to where its reader has confirmed; none: there is no such slot.
        wal_status: PostgreSQL's word: reserved, extended, unreserved or lost.
        log_end_lsn: where the database's log ends.
        held_bytes: log that is kept for the slot.
    """

    confirmed_lsn: int | None
    wal_status: str
    log_end_lsn: int
    held_bytes: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """Up to where Connect has brought changes; `snapshot` tells whether one is under way."""

    lsn: int
    snapshot: bool


def place_of(offsets: Mapping[str, Any]) -> Place | None:
    """Connect's place, of its answer about a connector's offsets; none before the first change.

    The keys are Debezium's: the last change that was brought, and the last commit.
    """
    found = [each["offset"] for each in offsets.get("offsets") or () if each.get("offset")]
    if not found:
        return None
    lsns = [int(found[0][key]) for key in ("lsn", "lsn_proc", "lsn_commit") if found[0].get(key) is not None]
    collections = found[0].get("incremental_snapshot_collections")
    return Place(lsn=max(lsns), snapshot=bool(collections)) if lsns else None


def gap(slot: Slot, place: Place | None) -> str:
    """What was lost, for people; empty where nothing was."""
    if place is None:
        return ""  # nothing was captured yet: the first snapshot reads all there is
    if slot.confirmed_lsn is None:
        return f"the slot is gone; changes after {text_of(place.lsn)} cannot be had"
    if slot.wal_status == "lost":
        return f"the database has removed the log that the slot needs; changes after {text_of(place.lsn)} are gone"
    if slot.confirmed_lsn > place.lsn:
        return f"the slot begins at {text_of(slot.confirmed_lsn)}, changes were captured up to {text_of(place.lsn)}"
    if slot.log_end_lsn < place.lsn:
        return (
            f"the database's log ends at {text_of(slot.log_end_lsn)}, before {text_of(place.lsn)} that was captured: "
            "it was restored from an older copy"
        )
    return ""


def text_of(lsn: int) -> str:
    """A place in the log as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
