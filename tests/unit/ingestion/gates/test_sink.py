"""Checks that the sink judges: what goes to quarantine and why, what stops, what is told, and the fix."""

import datetime as dt
import subprocess
import sys

import pyarrow as pa
import pytest

from appliance.base.clock import FixedClock
from appliance.base.errors import ApplianceError
from appliance.ingestion import declarations, ledger
from appliance.ingestion.commit import Committer
from appliance.ingestion.decode import Limits
from appliance.ingestion.gates import engine, results
from appliance.ingestion.gates.contract import load_contracts
from appliance.ingestion.gates.gate import Gates
from appliance.orchestration.rederive import compare_with_raw
from appliance.storage.files import SiteFiles
from tests.small_site import NOW, SmallSite, readings, record
from tests.unit.ingestion.test_commit import Partition
from tests.unit.ingestion.test_segment import framed

OIL = "{id: oil, kind: range, in_sink: true, where: {measure: oil_temperature}, column: value, maximum: 22}"
KNOWN = "{id: known, kind: refers, in_sink: true, columns: [device_id], table: reference.devices, to: [name]}"


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path)


def declare(site, *checks, keys="[device_id, measure]", over=""):
    folder = site.declarations / "contracts"
    folder.mkdir(exist_ok=True)
    lines = "".join(f"  - {each}\n" for each in checks)
    head = f"table: silver.readings\nversion: 1\nowner: data-engineering\nkeys: {keys}\n{over}"
    (folder / "readings.yaml").write_text(f"{head}checks:\n{lines}")


def refer(site, *devices):
    """The devices are known from now on."""
    rows = pa.table({"name": pa.array(devices, pa.string())})
    site.lake.ensure("reference.devices", rows.schema)
    head = site.lake.head("reference.devices")
    site.lake.append("reference.devices", rows, expected=head, properties={}, inputs=[], facts={})


def details(site):
    """Detail -> number of quarantined rows."""
    found = [row["detail"] for row in site.rows("quarantine.readings", ("code", "detail")) if row["code"] == "CONTRACT"]
    return {each: found.count(each) for each in sorted(set(found))}


def told(site):
    """(check, outcome, rows, broken) of all that the sink told, oldest first."""
    if "ledger.gates" not in site.lake.tables():
        return []
    rows = site.lake.scan("ledger.gates").sort_by([("checked_at", "ascending"), ("check", "ascending")]).to_pylist()
    return [(each["check"], each["outcome"], each["rows"], each["broken"]) for each in rows if each["stage"] == "sink"]


ONE = record("tx-1", 1, readings(7))  # values 20 to 26
CASES = {
    # checks, records -> detail -> rows
    "a range": ([OIL], [ONE], {"check oil": 4}),
    "a scope": ([OIL.replace("oil_temperature", "load")], [ONE], {}),
    "codes": (
        ["{id: firm, kind: codes, in_sink: true, column: firmware, allowed: ['1.0']}"],
        [ONE, record("tx-2", 1, readings(2), firmware="1.1")],
        {"check firm": 2},
    ),
    "codes of a number": (
        ["{id: first, kind: codes, in_sink: true, column: sequence, allowed: ['1']}"],
        [ONE, record("tx-2", 2, readings(2))],
        {"check first": 2},
    ),
    "complete": (
        ["{id: whole, kind: complete, in_sink: true, columns: [device_id, value]}"],
        [ONE, record("tx-2", 2, readings(2))],
        {},
    ),
    "known devices": ([KNOWN], [ONE, record("tx-2", 1, readings(3))], {"check known": 3}),
    "the first in the file": ([OIL, KNOWN], [record("tx-2", 1, readings(7))], {"check known": 3, "check oil": 4}),
    "the first in another file": ([KNOWN, OIL], [record("tx-2", 1, readings(7))], {"check known": 7}),
    "an earlier reason stays": (
        [OIL],
        [record("tx-1", 1, [*readings(1, value=999.0), *readings(1, first=1, value=25.0)])],
        {"check oil": 1},
    ),
    "refused ones take no place": (  # as by any other rule: what comes again is judged anew
        [OIL],
        [record("tx-1", 1, readings(2, value=25.0)), record("tx-1", 2, readings(2, value=21.0))],
        {"check oil": 2},
    ),
    "a repeated record": ([OIL], [ONE, ONE], {"check oil": 4}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_breaks_a_check_goes_to_quarantine(site, name):
    checks, records, expected = CASES[name]
    refer(site, "tx-1")
    declare(site, *checks)
    site.put("a.avro", *records)
    report = site.sink.run()
    assert details(site) == expected
    assert report.refused.get("CONTRACT", 0) == sum(expected.values())
    assert report.accepted == report.readings - sum(report.refused.values()) == len(site.rows("silver.readings"))
    site.check_nothing_lost_or_doubled()


def test_a_topic_is_judged_by_the_same_checks(site):
    declare(site, OIL)
    first, second = Partition(site, 0), Partition(site, 1)
    report = first.committer.commit([first.batch(*framed(ONE)), second.batch(*framed(record("tx-2", 1, readings(7))))])
    assert (report.commits, report.accepted, report.refused) == (3, 6, {"CONTRACT": 8})
    first.committer.tell(NOW, ended=True)
    assert told(site) == [("oil", "failed", 14, 8)]
    site.check_nothing_lost_or_doubled()


def test_verdicts_do_not_depend_on_batches(tmp_path):
    records = [record(f"tx-{number % 3}", number, readings(7, first=7 * number)) for number in range(6)]
    found = []
    for commit_rows in (1, 10, 1000):
        site = SmallSite(tmp_path / str(commit_rows), commit_rows=commit_rows)
        refer(site, "tx-0", "tx-1")
        declare(site, KNOWN, OIL)
        for number, each in enumerate(records):
            site.put(f"{number}.avro", each)
        site.sink.run()
        found.append((site.content(), told(site)))
    assert found[0] == found[1] == found[2]
    assert found[0][1] == [("known", "failed", 42, 14), ("oil", "failed", 42, 24)]


def test_the_document_of_a_commit_names_the_contract_and_what_it_referred_to(site):
    refer(site, "tx-1")
    declare(site, KNOWN)
    site.put("a.avro", ONE)
    site.sink.run()
    (contract,) = load_contracts(site.declarations / "contracts")
    for table in ("raw.records", "quarantine.readings", "silver.readings"):
        facts = site.lineage.load(site.lake.head(table).properties["appliance.lineage"]).facts
        assert facts["contract"] == contract.digest
        assert facts["refers"] == {"reference.devices": str(site.lake.head("reference.devices").snapshot_id)}
        assert facts["measures"].startswith("sha256:")


def test_without_such_a_check_nothing_is_named_told_or_even_loaded(tmp_path):
    site = SmallSite(tmp_path)
    declare(site, OIL.replace("in_sink: true, ", ""))
    site.put("a.avro", ONE)
    program = (
        "import sys; from pathlib import Path; from tests.small_site import SmallSite;"
        f"SmallSite(Path({str(tmp_path)!r})).sink.run();"
        "print([name for name in sys.modules if name in ('duckdb', 'appliance.ingestion.gates.sink')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert site.codes() == {}
    assert (len(site.rows("silver.readings")), told(site)) == (7, [])
    facts = site.lineage.load(site.lake.head("silver.readings").properties["appliance.lineage"]).facts
    assert not {"contract", "refers"} & set(facts)


# The fix


def test_a_corrected_contract_lets_readings_in_by_a_reparse(site):
    declare(site, OIL)
    site.put("a.avro", ONE)
    site.sink.run()
    assert site.quarantine.reparse().accepted == 0  # nothing was corrected
    declare(site, OIL.replace("22", "24"))
    report = site.quarantine.reparse()
    assert (report.tried, report.accepted) == (4, 2)
    assert details(site) == {"check oil": 2}
    assert len(site.rows("silver.readings")) == 5
    site.check_nothing_lost_or_doubled()
    facts = site.lineage.load(site.lake.head("silver.readings").properties["appliance.lineage"]).facts
    assert facts["contract"] == load_contracts(site.declarations / "contracts")[0].digest
    raw = {(row["source"], row["position"]): site.objects.site_name(row["digest"]) for row in site.rows("raw.records")}
    for file in site.lake.files("silver.readings"):
        assert compare_with_raw(SiteFiles(site.folder), file.path, raw, Limits()) == ""


def test_a_device_that_became_known_comes_in_by_a_reparse(site):
    refer(site, "tx-1")
    declare(site, KNOWN)
    partition = Partition(site)
    partition.take(*framed(ONE, record("tx-2", 1, readings(3))))
    site.put("a.avro", record("tx-3", 1, readings(2)))
    site.sink.run()
    refer(site, "tx-2", "tx-3")
    assert site.quarantine.reparse().accepted == 5
    assert site.codes() == {}
    site.check_nothing_lost_or_doubled()


def test_what_passes_the_rules_after_a_fix_must_still_hold_the_contract(site):
    site.put("a.avro", record("tx-1", 1, readings(2, measure="pressure", value=25.0)))
    site.sink.run()
    text = (site.declarations / "measures.toml").read_text()
    (site.declarations / "measures.toml").write_text(text.replace("[measure.load]", "[measure.pressure]"))
    (site.declarations / "measures.toml").write_text(
        (site.declarations / "measures.toml").read_text().replace('unit = "kW"', 'unit = "1"')
    )
    declare(site, "{id: low, kind: range, in_sink: true, where: {measure: pressure}, column: value, maximum: 22}")
    assert site.quarantine.reparse().accepted == 0
    assert site.codes() == {"MEASURE": 2}  # what does not pass stays as it is


def test_a_window_counts_from_the_time_of_arrival(site):
    """Readings of a spool file, judged when they come in and again by a reparse a month later."""
    over = "over: {column: event_time, last: 30d}\n"
    declare(site, OIL, over=over)
    late = readings(2, value=25.0, event_time=0)
    late[0]["event_time"] = int((NOW - dt.timedelta(days=31)).timestamp()) * 1_000_000
    late[1]["event_time"] = int((NOW - dt.timedelta(days=29)).timestamp()) * 1_000_000
    site.put("a.avro", record("tx-1", 1, late))
    assert site.sink.run().refused == {"CONTRACT": 1}
    later = SmallSite(site.folder, now=NOW + dt.timedelta(days=30))
    assert later.quarantine.reparse().accepted == 0
    declare(site, OIL, over=over.replace("30d", "28d"))
    assert later.quarantine.reparse().accepted == 1


# What cannot be judged

SKIPPED = {
    "no table": (KNOWN, "check known of silver.readings: no table reference.devices"),
    "no row there": (KNOWN, "no table reference.devices, or no row in it"),
    "no column there": (KNOWN.replace("[name]", "[id]"), "no column id in reference.devices"),
    "no column here": (KNOWN.replace("[device_id]", "[devise]"), "no column devise"),
    "no column of the scope": (OIL.replace("measure:", "colour:"), "check oil of silver.readings: no column colour"),
    "another type": (KNOWN.replace("[device_id]", "[sequence]"), "sequence is no name of reference.devices"),
    "a text has no range": (OIL.replace("column: value", "column: unit"), "unit is no number"),
}


@pytest.mark.parametrize("name", SKIPPED)
def test_a_check_that_cannot_be_judged_stops_the_sink_before_anything_is_committed(site, name):
    check, message = SKIPPED[name]
    if name != "no table":
        refer(site, *([] if name == "no row there" else ["tx-1"]))
    declare(site, check)
    site.put("a.avro", ONE)
    with pytest.raises(ApplianceError, match=message) as caught:
        site.sink.run()
    assert (caught.value.code.id, caught.value.code.exit_code) == ("APL-INGEST-015", 1)
    assert site.content() == {"raw.records": [], "quarantine.readings": [], "silver.readings": []}
    assert told(site) == []
    assert len(list(site.sink.spool.log())) == 1, "the file is claimed and stays"
    (site.declarations / "contracts" / "readings.yaml").unlink()
    assert site.sink.run().accepted == 7
    site.check_nothing_lost_or_doubled()


def test_a_reparse_that_cannot_judge_leaves_everything_as_it_was(site):
    declare(site, OIL)
    site.put("a.avro", ONE)
    site.sink.run()
    before = site.content()
    declare(site, OIL.replace("22", "30"), KNOWN)
    with pytest.raises(ApplianceError, match="APL-INGEST-015"):
        site.quarantine.reparse()
    assert site.content() == before


def test_an_empty_spool_asks_for_no_table(site):
    declare(site, KNOWN)
    assert site.sink.run().files == 0


def test_any_contract_that_cannot_be_read_stops_the_sink_before_a_claim(site):
    declare(site, OIL.replace("maximum: 22", "maximum: 22, minimum: 23"))
    site.put("a.avro", ONE)
    with pytest.raises(ApplianceError, match="APL-CONFIG-004"):
        site.sink.run()
    assert [path.name for path in site.incoming.iterdir()] == ["a.avro"]


def test_keys_are_read_once_for_each_snapshot(site, monkeypatch):
    refer(site, "tx-1", "tx-1")
    declare(site, KNOWN)
    real, scans = site.lake.scan, []

    def counted(name, **options):
        scans.append(name)
        return real(name, **options)

    monkeypatch.setattr(site.lake, "scan", counted)
    partition = Partition(site)
    for number in range(3):
        partition.take(*framed(record("tx-1", number, readings(2, first=2 * number))))
    assert scans.count("reference.devices") == 1
    refer(site, "tx-2")
    report = partition.take(*framed(record("tx-2", 0, readings(2)), record("tx-9", 0, readings(2))))
    assert (scans.count("reference.devices"), report.accepted, report.refused) == (2, 2, {"CONTRACT": 2})


def test_an_engine_that_gives_up_stops_the_sink(site, monkeypatch):
    monkeypatch.setattr(engine, "MEMORY_LIMIT", "4MB")
    refer(site, *(f"tx-{number}-{'x' * 60}" for number in range(100_000)))
    declare(site, KNOWN)
    site.put("a.avro", ONE)
    with pytest.raises(ApplianceError, match="memory") as caught:
        site.sink.run()
    assert caught.value.code.id == "APL-INGEST-015"
    assert site.content() == {"raw.records": [], "quarantine.readings": [], "silver.readings": []}


# Crashes


@pytest.mark.parametrize("declared", ["tightened", "loosened", "gone"])
@pytest.mark.parametrize("ahead", ["quarantine", "raw"])
def test_a_contract_edited_between_crash_and_restart_loses_and_doubles_nothing(site, monkeypatch, ahead, declared):
    declare(site, OIL)
    site.put("a.avro", ONE)
    real = site.lake.append

    def dies(name, *arguments, **options):
        if name == ("silver.readings" if ahead == "quarantine" else "quarantine.readings"):
            raise KeyboardInterrupt
        return real(name, *arguments, **options)

    monkeypatch.setattr(site.lake, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        site.sink.run()
    pending = ledger.balance(SmallSite(site.folder).lake)
    assert (pending.came_in, pending.pending, pending.imbalance) == (7, 7 if ahead == "raw" else 3, 0)
    limit = {"tightened": "20", "loosened": "24"}.get(declared)
    if limit is None:
        (site.declarations / "contracts" / "readings.yaml").unlink()
    else:
        declare(site, OIL.replace("22", limit))
    again = SmallSite(site.folder)
    again.sink.run()
    again.check_nothing_lost_or_doubled()
    fresh = {"tightened": 1, "loosened": 5, "gone": 7}[declared]
    assert len(again.rows("silver.readings")) == (3 if ahead == "quarantine" else fresh)
    # What was judged now and does not stand is not told of.
    assert told(again) == ([("oil", "failed", 7, 7 - fresh)] if ahead == "raw" and limit else [])


def test_a_restart_under_the_same_contract_tells_what_the_killed_run_had_judged(site, monkeypatch):
    declare(site, OIL)
    site.put("a.avro", ONE)
    real = site.lake.append
    monkeypatch.setattr(site.lake, "append", lambda name, *a, **o: 1 / 0 if "silver" in name else real(name, *a, **o))
    with pytest.raises(ZeroDivisionError):
        site.sink.run()
    again = SmallSite(site.folder)
    again.sink.run()
    assert told(again) == [("oil", "failed", 7, 4)]
    assert [each.code for each in again.alerts.all() if each.code == "CONTRACT"] == ["CONTRACT"]


# What is told


def test_what_another_worker_took_is_told_by_that_one_alone(site):
    declare(site, OIL)
    lost, new = Partition(site), Partition(site)
    new.take(*framed(ONE))
    lost.take(*framed(ONE))  # covered by what the new one took: nothing is committed
    for each in (lost, new):
        each.committer.tell(NOW, ended=True)
    assert told(site) == [("oil", "failed", 7, 4)]


def test_outcomes_are_kept_with_the_sample_and_the_contract(site):
    refer(site, "tx-1")
    declare(site, OIL, KNOWN, "{id: enough, kind: rows, minimum: 1}")
    site.put("a.avro", ONE)
    site.sink.run()
    rows = {each["check"]: each for each in site.lake.scan("ledger.gates").to_pylist()}
    assert set(rows) == {"oil", "known"}
    (contract,) = load_contracts(site.declarations / "contracts")
    oil = rows["oil"]
    assert (oil["outcome"], oil["observed"], oil["rows"], oil["broken"]) == ("failed", "42.857 %", 7, 4)
    assert (oil["stage"], oil["contract"], oil["kind"]) == ("sink", contract.digest, "range")
    assert oil["snapshot_id"] == site.lake.head("silver.readings").snapshot_id
    assert oil["sample"] == str([{"device_id": "tx-1", "measure": "oil_temperature"}] * 4).replace("'", '"')
    assert (rows["known"]["outcome"], rows["known"]["broken"]) == ("passed", 0)


def test_a_worker_that_goes_on_tells_once_a_minute_and_at_the_end(site):
    declare(site, OIL)
    partition = Partition(site)
    commits = []
    for second in range(0, 150, 10):
        partition.take(*framed(record("tx-1", second, readings(1, first=second, value=25.0 if second < 60 else 21.0))))
        partition.committer.tell(NOW + dt.timedelta(seconds=second))
        commits.append(len(told(site)))
    assert commits == [0] * 6 + [1] * 6 + [2] * 3
    partition.committer.tell(NOW + dt.timedelta(seconds=150), ended=True)
    partition.committer.tell(NOW + dt.timedelta(seconds=151), ended=True)  # nothing since
    assert told(site) == [("oil", "failed", 7, 6), ("oil", "passed", 6, 0), ("oil", "passed", 2, 0)]
    newest = results.newest(site.lake)
    assert (newest["silver.readings", "oil", "sink"]["outcome"], len(newest)) == ("passed", 1)


def test_a_check_that_judged_nothing_is_not_told_of(site):
    declare(site, OIL.replace("oil_temperature", "load"))
    site.put("a.avro", ONE)
    site.sink.run()
    assert told(site) == []


def test_what_could_not_be_told_is_told_later(site, monkeypatch):
    declare(site, OIL)
    partition = Partition(site)
    partition.take(*framed(ONE))
    real = site.lake.append
    monkeypatch.setattr(site.lake, "append", lambda name, *a, **o: 1 / 0 if "gates" in name else real(name, *a, **o))
    with pytest.raises(ZeroDivisionError):
        partition.committer.tell(NOW, ended=True)
    monkeypatch.undo()
    partition.committer.tell(NOW, ended=True)
    assert told(site) == [("oil", "failed", 7, 4)]


def test_the_sink_and_the_gate_are_told_apart_and_older_rows_are_of_the_gate(site):
    before = pa.schema([field for field in results.RESULTS if field.name != "stage"])
    declare(site, OIL)
    (contract,) = load_contracts(site.declarations / "contracts")
    old = {
        "checked_at": NOW - dt.timedelta(days=1), "table": "silver.readings", "snapshot_id": 1, "contract": "c",
        "version": 1, "check": "oil", "kind": "range", "outcome": "warned", "observed": "o", "expected": "e", "rows": 1,
        "broken": 1, "sample": "[]",
    }  # fmt: skip
    site.lake.ensure("ledger.gates", before)
    added = pa.Table.from_pylist([old], before)
    site.lake.append("ledger.gates", added, expected=site.lake.head("ledger.gates"), properties={}, inputs=[], facts={})
    assert results.newest(site.lake)["silver.readings", "oil", "snapshot"]["outcome"] == "warned"
    site.put("a.avro", ONE)
    site.sink.run()
    found = {key: row["outcome"] for key, row in results.newest(site.lake).items()}
    assert found == {
        ("silver.readings", "oil", "snapshot"): "warned",
        ("silver.readings", "oil", "sink"): "failed",
    }
    (report,) = Gates(lake=site.lake, contracts=[contract], clock=FixedClock(NOW)).run()
    assert report.passed, "what is in silver holds what was checked on the way in"
    found = {key[2]: row["outcome"] for key, row in results.newest(site.lake).items()}
    assert found == {"snapshot": "passed", "sink": "failed"}


def test_a_check_that_breaks_rows_is_told_once_an_hour(site):
    declare(site, OIL)
    declared = declarations.load(site.declarations)
    assert declared.contract is not None
    alerts = []
    for minutes in (0, 10, 59, 60, 61):
        at = SmallSite(site.folder, now=NOW + dt.timedelta(minutes=minutes))
        at.put(f"{minutes}.avro", record("tx-1", minutes, readings(1, first=minutes, value=25.0)))
        at.sink.run()
        alerts.append([each.key for each in at.alerts.all() if each.code == "CONTRACT"])
    first, second = "CONTRACT/silver.readings/oil/2026-03-01T12", "CONTRACT/silver.readings/oil/2026-03-01T13"
    assert alerts == [[first], [first], [first], [first, second], [first, second]]
    (told_of, _) = (each for each in site.alerts.all() if each.code == "CONTRACT")
    assert (told_of.severity, told_of.subject) == ("warning", "check oil of silver.readings")
    assert "1 of 1 readings break it" in told_of.message
    assert "data-engineering" in told_of.message


def test_a_committer_without_checks_has_nothing_to_tell(site):
    site.landing.ensure_tables()
    Committer(site.landing, declarations.load(site.declarations)).tell(NOW, ended=True)
    assert "ledger.gates" not in site.lake.tables()
