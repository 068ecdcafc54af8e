"""What the sink does with good and late readings, restarts, changed declarations and changed formats."""

import random

import pytest

from appliance.base.clock import rfc3339, to_us
from appliance.ingestion import ledger
from tests.small_site import NOW, START, SmallSite, readings, record

HOUR_US = 3_600_000_000


def milliseconds(rows):
    return [{**each, "event_time": each["event_time"] // 1000} for each in rows]


def test_accepted_rows_have_every_column_as_it_was_sent(tmp_path):
    site = SmallSite(tmp_path)
    site.put("a.avro", record("tx-1", 7, readings(1, value=20.5), firmware="4.1.0"))
    site.sink.run()
    assert site.rows("silver.readings") == [
        {
            "device_id": "tx-1", "measure": "oil_temperature", "event_time": START, "arrived_at": NOW, "value": 20.5,
            "unit": "Cel", "quality": "good", "firmware": "4.1.0", "sequence": 7, "source": "spool:readings",
            "position": 0, "record": 0, "index": 0,
        }
    ]  # fmt: skip


def test_late_and_out_of_order_readings_are_accepted_and_counted(tmp_path):
    site = SmallSite(tmp_path, late_after="24h")
    now_us = to_us(NOW)
    fresh, late = readings(2, event_time=0), readings(3, event_time=0)
    for number, each in enumerate(fresh):
        each["event_time"] = now_us - HOUR_US + number
    for number, each in enumerate(late):
        each["event_time"] = now_us - 48 * HOUR_US + number
    site.put("a.avro", record("tx-1", 1, fresh))
    site.put("b.avro", record("tx-1", 2, late))
    report = site.sink.run()
    assert (report.accepted, report.late, report.behind) == (5, 3, 3)


@pytest.mark.parametrize(
    ("trust", "stamp", "arrived"),
    [
        (True, "2026-02-20T00:00:00Z", "2026-02-20T00:00:00Z"),
        (False, "2026-02-20T00:00:00Z", "2026-03-01T12:00:00Z"),
        (True, "2026-03-20T00:00:00Z", "2026-03-01T12:00:00Z"),
        (True, "yesterday", "2026-03-01T12:00:00Z"),
        (True, None, "2026-03-01T12:00:00Z"),
    ],
    ids=["believed", "not trusted", "after the claim", "unreadable", "none"],
)
def test_time_of_arrival(tmp_path, trust, stamp, arrived):
    site = SmallSite(tmp_path, trust_received_at=trust)
    metadata = {} if stamp is None else {"appliance.received_at": stamp}
    site.put("a.avro", record("tx-1", 1, readings(1)), metadata=metadata)
    site.sink.run()
    assert [rfc3339(row["arrived_at"]) for row in site.rows("silver.readings")] == [arrived]


def test_a_reading_may_be_an_hour_ahead_of_arrival_and_no_more(tmp_path):
    site = SmallSite(tmp_path)
    edge = to_us(NOW) + HOUR_US
    site.put("a.avro", record("tx-1", 1, [*readings(1, event_time=edge), *readings(1, event_time=edge + 1)]))
    assert site.sink.run().accepted == 1
    assert site.codes() == {"EVENT_TIME": 1}


def test_a_device_that_counts_again_from_zero_is_not_a_duplicate(tmp_path):
    site = SmallSite(tmp_path)
    site.put("a.avro", record("tx-1", 0, readings(2), produced_at=to_us(START)))
    site.put("b.avro", record("tx-1", 0, readings(2, first=2), produced_at=to_us(START) + HOUR_US))
    assert site.sink.run().accepted == 4


def test_the_first_by_position_stands_across_runs(tmp_path):
    site = SmallSite(tmp_path)
    site.put("b.avro", record("tx-1", 1, readings(3, value=1.0)))
    site.sink.run()
    site.put("a.avro", record("tx-1", 2, readings(4, value=2.0)))
    SmallSite(tmp_path).sink.run()  # another process: nothing is remembered but the lake
    assert [row["value"] for row in site.rows("silver.readings", ("event_time", "value"))] == [1.0, 1.0, 1.0, 2.0]
    assert site.codes() == {"DUPLICATE": 3}


def random_files(rng):
    """Few devices, times and sequences, so that repetitions are common; one out of range and one again in any case."""
    out_of_range = record("tx-9", 1, readings(2, value=999.0))
    files = [[out_of_range, record("tx-9", 2, readings(2, value=1.0)), record("tx-9", 2, readings(2, value=1.0))]]
    for _ in range(12):
        records = [
            record(
                f"tx-{rng.randrange(3)}",
                rng.randrange(6),
                readings(rng.randrange(1, 6), first=rng.randrange(20), value=rng.choice([1.0, 2.0, 999.0])),
            )
            for _ in range(rng.randrange(1, 4))
        ]
        files.append(records)
    return files


@pytest.mark.parametrize("case", range(4))
def test_verdicts_do_not_depend_on_batches_or_restarts(tmp_path, seed, case):
    rng = random.Random(seed * 10 + case)
    files = random_files(rng)
    whole = SmallSite(tmp_path / "whole")
    for number, records in enumerate(files):
        whole.put(f"{number:02d}.avro", *records)
    whole.sink.run()
    parts = tmp_path / "parts"
    for number, records in enumerate(files):
        site = SmallSite(parts, commit_rows=rng.randrange(1, 20))
        site.put(f"{number:02d}.avro", *records)
        if rng.random() < 0.6:
            site.sink.run()
    site.sink.run()
    assert site.content() == whole.content()
    assert whole.codes().keys() >= {"DUPLICATE", "RANGE"}
    site.check_nothing_lost_or_doubled()


@pytest.mark.parametrize("ahead", ["quarantine", "raw"])
def test_rules_edited_between_crash_and_restart_lose_and_double_nothing(tmp_path, monkeypatch, ahead):
    site = SmallSite(tmp_path)
    site.put("a.avro", record("tx-1", 1, [*readings(3), *readings(2, first=3, value=140.0)]))
    real = site.lake.append

    def dies(name, *arguments, **options):
        if name == ("silver.readings" if ahead == "quarantine" else "quarantine.readings"):
            raise KeyboardInterrupt
        return real(name, *arguments, **options)

    monkeypatch.setattr(site.lake, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        site.sink.run()
    pending = ledger.balance(SmallSite(tmp_path).lake)
    assert (pending.came_in, pending.pending, pending.imbalance) == (5, 5, 0)
    text = (site.declarations / "measures.toml").read_text()
    (site.declarations / "measures.toml").write_text(text.replace("max = 150.0", "max = 100.0"))
    again = SmallSite(tmp_path)
    again.sink.run()
    again.check_nothing_lost_or_doubled()
    # What quarantine took stands: nothing was in it, so silver takes all; a fresh batch is judged by the new rules.
    assert len(again.rows("silver.readings")) == (5 if ahead == "quarantine" else 3)


def test_a_changed_format_is_alarmed_and_quarantined_and_comes_in_after_the_fix(tmp_path):
    site = SmallSite(tmp_path)
    site.put("a.avro", *(record(f"tx-{each}", 1, readings(12)) for each in range(5)))
    site.sink.run()
    site.put(
        "b.avro",
        *(record(f"tx-{each}", 2, readings(12, first=12)) for each in range(4)),
        record(
            "tx-4", 2, milliseconds(readings(12, first=12)), firmware="4.2.0", produced_at=to_us(START) + 6 * HOUR_US
        ),
    )
    report = site.sink.run()
    assert {(alarm.code, alarm.severity, alarm.subject) for alarm in report.alarms} == {
        ("FIRMWARE", "info", "device tx-4"),
        ("FORMAT", "critical", "device tx-4"),
        ("COUNT", "critical", "device tx-4"),
    }
    assert site.codes() == {"EVENT_TIME": 12}
    assert site.alerts.all() == report.alarms

    site.clock.at = NOW.replace(hour=18)
    (site.declarations / "decoders.toml").write_text('[[decoder]]\nfirmware = "4.2.0"\nevent_time_unit = "ms"\n')
    done = site.quarantine.reparse()
    assert (done.tried, done.accepted, done.by_firmware) == (12, 12, {"4.2.0": 12})
    assert site.codes() == {}
    mine = [row for row in site.rows("silver.readings") if row["firmware"] == "4.2.0"]
    assert sorted(row["event_time"] for row in mine)[0] == START.replace(hour=3)
    assert {row["arrived_at"] for row in mine} == {NOW.replace(hour=18)}  # nobody could know them before
    site.check_nothing_lost_or_doubled()
    before = site.content()
    assert site.quarantine.reparse().accepted == 0
    assert site.content() == before

    site.put("c.avro", record("tx-4", 3, milliseconds(readings(12, first=24)), firmware="4.2.0"))
    report = site.sink.run()
    assert (report.accepted, report.alarms) == (12, ())


def test_reparse_leaves_what_still_fails_and_what_would_be_a_duplicate(tmp_path):
    site = SmallSite(tmp_path)
    sent = milliseconds(readings(3)) + milliseconds(readings(1, first=3, value=999.0))
    site.put("a.avro", record("tx-1", 1, sent, firmware="2.0"))
    site.put("b.avro", record("tx-1", 2, readings(1), firmware="3.0"))
    site.sink.run()
    (site.declarations / "decoders.toml").write_text('[[decoder]]\nfirmware = "2.0"\nevent_time_unit = "ms"\n')
    assert site.quarantine.reparse().accepted == 2
    assert site.codes() == {"EVENT_TIME": 2}
    site.check_nothing_lost_or_doubled()


def test_missing_readings_raise_a_count_alarm_and_a_full_batch_does_not(tmp_path):
    site = SmallSite(tmp_path)
    site.put("a.avro", record("tx-1", 1, readings(96)), record("tx-2", 1, readings(96)))
    site.sink.run()
    day = to_us(START) + 24 * HOUR_US
    full, few = readings(96, first=96), readings(10, first=96)
    site.put("b.avro", record("tx-1", 2, full, produced_at=day), record("tx-2", 2, few, produced_at=day))
    report = site.sink.run()
    assert [(alarm.code, alarm.subject) for alarm in report.alarms] == [("COUNT", "device tx-2")]
    assert report.alarms[0].facts["accepted"] == 10
    assert 88 <= report.alarms[0].facts["expected"] <= 96


def test_every_commit_carries_the_positions_and_names_what_it_rests_on(tmp_path):
    site = SmallSite(tmp_path, commit_rows=1)
    for number in range(3):
        site.put(f"{number}.avro", record("tx-1", number, readings(2, first=2 * number)))
    site.sink.run()
    for name in ("raw.records", "quarantine.readings", "silver.readings"):
        assert site.lake.head(name).properties["appliance.positions"] == '{"spool:readings":3}'
    documents = list(site.lineage.walk(site.lake.head("silver.readings").properties["appliance.lineage"]))
    assert {document.kind for document in documents} == {"commit", "raw"}
    raw = [file for document in documents if document.kind == "raw" for file in document.files]
    assert {file.digest for file in raw} == {row["digest"] for row in site.rows("raw.records")}
    assert all((tmp_path / file.path).is_file() for document in documents for file in document.files)


def test_ledger_tells_what_is_missing(tmp_path):
    site = SmallSite(tmp_path)
    site.put("a.avro", record("tx-1", 1, readings(5)), record("tx-2", 1, readings(5)))
    site.sink.run()
    head = site.lake.head("silver.readings")
    site.lake.replace(
        "silver.readings", site.lake.scan("silver.readings").slice(0, 0), expected=head, properties={}, inputs=[],
        facts={}, remove="device_id = 'tx-1' and index < 2",
    )  # fmt: skip
    found = ledger.balance(site.lake)
    assert found.imbalance == 2
    assert [(line.device_id, line.imbalance) for line in found.lines] == [("tx-1", 2), ("tx-2", 0)]
    alerts = site.alerts.record(ledger.alerts_of(found, site.clock.now()))
    assert [(each.code, each.subject, each.facts["imbalance"]) for each in alerts] == [("IMBALANCE", "device tx-1", 2)]
    assert site.alerts.record(ledger.alerts_of(found, site.clock.now())) == ()  # told once


def test_reparse_killed_between_its_commits_balances_and_is_finished_by_the_next(tmp_path, monkeypatch):
    site = SmallSite(tmp_path)
    site.put("a.avro", record("tx-1", 1, milliseconds(readings(6)), firmware="2.0"), record("tx-2", 1, readings(3)))
    site.sink.run()
    (site.declarations / "decoders.toml").write_text('[[decoder]]\nfirmware = "2.0"\nevent_time_unit = "ms"\n')

    def dies(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(site.lake, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        site.quarantine.reparse()
    again = SmallSite(tmp_path)
    assert len(again.rows("silver.readings")) == 9
    assert again.codes() == {"EVENT_TIME": 6}  # in both for a moment
    between = ledger.balance(again.lake)
    assert (between.came_in, between.accepted, between.quarantined, between.imbalance) == (9, 9, 0, 0)
    assert again.quarantine.reparse().accepted == 0
    assert again.codes() == {}
    again.check_nothing_lost_or_doubled()
