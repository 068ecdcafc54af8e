"""Witnesses cosign what extends what they saw, remember before they answer, and count as the policy says."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import ClassVar

import pytest

from appliance.base import atomic
from appliance.base.clock import FixedClock
from appliance.base.errors import ApplianceError
from appliance.trust import cosignatures, keys, merkle, notes, witness, witness_policy
from appliance.trust.log_proof import LogProof, make_proof, parse_proof
from appliance.trust.tlog import TransparencyLog
from appliance.trust.witness import Witness
from appliance.trust.witness_policy import WitnessPolicy

CLOCK = FixedClock(dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC))


@pytest.fixture
def log(tmp_path: Path) -> TransparencyLog:
    made = TransparencyLog(tmp_path / "log", "log.north.appliance.internal", keys.generate("ed25519"))
    made.create()
    made.append([b"%d" % number for number in range(300)])
    return made


@pytest.fixture
def officer(tmp_path: Path) -> Witness:
    witness.create_witness(tmp_path / "officer", "w1.audit.example")
    return witness.open_witness(tmp_path / "officer", CLOCK)


def request(log: TransparencyLog, old: int) -> bytes:
    return witness.make_request(log.tree(), log.checkpoint(), old)


def refusal(officer: Witness, data: bytes, log: TransparencyLog) -> str:
    with pytest.raises(ApplianceError) as caught:
        officer.cosign(data, (log.key,))
    return caught.value.code.id


def test_it_cosigns_what_extends_what_it_saw(log: TransparencyLog, officer: Witness) -> None:
    for old, entries in ((0, 0), (300, 0), (300, 7), (307, 1)):
        if entries:
            log.append([b"more"] * entries)
        head = log.checkpoint()
        line = officer.cosign(request(log, old), (log.key,))
        note = cosignatures.with_lines(head.note, line, [officer.key])
        assert cosignatures.cosigned(note, [officer.key]) == {"w1.audit.example": int(CLOCK.at.timestamp())}
        assert notes.open_checkpoint(note, log.key).size == head.size
        seen = officer.last(log.key)
        assert seen is not None
        assert (seen.size, seen.root_hash) == (head.size, head.root)


def test_a_request_fits_a_code_on_paper(log: TransparencyLog, officer: Witness) -> None:
    log.append([b"%d" % number for number in range(70_000)])
    assert len(request(log, 299)) <= witness.MAX_REQUEST_BYTES == 2_048
    assert officer.cosign(request(log, 0), (log.key,))


class TestRefused:
    """And nothing is remembered."""

    @pytest.fixture
    def saw(self, log: TransparencyLog, officer: Witness) -> bytes:
        """What lies in the witness's memory after it has seen 300 entries."""
        officer.cosign(request(log, 0), (log.key,))
        return self.memory(officer, log)

    def memory(self, officer: Witness, log: TransparencyLog) -> bytes:
        return officer._memory(log.key).read_bytes()

    def test_rollback(self, log: TransparencyLog, officer: Witness, tmp_path: Path, saw: bytes) -> None:
        small = TransparencyLog(tmp_path / "small", log.key.origin, log._signer)
        small.create()
        small.append([b"%d" % number for number in range(299)])
        assert refusal(officer, request(small, 0), log) == "APL-TRUST-018"
        assert self.memory(officer, log) == saw

    @pytest.mark.parametrize("more", [0, 1, 50])
    def test_fork(self, log: TransparencyLog, officer: Witness, tmp_path: Path, saw: bytes, more: int) -> None:
        """By the real log key, as long as the true log or longer."""
        forked = TransparencyLog(tmp_path / "forked", log.key.origin, log._signer)
        forked.create()
        forked.append([b"other %d" % number for number in range(300 + more)])
        assert refusal(officer, request(forked, 300), log) == "APL-TRUST-019"
        assert self.memory(officer, log) == saw

    def test_another_start(self, log: TransparencyLog, officer: Witness, saw: bytes) -> None:
        log.append([b"more"])
        with pytest.raises(ApplianceError, match="this witness saw 300") as caught:
            officer.cosign(request(log, 299), (log.key,))
        assert (caught.value.code.id, "--old 300" in caught.value.hint) == ("APL-TRUST-027", True)
        assert self.memory(officer, log) == saw

    def test_a_strange_log(self, officer: Witness, log: TransparencyLog, tmp_path: Path) -> None:
        strange = TransparencyLog(tmp_path / "strange", log.key.origin, keys.generate("ed25519"))
        strange.create()
        assert refusal(officer, request(strange, 0), log) == "APL-TRUST-027"

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: b"",
            lambda data: data[:-1],
            lambda data: b"old 00\n" + data.partition(b"\n")[2],
            lambda data: b"old -1\n" + data.partition(b"\n")[2],
            lambda data: b"old  0\n" + data.partition(b"\n")[2],
            lambda data: data.replace(b"old 0\n", b"old 0\nAAAA\n"),
            lambda data: data.replace(b"old 0\n", b"old 0\n" + b"A" * 43 + b"=\n"),
            lambda data: data + b"x" * 2_048,
            lambda data: data.replace(b"\n\n", b"\n"),
        ],
    )
    def test_other_forms(self, log: TransparencyLog, officer: Witness, change: object) -> None:
        bad = change(request(log, 0))  # type: ignore[operator]
        assert refusal(officer, bad, log) in ("APL-TRUST-027", "APL-TRUST-019", "APL-TRUST-003")
        assert officer.last(log.key) is None

    def test_a_damaged_memory_does_not_pass_for_none(self, log: TransparencyLog, officer: Witness, saw: bytes) -> None:
        officer._memory(log.key).write_bytes(saw[:-9])
        log.append([b"more"])
        assert refusal(officer, request(log, 300), log) == "APL-TRUST-031"


def test_it_remembers_before_it_answers(
    log: TransparencyLog, officer: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash between the two it has seen a tree that it did not cosign, never the other way round."""
    order: list[str] = []
    write, sign = atomic.write_bytes, cosignatures.cosign
    monkeypatch.setattr(atomic, "write_bytes", lambda *a, **k: (order.append("remembered"), write(*a, **k))[1])
    monkeypatch.setattr(cosignatures, "cosign", lambda *a: (order.append("signed"), sign(*a))[1])
    officer.cosign(request(log, 0), (log.key,))
    assert order == ["remembered", "signed"]


def test_a_rotated_log_key_does_not_make_a_witness_forget(log: TransparencyLog, officer: Witness) -> None:
    officer.cosign(request(log, 0), (log.key,))
    key = keys.generate("ed25519")
    successor = notes.log_key(log.key.origin, key.public)
    forked = notes.sign_checkpoint(key, successor, 300, b"\1" * 32)
    with pytest.raises(ApplianceError) as caught:
        officer.cosign(witness.Request(old_size=0, proof=(), note=forked).encode(), (successor,))
    assert caught.value.code.id == "APL-TRUST-019"


class TestQuorum:
    WITNESSES: ClassVar = {name: keys.generate("ed25519") for name in ("a", "b", "c")}

    def known(self) -> dict[str, cosignatures.WitnessKey]:
        return {
            name: cosignatures.WitnessKey(name=f"{name}.example", public=notes.log_key(name, key.public).public)
            for name, key in self.WITNESSES.items()
        }

    def policy(self, log: TransparencyLog, needed: int = 2) -> WitnessPolicy:
        return witness_policy.parse_witness_policy(witness_policy.make_policy(log.key, self.known(), needed))

    def note(self, log: TransparencyLog, **times: int) -> bytes:
        note = log.checkpoint().note
        for name, seconds in times.items():
            note += cosignatures.cosign(self.WITNESSES[name], self.known()[name], note, seconds).encode()
        return note

    @pytest.mark.parametrize(
        ("times", "newest"),
        [
            ({"a": 100, "b": 200}, 100),
            ({"a": 100, "b": 200, "c": 300}, 200),
            ({"a": 9_999_999_999, "b": 200, "c": 201}, 201),  # a clock ahead does not set it
            ({"a": 1, "b": 200, "c": 201}, 200),  # nor does one behind
        ],
    )
    def test_newest_witnessed_time(self, log: TransparencyLog, times: dict[str, int], newest: int) -> None:
        assert self.policy(log).witnessed_at(self.note(log, **times)) == newest

    @pytest.mark.parametrize("times", [{}, {"a": 1}])
    def test_too_few(self, log: TransparencyLog, times: dict[str, int]) -> None:
        with pytest.raises(ApplianceError, match="expected the quorum") as caught:
            self.policy(log).witnessed_at(self.note(log, **times))
        assert caught.value.code.id == "APL-TRUST-017"

    def test_strangers_are_ignored_and_known_ones_must_verify(self, log: TransparencyLog) -> None:
        stranger = keys.generate("ed25519")
        as_a = self.known()["a"]
        key = cosignatures.WitnessKey(name="s", public=notes.log_key("s", stranger.public).public)
        head = log.checkpoint().note
        good = self.note(log, a=1, b=2) + cosignatures.cosign(stranger, key, head, 3).encode()
        assert self.policy(log).witnessed_at(good) == 1
        forged = self.note(log, b=2, c=3) + cosignatures.cosign(stranger, as_a, head, 4).encode()
        with pytest.raises(ApplianceError, match=r"a\.example does not verify"):
            self.policy(log).witnessed_at(forged)

    def test_one_witness_cannot_count_twice(self, log: TransparencyLog) -> None:
        note = self.note(log, a=1)
        again = note + cosignatures.cosign(self.WITNESSES["a"], self.known()["a"], note, 2).encode()
        with pytest.raises(ApplianceError, match="stands twice"):
            self.policy(log).witnessed_at(again)

    @pytest.mark.parametrize("seconds", [253_402_300_800, 2**63, 2**64 - 1])
    def test_a_time_of_no_calendar(self, log: TransparencyLog, seconds: int) -> None:
        with pytest.raises(ApplianceError, match="no calendar") as caught:
            self.policy(log, needed=1).witnessed_at(self.note(log, a=seconds))
        assert caught.value.code.id == "APL-TRUST-017"
        assert self.policy(log, needed=1).witnessed_at(self.note(log, a=253_402_300_799)) == 253_402_300_799

    def test_a_cosignature_of_another_tree_does_not_count(self, log: TransparencyLog) -> None:
        old = self.note(log, a=1, b=2)
        log.append([b"more"])
        moved = log.checkpoint().note + old.partition(b"\n\n")[2].partition(b"\n")[2]
        with pytest.raises(ApplianceError, match="does not verify"):
            self.policy(log).witnessed_at(moved)


KEY = "log.test+6fbde4a3+AQ"
LINES = {
    "no quorum": "log {log}\n",
    "two quorums": "log {log}\nquorum none\nquorum none\n",
    "two logs": "log {log}\nlog {log}\nquorum none\n",
    "no log": "quorum none\n",
    "quorum of nothing": "log {log}\nquorum x\n",
    "group of what stands below": "log {log}\ngroup g 1 a\nwitness a {a}\nquorum g\n",
    "name twice": "log {log}\nwitness a {a}\nwitness a {b}\nquorum a\n",
    "key twice": "log {log}\nwitness a {a}\nwitness b {a}\nquorum a\n",
    "the name none": "log {log}\nwitness none {a}\nquorum none\n",
    "member of two groups": "log {log}\nwitness a {a}\ngroup g 1 a\ngroup h 1 a\nquorum g\n",
    "more than there are": "log {log}\nwitness a {a}\ngroup g 2 a\nquorum g\n",
    "zero of": "log {log}\nwitness a {a}\ngroup g 0 a\nquorum g\n",
    "a number too long to be one": "log {log}\nwitness a {a}\ngroup g " + "1" * 9300 + " a\nquorum g\n",
    "leading zero": "log {log}\nwitness a {a}\ngroup g 01 a\nquorum g\n",
    "empty group": "log {log}\ngroup g 1\nquorum g\n",
    "unknown line": "log {log}\nhello\nquorum none\n",
    "control character": "log {log}\r\nquorum none\n",
    "no last newline": "log {log}\nquorum none",
    "a witness's key as log": "log {a}\nquorum none\n",
    "a log's key as witness": "log {log}\nwitness a {log}\nquorum a\n",
}


@pytest.mark.parametrize("name", LINES)
def test_policies_that_are_refused(log: TransparencyLog, name: str) -> None:
    known = {
        each: cosignatures.WitnessKey(name=each, public=notes.log_key(each, keys.generate("ed25519").public).public)
        for each in "ab"
    }
    text = LINES[name].format(log=log.key.text(), **{each: key.text() for each, key in known.items()})
    with pytest.raises(ApplianceError) as caught:
        witness_policy.parse_witness_policy(text.encode())
    assert caught.value.code.id in ("APL-TRUST-016", "APL-TRUST-005")


def test_a_policy_of_two_organisations(log: TransparencyLog) -> None:
    """The example of the specification: two of three here, and any of two there."""
    made = {name: keys.generate("ed25519") for name in ("x1", "x2", "x3", "y1", "y2")}
    known = {
        name: cosignatures.WitnessKey(name=name, public=notes.log_key(name, k.public).public)
        for name, k in made.items()
    }
    lines = [
        f"log {log.key.text()} https://log.example",
        "# people",
        *(f"witness {n} {k.text()}" for n, k in known.items()),
    ]
    lines += ["group X 2 x1 x2 x3", "\tgroup Y any y1 y2", "group both all X Y", "quorum both", ""]
    policy = witness_policy.parse_witness_policy("\n".join(lines).encode())
    table = {("x1", "x2"): False, ("x1", "y1"): False, ("x1", "x2", "y2"): True, ("x1", "x2", "x3", "y1", "y2"): True}
    assert {names: policy.is_met(names) for names in table} == table


class TestLogProof:
    def test_round_trip(self, log: TransparencyLog) -> None:
        for index in (0, 7, 255, 256, 299):
            data = make_proof(log.tree(), log.checkpoint(), index)
            assert data.startswith(b"c2sp.org/tlog-proof@v1\nindex %d\n" % index)
            proof = parse_proof(data)
            assert proof.encode() == data
            assert proof.verify(log.entry(index), log.key).size == 300

    def test_extra_data_is_kept_and_not_believed(self, log: TransparencyLog) -> None:
        proof = parse_proof(make_proof(log.tree(), log.checkpoint(), 3))
        extended = LogProof(index=3, path=proof.path, note=proof.note, extra=b"a file name")
        assert parse_proof(extended.encode()) == extended

    @pytest.mark.parametrize("position", range(0, 900, 7))
    def test_every_change_is_refused(self, log: TransparencyLog, position: int) -> None:
        data = bytearray(make_proof(log.tree(), log.checkpoint(), 3))
        data[position % len(data)] ^= 1
        with pytest.raises(ApplianceError) as caught:
            parse_proof(bytes(data)).verify(log.entry(3), log.key)
        assert caught.value.code.id in ("APL-TRUST-011", "APL-TRUST-003")


def test_memory_is_plain_json(log: TransparencyLog, officer: Witness) -> None:
    officer.cosign(request(log, 0), (log.key,))
    document = json.loads(officer._memory(log.key).read_bytes())
    assert (document["size"], base64.b64decode(document["root"])) == (300, log.root())
    assert len(base64.b64decode(document["root"])) == merkle.HASH_BYTES
