"""A gap between what was captured and what the source can still give is told; nothing else is taken for one."""

import pytest

from appliance.ingestion.changes.slot import Place, Slot, gap, place_of, text_of


def slot(confirmed=100, status="reserved", end=200):
    return Slot(confirmed_lsn=confirmed, wal_status=status, log_end_lsn=end, held_bytes=0)


CASES = {
    "nothing captured yet": (slot(confirmed=None), None, ""),
    "all confirmed": (slot(), Place(lsn=100, snapshot=False), ""),
    "captured, not confirmed yet": (slot(), Place(lsn=150, snapshot=False), ""),
    "captured up to the end": (slot(), Place(lsn=200, snapshot=False), ""),
    "log that is kept beyond its limit": (slot(status="unreserved"), Place(lsn=150, snapshot=False), ""),
    "slot gone": (slot(confirmed=None), Place(lsn=100, snapshot=False), "the slot is gone"),
    "log removed": (slot(status="lost"), Place(lsn=150, snapshot=False), "removed the log"),
    "slot made anew": (slot(confirmed=101), Place(lsn=100, snapshot=False), "the slot begins at 0/65"),
    "source restored": (slot(end=199), Place(lsn=200, snapshot=False), "restored from an older copy"),
}


@pytest.mark.parametrize("name", CASES)
def test_gap(name):
    found, place, expected = CASES[name]
    assert (expected in gap(found, place)) if expected else gap(found, place) == ""


OFFSETS = {
    "never asked": ({}, None),
    "none": ({"offsets": []}, None),
    "removed": ({"offsets": [{"partition": {}, "offset": None}]}, None),
    "before the first change": ({"offsets": [{"offset": {"ts_usec": 1}}]}, None),
    "the furthest counts": (
        {"offsets": [{"offset": {"lsn": 5, "lsn_proc": 9, "lsn_commit": 7}}]},
        Place(lsn=9, snapshot=False),
    ),
    "snapshot under way": (
        {"offsets": [{"offset": {"lsn": 5, "incremental_snapshot_collections": "[{}]"}}]},
        Place(lsn=5, snapshot=True),
    ),
}


@pytest.mark.parametrize("name", OFFSETS)
def test_place(name):
    answer, expected = OFFSETS[name]
    assert place_of(answer) == expected


@pytest.mark.parametrize(("lsn", "text"), [(0, "0/0"), (0x16B374D848, "16/B374D848"), (2**64 - 1, "FFFFFFFF/FFFFFFFF")])
def test_a_place_is_written_as_postgresql_does(lsn, text):
    assert text_of(lsn) == text
