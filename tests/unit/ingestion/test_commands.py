"""The nouns ingest, quarantine, table and schema, over a real site: exit code, and what --json holds."""

import json

import pytest

from appliance.cli.main import run
from tests.small_site import MEASURES, avro, readings, record

DROP = 'table = "silver.x"\nformat = "csv"\n[time]\ncolumn = "t"\n[[column]]\nfrom = "v"\nname = "v"\ntype = "long"\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands") / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    (folder / "declarations" / "drops").mkdir(parents=True, exist_ok=True)
    (folder / "declarations" / "measures.toml").write_text(MEASURES)
    (folder / "declarations" / "decoders.toml").unlink(missing_ok=True)
    (folder / "declarations" / "drops" / "x.toml").write_text(DROP)
    incoming = folder / "spool" / "readings" / "incoming"
    incoming.mkdir(parents=True)
    sent = [{**each, "event_time": each["event_time"] // 1000} for each in readings(4)]
    data = avro(record("tx-1", 1, readings(6)), record("tx-2", 1, sent, firmware="2.0"))
    (incoming / "a.avro").write_bytes(data)
    return folder


@pytest.fixture
def call(site, capsys):
    def of(*arguments):
        capsys.readouterr()
        code = run([*arguments, "--site", str(site), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return of


def test_from_the_spool_to_the_fix(call, site):
    assert call("ingest", "status")[1]["sources"][0] == {
        "source": "spool:readings", "waiting": 1, "claimed": 0, "position": 0, "refused_files": 0,
    }  # fmt: skip
    code, found = call("ingest", "run")
    assert code == 0
    assert (found["readings"]["accepted"], found["readings"]["refused"]) == (6, {"EVENT_TIME": 4})
    assert [alarm["code"] for alarm in found["alarms"]] == ["FORMAT"]
    code, ledger = call("ingest", "ledger", "--device", "tx-2")
    assert (code, ledger["imbalance"], ledger["lines"][0]["quarantined"]) == (0, 0, 4)
    groups = call("quarantine", "list")[1]["groups"]
    assert [(group["code"], group["rows"], group["devices"]) for group in groups] == [("EVENT_TIME", 4, 1)]
    shown = call("quarantine", "show", "EVENT_TIME", "--limit", "2")[1]
    assert [row["detail"].startswith("sent as ") for row in shown["rows"]] == [True, True]
    (site / "declarations" / "decoders.toml").write_text('[[decoder]]\nfirmware = "2.0"\nevent_time_unit = "ms"\n')
    assert call("quarantine", "reparse")[1]["accepted"] == 4
    assert call("quarantine", "list")[1]["groups"] == []
    assert call("ingest", "ledger")[1]["accepted"] == 10


def test_tables_and_schemas_are_shown(call):
    call("ingest", "run")
    tables = {each["table"]: each["rows"] for each in call("table", "list")[1]["tables"]}
    assert tables["raw.records"] == 1
    assert (
        call("table", "show", "silver.readings", "--where", "device_id = 'tx-1'")[1]["rows"][0]["device_id"] == "tx-1"
    )
    assert call("table", "history", "raw.records")[1]["commits"][0]["rows"] == 1
    assert [each["name"] for each in call("schema", "list")[1]["schemas"]] == ["readings", "x"]
    assert call("schema", "show")[1]["schema"]["name"] == "ReadingBatch"
    assert call("schema", "mapping", "x")[1]["mapping"]["table"] == "silver.x"


def test_upkeep_is_planned_without_a_trace_and_done_with_one(call, site):
    for number in range(4):
        data = avro(record("tx-1", 10 + number, readings(3, first=100 + 3 * number)))
        (site / "spool/readings/incoming" / f"upkeep-{number}.avro").write_bytes(data)
        call("ingest", "run")
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file() and path.suffix != ".jsonl"}
    plan = call("table", "upkeep", "silver.readings", "--plan", "--as", "auditor")[1]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert plan["planned"]
    assert len(plan["tables"][0]["rewrite"][0]) >= 4
    rows = len(call("table", "show", "silver.readings", "--limit", "1000")[1]["rows"])
    code, done = call("table", "upkeep", "silver.readings", "--sort")
    (told,) = done["tables"]
    assert (code, {key: told[key] for key in plan["tables"][0]}) == (0, plan["tables"][0])
    assert len(call("table", "show", "silver.readings", "--limit", "1000")[1]["rows"]) == rows
    assert call("audit", "list")[1]["records"][-1]["action"] == "table.upkeep"
    assert (
        call("table", "upkeep", "--plan")[1]["tables"][-1]["table"] == call("table", "list")[1]["tables"][-1]["table"]
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("table", "upkeep", "silver.none"), "APL-STORAGE-002"),
        (("table", "upkeep", "silver.readings", "--sort", "colour"), "APL-STORAGE-022"),
        (("quarantine", "show", "COLOUR"), "APL-INGEST-007"),
        (("schema", "mapping", "none"), "APL-INGEST-006"),
        (("table", "show", "silver.none"), "APL-STORAGE-002"),
        (("table", "show", "raw.records", "--where", "name is"), "APL-STORAGE-006"),
    ],
)
def test_wrong_names_are_refused_with_their_code(call, arguments, code):
    call("ingest", "run")
    exit_code, found = call(*arguments)
    assert exit_code != 0
    assert found["error"]["code"] == code


CONTRACT = """
table: silver.readings
version: 1
owner: data
keys: [device_id]
checks:
  - {id: enough, kind: rows, minimum: 1}
  - {id: devices, kind: codes, column: device_id, allowed: [tx-2]}
"""


def test_tables_are_checked_against_their_contracts(call, site):
    call("ingest", "run")
    assert call("table", "check") == (0, {"passed": True, "tables": []})
    code, said = call("table", "check", "silver.readings")
    assert (code, said["error"]["code"]) == (2, "APL-INGEST-008")
    (site / "declarations" / "contracts").mkdir()
    (site / "declarations" / "contracts" / "readings.yaml").write_text(CONTRACT)
    assert {each["outcome"] for each in call("table", "contracts")[1]["checks"]} == {"never run"}
    code, found = call("table", "check", "silver.readings")
    enough, devices = found["tables"][0]["results"]
    assert (code, found["passed"], enough["outcome"]) == (1, False, "passed")
    assert (devices["outcome"], devices["sample"][0]) == ("failed", {"device_id": "tx-1"})
    listed = {each["check"]: each["outcome"] for each in call("table", "contracts")[1]["checks"]}
    assert listed["devices"] == "failed"
    assert call("table", "upkeep", "silver.readings")[0] == 0  # in this test too: others may run elsewhere
    text = call("site", "metrics")[1]["metrics"]
    assert 'appliance_gate_passed_ratio{check="devices",stage="snapshot",table="silver.readings"} 0.0' in text
    figures = {line.split("{")[0] for line in text if '{table="silver.readings"}' in line}
    assert figures >= {f"appliance_table_{name}" for name in (
        "live_files", "small_files", "live_bytes", "snapshots", "orphan_files", "upkeep_age_seconds",
    )}  # fmt: skip


KNOWN = """
table: silver.readings
version: 1
owner: data
checks:
  - {id: enough, kind: rows, minimum: 1}
  - {id: known, kind: refers, columns: [device_id], table: silver.devices, to: [name], in_sink: true}
"""
DEVICES = DROP.replace("silver.x", "silver.devices").replace(
    'from = "v"\nname = "v"\ntype = "long"', 'from = "v"\nname = "name"\ntype = "string"'
)


@pytest.fixture
def own(tmp_path, capsys):
    """(a site of the test's own whose readings refer to devices that a drop brings, the command line)."""
    folder = tmp_path / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    declarations, incoming = folder / "declarations", folder / "spool" / "readings" / "incoming"
    for made in (incoming, declarations / "drops", declarations / "contracts", folder / "spool/drops/devices/incoming"):
        made.mkdir(parents=True, exist_ok=True)
    (declarations / "measures.toml").write_text(MEASURES)
    (declarations / "drops" / "devices.toml").write_text(DEVICES)
    (declarations / "contracts" / "readings.yaml").write_text(KNOWN)
    (incoming / "a.avro").write_bytes(avro(record("tx-1", 1, readings(3)), record("tx-2", 1, readings(2))))

    def call(*arguments):
        capsys.readouterr()
        code = run([*arguments, "--site", str(folder), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return folder, call


def test_readings_may_refer_to_a_table_that_a_drop_of_the_same_run_brings(own):
    folder, call = own
    code, said = call("ingest", "run")
    assert (code, said["error"]["code"]) == (1, "APL-INGEST-015")
    assert "check known of silver.readings: no table silver.devices" in said["error"]["message"]
    (folder / "spool/drops/devices/incoming/d.csv").write_text("t,v\n2026-02-01T00:00:00Z,tx-1\n")
    code, found = call("ingest", "run")
    assert (code, found["readings"]["accepted"], found["readings"]["refused"]) == (0, 3, {"CONTRACT": 2})
    assert "CONTRACT" in {alarm["code"] for alarm in found["alarms"]}
    shown = call("quarantine", "show", "CONTRACT")[1]
    assert {row["detail"] for row in shown["rows"]} == {"check known"}
    listed = {(each["check"], each["stage"]): each["outcome"] for each in call("table", "contracts")[1]["checks"]}
    assert listed == {
        ("enough", "snapshot"): "never run",
        ("known", "sink"): "failed",
        ("known", "snapshot"): "never run",
    }
    figure = 'appliance_gate_broken_rows{check="known",stage="sink",table="silver.readings"} 2.0'
    assert figure in call("site", "metrics")[1]["metrics"]
    assert call("table", "check")[0] == 0
    (folder / "spool/drops/devices/incoming/e.csv").write_text("t,v\n2026-02-02T00:00:00Z,tx-2\n")
    assert call("ingest", "run")[0] == 0
    assert call("quarantine", "reparse")[1]["accepted"] == 2
    assert call("ingest", "ledger")[1]["accepted"] == 5


def test_what_stops_drops_does_not_stop_readings(own):
    folder, call = own
    (folder / "declarations" / "contracts" / "readings.yaml").unlink()
    (folder / "declarations" / "drops" / "devices.toml").write_text("table = 7\n")
    code, said = call("ingest", "run")
    assert (code, said["error"]["code"]) != (0, "")
    assert call("ingest", "ledger")[1]["accepted"] == 5
