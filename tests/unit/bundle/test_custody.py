"""Two people, two keys, after the last scan, and not who imported: as the audit's records say."""

from __future__ import annotations

import pytest

from appliance.bundle import custody
from appliance.governance.audit import Record

RECEIVED = ("operator", "op", custody.RECEIVED, {"root_digest": "r"})
CLEAN = ("operator", "op", custody.SCANNED, {"outcome": custody.CLEAN})
DIRTY = ("operator", "op", custody.SCANNED, {"outcome": custody.REJECTED})


def approved(key: str, role: str = "approver") -> tuple[str, str, str, dict[str, str]]:
    return role, key, custody.APPROVED, {}


def records(*steps: tuple[str, str, str, dict[str, str]], id: str = "i") -> list[Record]:
    return [
        Record(
            index=index,
            digest=f"d{index}",
            fields={
                "phase": "intent", "role": role, "key_id": key, "action": action, "time": f"t{index}",
                "arguments": {"import": id, **told},
            },
        )
        for index, (role, key, action, told) in enumerate(steps)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([RECEIVED], "not scanned"),
        ([RECEIVED, DIRTY, approved("a"), approved("b")], "not found clean"),
        ([RECEIVED, CLEAN], "0 of 2"),
        ([RECEIVED, CLEAN, approved("a")], "1 of 2"),
        ([RECEIVED, CLEAN, approved("a"), approved("a")], "1 of 2"),
        ([RECEIVED, CLEAN, approved("a"), approved("op")], "1 of 2"),
        ([RECEIVED, CLEAN, approved("a"), approved("b", role="operator")], "1 of 2"),
        ([RECEIVED, approved("a"), CLEAN, approved("b")], "1 of 2"),
        ([RECEIVED, CLEAN, approved("a"), approved("b"), DIRTY], "not found clean"),
        ([RECEIVED, CLEAN, approved("a"), CLEAN, approved("b")], "1 of 2"),
        ([RECEIVED, CLEAN, approved("a"), approved("b")], ""),
        ([RECEIVED, DIRTY, RECEIVED, CLEAN, approved("a"), approved("b")], ""),
        ([RECEIVED, CLEAN, approved("a"), approved("op"), approved("b")], ""),
    ],
)
def test_who_may_release(steps: list, told: str) -> None:
    objection = custody.standing(records(*steps)).objection
    assert (objection == "") if told == "" else (told in objection)


def test_only_intents_about_this_import_are_its_custody() -> None:
    mine, other = records(RECEIVED, CLEAN), records(approved("a"), id="other")
    outcome = Record(index=9, digest="d", fields={**mine[0].fields, "phase": "outcome"})
    command = Record(index=9, digest="d", fields={**mine[0].fields, "action": "bundle.import"})
    assert custody.records_of([*mine, *other, outcome, command], "i") == mine
