"""Reading and erasing a subject, as people do it: recorded, masked for all others, by two people, verifiable."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.base.clock import FixedClock
from appliance.base.errors import ApplianceError
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.ingestion.sensitive.policy import TrainingTables
from appliance.wiring.parts import Parts
from tests.small_site import MEASURES, NOW
from tests.unit.ingestion.sensitive.customers import CARD, DECLARED_NONE, MAPPING, NAME, OTHER_CARD, csv
from tests.unit.ingestion.sensitive.scan import leaks

Command = Callable[..., tuple[int, Any]]


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    declare(folder, MAPPING)
    capsys.readouterr()
    return folder


@pytest.fixture
def command(site: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Exit code and JSON of a command on the site."""

    def call(*words: str) -> tuple[int, Any]:
        code = run([*words, "--site", str(site), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def filled(site: Path, command: Command) -> Path:
    incoming = site / "spool/drops/customers/incoming"
    incoming.mkdir(parents=True)
    (incoming / "a.csv").write_bytes(csv(extra="2026-01-09,c-2,too few\n"))
    assert command("ingest", "run")[0] == 0
    return site


def declare(site: Path, text: str) -> None:
    folder = site / "declarations/drops"
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "measures.toml").write_text(MEASURES)
    (folder / "customers.toml").write_text(text.replace("FORMAT", "csv"))


def asked(subject: str, verb: str, role: str = "data-engineer") -> tuple[str, ...]:
    return ("subject", verb, subject, "--reason", "request 17", "--as", role)


def actions(command: Command) -> list[tuple[str, str, str]]:
    records = command("audit", "list", "--last", "200")[1]["records"]
    return [(each["action"], each["phase"], each["role"]) for each in records if each["action"].startswith("subject")]


@pytest.mark.parametrize("role", ["data-engineer", "data-scientist", "operator", "approver", "auditor"])
def test_everybody_sees_masks(filled, command, role):
    code, shown = command("table", "show", "silver.customers", "--as", role)
    assert code == 0
    assert {(row["name"], row["card"]) for row in shown["rows"]} == {("<pii.name>", "<pii.card>")}
    assert command("table", "show", "quarantine.drops")[1]["rows"][0]["text"] == "<sealed>"
    assert command("table", "tags", "silver.customers")[1]["tags"] == [
        {"column": "name", "tag": "pii.name", "reason": ""},
        {"column": "card", "tag": "pii.card", "reason": ""},
    ]


def test_a_subject_is_opened_for_a_reason_that_is_recorded_first(filled, command):
    code, shown = command(*asked("c-1", "show"))
    assert code == 0
    assert [(row["name"], row["card"], row["line"]) for row in shown["tables"]["silver.customers"]] == [
        (NAME, CARD, 1),
        (NAME, CARD, 3),
    ]
    assert actions(command) == [
        ("subject.show", "intent", "data-engineer"),
        ("subject.read", "intent", "data-engineer"),
        ("subject.read", "outcome", "data-engineer"),
        ("subject.show", "outcome", "data-engineer"),
    ]
    records = command("audit", "list", "--last", "200")[1]["records"]
    assert "c-1" not in json.dumps([each["arguments"] for each in records if each["action"].startswith("subject")])
    assert any(each["arguments"].get("reason") == "request 17" for each in records)
    assert leaks(filled, CARD, NAME) == []  # and the answer is nowhere on the disk


REFUSED = [
    ("data-scientist", "show", "APL-CLI-001", 2),
    ("operator", "erase", "APL-CLI-001", 2),
    ("data-engineer", "approve", "APL-CLI-001", 2),
]


@pytest.mark.parametrize(("role", "verb", "error", "code"), REFUSED)
def test_another_role_may_not(filled, command, role, verb, error, code):
    found, printed = command(*asked("c-1", verb, role))
    assert (found, printed["error"]["code"]) == (code, error)


def test_an_erasure_needs_a_second_person(filled, command):
    code, printed = command(*asked("c-1", "erase"))
    assert (code, printed["error"]["code"], printed["error"]["message"]) == (
        5, "APL-SENSITIVE-002", "nobody approved it",
    )  # fmt: skip
    assert command(*asked("c-2", "approve", "approver"))[0] == 0  # of another subject
    assert command(*asked("c-1", "erase"))[0] == 5
    assert command(*asked("c-1", "show"))[1]["tables"]["silver.customers"][0]["name"] == NAME


def test_an_approval_before_any_request_counts_for_nothing(filled, command):
    assert command(*asked("c-1", "approve", "approver"))[0] == 0
    assert command(*asked("c-1", "erase"))[0] == 5
    assert command(*asked("c-1", "erase"))[0] == 5


def test_an_erased_subject_reads_as_erased_and_the_site_still_verifies(filled, command):
    head = command("table", "history", "silver.customers")[1]["commits"][-1]["lineage_id"]
    assert command("verify", head)[0] == 0
    assert command(*asked("c-1", "erase"))[0] == 5
    assert command(*asked("c-1", "approve", "approver"))[0] == 0
    code, done = command(*asked("c-1", "erase"))
    assert (code, done["rows"]) == (0, {"silver.customers": 2})
    assert done["keys"] == 2  # of the subject, and of the file that it came in
    rows = command(*asked("c-1", "show"))[1]["tables"]["silver.customers"]
    assert [(row["name"], row["card"]) for row in rows] == [("<erased>", "<erased>")] * 2
    (other,) = command(*asked("c-2", "show"))[1]["tables"]["silver.customers"]
    assert (other["name"], other["card"]) == ("Tobias Okonkwo", OTHER_CARD)
    assert command("verify", head)[0] == 0
    assert command("audit", "check")[0] == 0
    parts = Parts(site=open_site(filled), clock=FixedClock(NOW))
    (raw,) = parts.lake.scan("raw.drops").to_pylist()
    kept = parts.drops.original(raw["digest"])
    assert (NAME.encode() in kept, b"too few" in kept, b"Tobias" in kept) == (False, False, True)
    assert command(*asked("c-1", "erase"))[0] == 5  # one approval, one erasure


def test_what_comes_again_of_an_erased_subject_is_not_kept(filled, command):
    command(*asked("c-1", "erase"))
    command(*asked("c-1", "approve", "approver"))
    assert command(*asked("c-1", "erase"))[0] == 0
    (filled / "spool/drops/customers/incoming/b.csv").write_bytes(csv(extra="2026-01-10,c-2,Tobias Okonkwo,,5\n"))
    assert command("ingest", "run")[1]["drops"]["refused"] == {"ERASED": 2, "RANGE": 1, "MISSING": 1}
    assert len(command(*asked("c-1", "show"))[1]["tables"]["silver.customers"]) == 2


def test_an_unknown_subject(filled, command):
    for verb in ("show", "erase"):
        code, printed = command(*asked("it's nobody", verb))
        assert (code, printed["error"]["code"]) == (2, "APL-SENSITIVE-001")


def test_training_reads_no_sensitive_column(filled, command):
    parts = Parts(site=open_site(filled), clock=FixedClock(NOW))
    tables = parts.training_tables
    assert isinstance(tables, TrainingTables)
    assert parts.trainer.tables is tables
    assert parts.reproducer.tables is tables
    assert tables.scan("silver.customers", columns=("customer_id", "load")).num_rows == 3
    for columns in (("card",), None):
        with pytest.raises(ApplianceError, match="is pii") as caught:
            tables.scan("silver.customers", columns=columns)
        assert caught.value.code.id == "APL-SENSITIVE-004"


def test_training_reads_no_column_that_looks_sensitive_and_that_nobody_declared(site, command):
    parts = Parts(site=open_site(site), clock=FixedClock(NOW))
    declare(site, DECLARED_NONE)
    (site / "spool/drops/customers/incoming").mkdir(parents=True)
    (site / "spool/drops/customers/incoming/a.csv").write_bytes(csv())
    parts.drops.run()
    assert parts.training_tables.scan("silver.customers").num_rows == 3  # declared to be none
    table = parts.lake.table("silver.customers")
    with table.update_schema() as update:
        update.update_column("name", doc="")
    with pytest.raises(ApplianceError, match="no mapping says what it is") as caught:
        parts.training_tables.scan("silver.customers", columns=("name", "load"))
    assert caught.value.code.id == "APL-SENSITIVE-004"
    assert parts.training_tables.scan("silver.customers", columns=("load",)).num_rows == 3
