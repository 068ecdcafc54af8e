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
    assert all(each["after"] <= 20 for each in call("table", "upkeep")[1]["tables"])
    assert [each["name"] for each in call("schema", "list")[1]["schemas"]] == ["readings", "x"]
    assert call("schema", "show")[1]["schema"]["name"] == "ReadingBatch"
    assert call("schema", "mapping", "x")[1]["mapping"]["table"] == "silver.x"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
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
