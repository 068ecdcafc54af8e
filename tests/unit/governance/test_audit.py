"""No record, no action; and no record changes unseen."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from appliance.base import log as logs
from appliance.base.canonical import canonical, parse_canonical
from appliance.base.errors import ApplianceError
from appliance.governance.audit import Audit, bound, check_entries
from appliance.governance.roles import ROLES
from appliance.trust.tlog import TransparencyLog
from tests.unit.governance.conftest import Governed


def act(governed: Governed, role: str = "operator", action: str = "ingest.run", **arguments: str) -> None:
    intent = governed.audit.begin(role=role, action=action, arguments=arguments)
    governed.audit.end(intent, outcome="done", detail="")


@pytest.mark.parametrize("role", ROLES)
def test_a_record_says_who_what_on_what_and_how_it_ended(governed: Governed, role: str) -> None:
    with logs.tracing() as trace_id:
        intent = governed.audit.begin(role=role, action="model.retire", arguments={"name": "m", "version": "3"})
        governed.clock.at += dt.timedelta(seconds=2)
        governed.audit.end(intent, outcome="failed", detail="APL-MODEL-006")
    first, second = governed.audit.records()
    assert first.fields["arguments"] == {"name": "m", "version": "3"}
    assert (first.fields["phase"], second.fields["phase"], second.fields["intent"]) == (
        "intent",
        "outcome",
        first.index,
    )
    assert (second.fields["outcome"], second.fields["detail"]) == ("failed", "APL-MODEL-006")
    assert (first.fields["time"], second.fields["time"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:00:02Z")
    assert first.fields["key_id"] == governed.keys.key_id(role)
    assert first.fields["trace_id"] == second.fields["trace_id"] == trace_id
    assert second.fields["previous"] == first.digest
    assert governed.audit.check().ok


def test_other_entries_may_stand_between(governed: Governed) -> None:
    act(governed)
    governed.log.append([b"lineage %d" % index for index in range(300)])
    act(governed)
    governed.log.append([b'{"kind":"audit"}', b'"kind":"audit" in the text of something else'])
    other = Audit(governed.log, governed.keys, governed.clock)  # without memory of the records before
    other.end(other.begin(role="auditor", action="a.b", arguments={}), outcome="done", detail="")
    act(governed)
    assert [record.seq for record in governed.audit.records()] == list(range(8))
    check = governed.audit.check()
    assert (check.ok, check.records, check.unfinished) == (True, 8, ())


def test_two_programs_share_one_chain(governed: Governed) -> None:
    log = TransparencyLog(governed.log.folder, governed.log.key.origin, governed.enclave.log_signer)
    other = Audit(log, governed.keys, governed.clock)
    mine = governed.audit.begin(role="operator", action="a.b", arguments={})
    theirs = other.begin(role="operator", action="c.d", arguments={})
    governed.audit.end(mine, outcome="done", detail="")
    other.end(theirs, outcome="done", detail="")
    assert governed.audit.check().ok


def test_an_intent_without_outcome_is_reported(governed: Governed) -> None:
    intent = governed.audit.begin(role="operator", action="a.b", arguments={})
    assert governed.audit.check().unfinished == (intent.index,)


def test_arguments_are_bounded(governed: Governed) -> None:
    governed.audit.begin(role="operator", action="a.b", arguments={f"n{i}": "\0\u20ac" * 50_000 for i in range(100)})
    (record,) = governed.audit.records()
    assert len(governed.log.entry(record.index)) < 65_535
    assert record.fields["arguments"]["n0"].startswith("100000 characters, sha256:")
    assert record.fields["arguments"]["..."].startswith("68 more, sha256:")


def test_the_longest_record_fits(governed: Governed) -> None:
    worst = {"\0" * 127 + chr(0x10FFF0 - i): "\0" * 170 for i in range(40)}  # six bytes of JSON per NUL
    governed.audit.begin(role="operator", action="a.b", arguments=worst)


def test_arguments_that_are_not_utf8() -> None:
    assert bound({"path": "a\udcff"}) == {"path": "a\\udcff"}


class TestNoRecordNoAction:
    def test_unknown_role(self, governed: Governed) -> None:
        with pytest.raises(ApplianceError, match=r"ingest\.run as root was not recorded: APL-ROLE-001") as caught:
            governed.audit.begin(role="root", action="ingest.run", arguments={})
        assert caught.value.code.id == "APL-AUDIT-001"

    def test_missing_key(self, governed: Governed) -> None:
        (governed.folder / "keys/operator.pem").unlink()
        fresh = Audit(governed.log, type(governed.keys)(governed.folder / "keys"), governed.clock)
        with pytest.raises(ApplianceError, match="APL-TRUST-005") as caught:
            fresh.begin(role="operator", action="ingest.run", arguments={})
        assert caught.value.code.id == "APL-AUDIT-001"

    def test_damaged_log(self, governed: Governed) -> None:
        act(governed)
        tile = next((governed.log.folder / "tile/entries").rglob("8"))
        tile.write_bytes(tile.read_bytes()[:-1])
        with pytest.raises(ApplianceError, match="APL-TRUST-002") as caught:
            governed.audit.begin(role="operator", action="ingest.run", arguments={})
        assert caught.value.code.id == "APL-AUDIT-001"

    def test_unwritable_log(self, governed: Governed) -> None:
        (governed.log.folder / "lock").unlink()
        (governed.log.folder / "lock").mkdir()
        with pytest.raises(ApplianceError, match="APL-BASE-002") as caught:
            governed.audit.begin(role="operator", action="ingest.run", arguments={})
        assert caught.value.code.id == "APL-AUDIT-001"
        assert caught.value.where == str(governed.log.folder / "lock")


def test_every_flipped_byte_on_disk_is_found(governed: Governed) -> None:
    act(governed)
    (tile,) = (governed.log.folder / "tile/entries").rglob("8")
    data = tile.read_bytes()
    for position in range(len(data)):
        tile.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        check = governed.audit.check()
        assert (check.ok, check.where) == (False, str(tile))


class TestForgedRecords:
    """By somebody who holds the log's key, but no role key: the chain and the signatures still tell."""

    def rewritten(self, governed: Governed, index: int, changed: bytes | None) -> Any:
        """The check of a log that is like this one, except for entry `index`."""
        entries = list(governed.log.entries())
        entries[index : index + 1] = [changed] if changed is not None else []
        forged = TransparencyLog(governed.folder / "forged", governed.log.key.origin, governed.enclave.log_signer)
        forged.create()
        forged.append(entries)
        return check_entries(list(forged.entries()), "forged")

    def edited(self, governed: Governed, index: int, **changes: Any) -> bytes:
        return canonical({**parse_canonical(governed.log.entry(index)), **changes})

    @pytest.fixture
    def acted(self, governed: Governed) -> Governed:
        act(governed, name="a")
        act(governed, name="b")
        return governed  # entries 0 to 5 enroll, 6 to 9 are records

    @pytest.mark.parametrize(
        ("index", "changes", "fault"),
        [
            (6, {"arguments": {"name": "x"}}, "the signature is not by the role's key"),
            (6, {"time": "2026-03-01T12:00:01Z"}, "the signature is not by the role's key"),
            (7, {"outcome": "failed"}, "the signature is not by the role's key"),
            (6, {"role": "approver"}, "expected role operator by its key, got approver"),
            (6, {"key_id": "sha256:" + "0" * 64}, "is not enrolled"),
            (6, {"signature": "!"}, "the signature is not base64"),
            (6, {"signature": None}, "the signature is not base64"),
            (8, {"seq": 9}, "expected seq 2, got 9"),
            (8, {"previous": None}, "expected previous sha256:"),
        ],
    )
    def test_changed(self, acted: Governed, index: int, changes: dict[str, Any], fault: str) -> None:
        check = self.rewritten(acted, index, self.edited(acted, index, **changes))
        assert check.index == index
        assert fault in check.fault

    @pytest.mark.parametrize(("index", "bad"), [(6, 6), (7, 7), (8, 8)])
    def test_removed(self, acted: Governed, index: int, bad: int) -> None:
        check = self.rewritten(acted, index, None)
        assert (check.index, "expected previous" in check.fault) == (bad, True)

    def test_every_changed_byte_of_a_record(self, acted: Governed) -> None:
        entry = acted.log.entry(6)
        entries = list(acted.log.entries())
        for position in range(len(entry)):
            changed = entry[:position] + bytes([entry[position] ^ 1]) + entry[position + 1 :]

            assert not check_entries([*entries[:6], changed, *entries[7:]], "x").ok, (position, changed)

    def test_signed_by_the_right_key_for_another_place(self, acted: Governed) -> None:
        check = self.rewritten(acted, 8, acted.log.entry(6))
        assert (check.index, "expected previous" in check.fault) == (8, True)

    def test_an_enrollment_cannot_come_after(self, acted: Governed) -> None:
        entries = list(acted.log.entries())

        check = check_entries(entries[6:] + entries[:6], "x")
        assert (check.index, "is not enrolled" in check.fault) == (0, True)

    def test_an_outcome_by_another_role(self, governed: Governed) -> None:
        intent = governed.audit.begin(role="operator", action="a.b", arguments={})
        governed.audit.end(type(intent)(index=intent.index, role="approver", action="a.b"), outcome="done", detail="")
        assert "another role" in governed.audit.check().fault

    def test_an_outcome_twice(self, governed: Governed) -> None:
        intent = governed.audit.begin(role="operator", action="a.b", arguments={})
        for _ in range(2):
            governed.audit.end(intent, outcome="done", detail="")
        assert "not an open intent" in governed.audit.check().fault


def test_records_are_plain_json(governed: Governed) -> None:
    """An auditor with nothing but jq can read them."""
    act(governed)
    fields = json.loads(governed.log.entry(6))
    assert set(fields) == {
        *("kind", "seq", "time", "trace_id", "role", "key_id", "phase", "action", "arguments", "intent"),
        *("outcome", "detail", "previous", "signature"),
    }
