"""Purging letters, as people do it: by two of them, for a reason, and everything else stands and verifies as before."""

import json
from types import SimpleNamespace

import pytest

from appliance.base.clock import SystemClock
from appliance.base.errors import ApplianceError
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.ingestion import ledger
from appliance.ingestion.raw_object import chunks_of
from appliance.ingestion.segment import pack
from appliance.ingestion.topics.codes import UNREACHABLE
from appliance.storage import names
from appliance.wiring.parts import Parts
from tests.small_site import MEASURES, avro, readings, record
from tests.unit.ingestion.sensitive.scan import leaks
from tests.unit.ingestion.test_commit import Partition
from tests.unit.ingestion.test_letter_sealing import cut
from tests.unit.ingestion.test_segment import framed, segment

MARK = "4111111111111111"
NOISE = f"Jane Roe {MARK}".encode()
TOPIC = "kafka:readings:0"


def parts_of(folder):
    return Parts(site=open_site(folder), clock=SystemClock())


@pytest.fixture
def site(tmp_path, capsys):
    """Letters at offsets 1 and 3 of a partition and at 0 of the spool; at 1 of the spool a file cut short."""
    folder = tmp_path / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    (folder / "declarations").mkdir(exist_ok=True)
    (folder / "declarations" / "measures.toml").write_text(MEASURES)
    parts = parts_of(folder)
    good = framed(*(record(f"tx-{number}", 1, readings(3)) for number in range(3)))
    on = SimpleNamespace(landing=parts.landing, declarations=parts.site.declarations)
    Partition(on).take(good[0], NOISE, good[1], NOISE[::-1], good[2])
    incoming = parts.sink.spool.incoming
    (incoming / "a.avro").write_bytes(NOISE)
    (incoming / "b.avro").write_bytes(cut(record("tx-7", 1, readings(3)), record("tx-8", 1, readings(9))))
    parts.sink.run()
    capsys.readouterr()
    return folder


@pytest.fixture
def command(site, capsys):
    """Exit code and JSON of a command on the site."""

    def call(*words):
        code = run([*map(str, words), "--site", str(site), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def purge(*what, role="data-engineer", approve=False):
    words = ("--approve",) if approve else ()
    return ("quarantine", "purge", *what, *words, "--reason", "request 17", "--as", role)


def purged(command, *what):
    assert command(*purge(*what))[0] == 5
    assert command(*purge(*what, role="approver", approve=True))[0] == 0
    code, done = command(*purge(*what))
    assert code == 0, done
    return done


def error(answer):
    code, printed = answer
    return code, printed["error"]["code"]


def objects(folder):
    return {path.name: path.read_bytes() for path in (folder / "objects").rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", [(TOPIC, 1), ("spool:readings", 0)], ids=["topic", "spool"])
def test_two_people_destroy_a_letter_and_everything_else_stands(site, command, tmp_path, place):
    parts = parts_of(site)
    before = {name: parts.lake.scan(name).to_pylist() for name in (names.RAW, names.QUARANTINE, names.READINGS)}
    stored, books = objects(site), ledger.balance(parts.lake)
    heads = [command("table", "history", name)[1]["commits"][-1]["lineage_id"] for name in before]
    assert error(command(*purge(*place))) == (5, "APL-INGEST-014")
    assert command("quarantine", "letter", *place)[1]["size_bytes"] == len(NOISE)
    assert command(*purge(*place, role="approver", approve=True)) == (0, {"approved": True})
    assert command(*purge(*place)) == (0, {"keys": 1, "before": 0})

    assert error(command("quarantine", "take-out", *place, tmp_path / "out")) == (2, "APL-INGEST-011")
    assert not (tmp_path / "out").exists()
    (tmp_path / "mended.avro").write_bytes(avro(record("tx-1", 9, readings(1, first=20))))
    assert error(command("quarantine", "answer", *place, tmp_path / "mended.avro")) == (2, "APL-INGEST-011")
    assert list(parts.sink.spool.incoming.iterdir()) == []
    shown = command("quarantine", "letter", *place)[1]
    assert shown["purged"] is not None
    assert not {"size_bytes", "schema_id"} & set(shown)
    listed = command("quarantine", "letters", "--all")[1]["letters"]
    assert [(each["source"], each["position"]) for each in listed if each["purged"]] == [place]
    assert place not in [(each["source"], each["position"]) for each in command("quarantine", "letters")[1]["letters"]]

    parts = parts_of(site)
    assert {name: parts.lake.scan(name).to_pylist() for name in before} == before
    assert (objects(site), ledger.balance(parts.lake)) == (stored, books)
    assert [command("verify", head)[0] for head in heads] == [0, 0, 0]
    assert command("audit", "check")[0] == 0


def test_no_key_is_needed_to_verify_rows_beside_letters(site, command):
    purged(command, TOPIC, 1)
    head = command("table", "history", names.READINGS)[1]["commits"][-1]["lineage_id"]
    for path in (site / "keys" / "data").iterdir():
        path.unlink()
    assert command("verify", head)[0] == 0


def test_the_bytes_are_nowhere_on_the_disk_before_and_after(site, command):
    assert leaks(site, MARK, MARK[::-1]) == []
    purged(command, TOPIC, 1)
    assert leaks(site, MARK, MARK[::-1]) == []


def test_several_letters_are_purged_together_or_not_at_all(site, command):
    assert error(command(*purge(TOPIC, 1))) == (5, "APL-INGEST-014")
    assert command(*purge(TOPIC, 1, role="approver", approve=True))[0] == 0
    code, printed = command(*purge(TOPIC, 1, 3))
    assert (code, printed["error"]["message"]) == (5, "1 of 2; kafka:readings:0:3: nobody approved it")
    assert command("quarantine", "letter", TOPIC, 1)[1]["purged"] is None
    assert command(*purge(TOPIC, 1, 3, role="approver", approve=True))[0] == 0
    assert command(*purge(TOPIC, 1, 3))[1] == {"keys": 2, "before": 0}
    assert command("quarantine", "letters", "--source", TOPIC)[1]["found"] == 0


def test_a_purge_is_repeated_without_harm_and_asks_nobody(site, command):
    purged(command, TOPIC, 1)
    assert command(*purge(TOPIC, 1)) == (0, {"keys": 0, "before": 1})
    assert error(command(*purge(TOPIC, 1, 3))) == (5, "APL-INGEST-014")


def test_who_asked_who_agreed_and_why_is_recorded_by_the_letters_place(site, command):
    purged(command, TOPIC, 1)
    records = command("audit", "list", "--last", "200")[1]["records"]
    told = [(each["action"], each["role"], each["arguments"]) for each in records if each["phase"] == "intent"]
    of_letter = {"letter": f"{TOPIC}:1", "reason": "request 17"}
    assert [each for each in told if each[0].startswith("letter")] == [
        ("letter.request-purge", "data-engineer", of_letter),
        ("letter.approve-purge", "approver", of_letter),
        ("letter.purge", "data-engineer", of_letter),
    ]


ROLES = [
    ("operator", False), ("auditor", False), ("data-scientist", False), ("approver", False),
    ("data-engineer", True), ("operator", True),
]  # fmt: skip


@pytest.mark.parametrize(("role", "approve"), ROLES)
def test_another_role_may_not(site, command, role, approve):
    assert error(command(*purge(TOPIC, 1, role=role, approve=approve))) == (2, "APL-CLI-001")
    records = command("audit", "list", "--last", "200")[1]["records"]
    assert not any(each["action"].startswith("letter") for each in records)


def test_an_approval_before_any_request_counts_for_nothing(site, command):
    assert command(*purge(TOPIC, 1, role="approver", approve=True))[0] == 0
    assert command(*purge(TOPIC, 1))[0] == 5
    assert command(*purge(TOPIC, 1))[0] == 5


def old_segment(site):
    """A letter at offset 1 of another partition, taken before letters were sealed."""
    parts = parts_of(site)
    data = pack(segment([*framed(record("tx-5", 1, readings(2))), NOISE], first=0))
    partition = Partition(SimpleNamespace(landing=parts.landing, declarations=parts.site.declarations), 1)
    digest = parts.objects.put(data)
    batch, _ = partition.batch(*framed(record("tx-5", 1, readings(2))), NOISE)
    chunks = list(chunks_of(data, parts.sink._limits, digest=digest, positions=[]))
    partition.committer.commit([(batch, chunks)])


REFUSED = {
    "holds readings": ("spool:readings", 1, "APL-INGEST-013"),
    "in clear": ("kafka:readings:1", 1, "APL-INGEST-012"),
    "no letter": (TOPIC, 0, "APL-INGEST-009"),
    "never taken": (TOPIC, 99, "APL-INGEST-009"),
    "no such source": ("kafka:it's:0", 0, "APL-INGEST-009"),
}


@pytest.mark.parametrize("approve", [False, True], ids=["asked", "approved"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_purged_is_refused_before_anybody_is_asked(site, command, name, approve):
    source, position, code = REFUSED[name]
    old_segment(site)
    role = "approver" if approve else "data-engineer"
    assert error(command(*purge(source, position, role=role, approve=approve))) == (2, code)
    records = command("audit", "list", "--last", "200")[1]["records"]
    assert not any(each["action"].startswith("letter") for each in records)


def test_a_letter_in_clear_is_taken_out_as_before(site, command, tmp_path):
    old_segment(site)
    assert command("quarantine", "take-out", "kafka:readings:1", 1, tmp_path / "out")[1]["bytes"] == len(NOISE)
    assert (tmp_path / "out").read_bytes() == NOISE


class Copies:
    """Stands in for a topic of dead letters whose broker is away: the real one is in `tests/integration/topics`."""

    def __init__(self, error):
        self.sent, self.error = [], error

    def send_again(self, letters):
        if self.error is not None:
            raise ApplianceError(self.error, "no")
        self.sent += [each.place for each in letters]


def test_a_broker_that_is_away_leaves_the_copy_for_the_next_run(site):
    parts = parts_of(site)
    parts.dead_letter_topic = copies = Copies(UNREACHABLE)
    engineer = {"actor": "data-engineer", "reason": "x"}
    with pytest.raises(ApplianceError, match="APL-INGEST-014"):
        parts.letter_purge.purge(TOPIC, [1], **engineer)
    parts.letter_purge.approve(TOPIC, [1], actor="approver", reason="x")
    with pytest.raises(ApplianceError, match="APL-TOPIC-002"):
        parts.letter_purge.purge(TOPIC, [1], **engineer)
    assert parts.letters.one(TOPIC, 1).purged is not None, "the key is destroyed"
    copies.error = None
    assert parts.letter_purge.purge(TOPIC, [1], **engineer).before == 1
    assert copies.sent == [(TOPIC, 1)]


class KilledError(BaseException):
    """Stands in for a kill -9 at one place."""


def killed(monkeypatch, target, name):
    def dies(*arguments, **options):
        raise KilledError

    monkeypatch.setattr(target, name, dies)


KILLS = {
    # what is left: (destroyed, the audit's unfinished intents), and what the next run says
    "before the key is destroyed": ("data_keys", "erase", (False, 1), "APL-INGEST-014"),
    "between the key and its record": ("audit", "end", (True, 1), None),
    "between the key and the copy": ("dead_letter_topic", "send_again", (True, 0), None),
}


@pytest.mark.parametrize("name", KILLS)
def test_a_purge_that_is_killed(site, monkeypatch, name):
    part, method, left, said = KILLS[name]
    engineer = {"actor": "data-engineer", "reason": "x"}
    parts = parts_of(site)
    parts.dead_letter_topic = copies = Copies(None)
    with pytest.raises(ApplianceError, match="APL-INGEST-014"):
        parts.letter_purge.purge(TOPIC, [1], **engineer)
    parts.letter_purge.approve(TOPIC, [1], actor="approver", reason="x")
    before = objects(site)
    killed(monkeypatch, getattr(parts, part), method)
    with pytest.raises(KilledError):
        parts.letter_purge.purge(TOPIC, [1], **engineer)
    monkeypatch.undo()
    again = parts_of(site)
    assert (again.letters.one(TOPIC, 1).purged is not None, len(again.audit.check().unfinished)) == left
    assert (objects(site), copies.sent) == (before, [])
    again.dead_letter_topic = copies
    if said is None:
        assert again.letter_purge.purge(TOPIC, [1], **engineer).before == 1
        assert copies.sent == [(TOPIC, 1)]
        return
    with pytest.raises(ApplianceError, match=said):
        again.letter_purge.purge(TOPIC, [1], **engineer)
    assert again.letters.bytes_of(again.letters.one(TOPIC, 1)) == NOISE
