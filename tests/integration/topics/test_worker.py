"""Records of a real topic are in the tables once each, whoever takes them and whatever else lies in the topic."""

import contextlib
import hashlib
import io
import json
import threading
import time
from pathlib import Path

import certifi
import fastavro
import kafka
import pytest

from appliance.base.errors import ApplianceError
from appliance.deploy.servers import kafka_access
from appliance.ingestion import reading
from appliance.ingestion.letters import Letters
from appliance.ingestion.schemas.frame import write_frame
from appliance.ingestion.topics import worker as worker_module
from appliance.ingestion.topics.dead_letters import DeadLetterTopic
from appliance.ingestion.topics.producer import values_of
from appliance.secrets.secret import FileSecret
from appliance.storage import codes as storage_codes
from tests.integration.topics.conftest import TopicSite, connection_of, make_topic
from tests.small_site import batches, readings, record

pytestmark = pytest.mark.integration

STRANGER = Path(certifi.where())  # authorities that did not issue the broker's certificate


def until(holds, seconds=60.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


@contextlib.contextmanager
def limit(seconds):
    began = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - began < seconds


def avro_of(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def _partition(topic, partition):
    return kafka.TopicPartition(topic, partition)


def fleet(devices=6, each=4, first=0, count=8):
    """Records of several devices, `each` of them, with readings of `count` quarters of an hour."""
    return [
        record(f"tx-{device}", first + number, readings(count, first=(first + number) * count))
        for number in range(each)
        for device in range(devices)
    ]


def test_what_is_sent_is_in_silver_with_its_position(site):
    acknowledged = site.send(*fleet())
    report = site.take()
    assert (report.taken.files, report.taken.readings, report.taken.accepted) == (24, 192, 192)
    assert set(report.lag.values()) == {0}
    where = {(row["source"], row["position"]) for row in site.rows("raw.records", ("source", "position"))}
    assert where == {(f"kafka:{site.topic}:{each.partition}", each.offset) for each in acknowledged}
    site.check_nothing_lost_or_doubled()


def test_a_second_run_takes_only_what_came_after_the_first(site):
    site.send(*fleet())
    site.take()
    before = site.content()
    assert site.take().taken.files == 0
    assert site.content() == before
    site.send(*fleet(first=4))
    assert site.take().taken.files == 24
    site.check_nothing_lost_or_doubled()


def test_a_record_that_cannot_be_decoded_costs_no_other(site):
    good, bad = fleet(devices=1, each=3), []
    with site.raw_producer() as producer:
        for key, value in values_of(batches(good), 1):
            producer.send(site.topic, key=key, value=value, partition=0)
            for noise in (b"", b"\x00\x00", b"{}", value[:-3], value + b"x", None, write_frame(1, b"\xff" * 40)):
                bad.append(noise)
                producer.send(site.topic, key=key, value=noise, partition=0)
    report = site.take()
    assert report.taken.accepted == 24
    assert report.taken.refused == {"DECODE": len(bad)}
    kept = site.rows("quarantine.readings", ("position", "record", "index", "raw_digest"))
    assert [row["index"] for row in kept] == [None] * len(bad)
    assert all(site.objects.holds(row["raw_digest"]) for row in kept)
    site.check_nothing_lost_or_doubled()


def test_aborted_transactions_are_not_taken(site):
    with site.raw_producer(transactional_id=f"tx-{site.topic}") as producer:
        producer.init_transactions()
        for number, ends in enumerate((producer.commit_transaction, producer.abort_transaction) * 3):
            producer.begin_transaction()
            for key, value in values_of(batches(fleet(devices=2, each=2, first=2 * number)), 1):
                producer.send(site.topic, key=key, value=value)
            ends()
    report = site.take()
    assert report.taken.files == 12
    assert site.take().taken.files == 0
    site.check_nothing_lost_or_doubled()


def test_an_unknown_schema_waits_and_is_taken_when_it_is_registered(site):
    evolved = {
        **reading.SCHEMA,
        "fields": [*reading.SCHEMA["fields"], {"name": "site", "type": "string", "default": ""}],
    }
    before, after = fleet(devices=1, each=2), fleet(devices=1, each=2, first=4)
    with site.raw_producer() as producer:
        for key, value in values_of(batches(before), 1):
            producer.send(site.topic, key=key, value=value, partition=0)
        for each in after:
            producer.send(site.topic, value=write_frame(2, avro_of(evolved, {**each, "site": "north"})), partition=0)
        for key, value in values_of(batches(fleet(devices=1, each=1, first=9)), 1):
            producer.send(site.topic, key=key, value=value, partition=1)
    report = site.take()
    assert (report.taken.files, report.waiting, report.lag[0]) == (3, {0: 2}, 2)
    assert "SCHEMA_UNKNOWN" in {alert.code for alert in site.alerts.all()}
    assert site.schemas.register("other-value", "AVRO", json.dumps(evolved)) == 2
    report = site.take()
    assert (report.taken.files, report.taken.accepted, report.waiting) == (2, 16, {})
    site.check_nothing_lost_or_doubled()


def test_a_refused_schema_goes_to_quarantine(site):
    with site.raw_producer() as producer:
        producer.send(site.topic, value=write_frame(77, b"x" * 40), partition=0)
    report = site.worker(refused=(77,)).run(until_end=True)
    assert (report.taken.refused, report.waiting) == ({"SCHEMA": 1}, {})
    site.check_nothing_lost_or_doubled()


def test_workers_share_the_partitions_and_take_each_record_once(site, tmp_path):
    stop, reports = threading.Event(), []

    def work():
        other = TopicSite(site.folder, site.connection, site.topic)
        reports.append(other.worker(commit_after_s=0.3).run(until_end=False, stop=stop.is_set))

    workers = [threading.Thread(target=work) for _ in range(3)]
    sent = 0
    for number, worker in enumerate(workers):
        worker.start()
        for part in range(4):
            sent += len(site.send(*fleet(devices=9, each=1, first=10 * number + part)))
    until(lambda: len(site.rows("raw.records", ("position",))) >= sent)
    stop.set()
    for worker in workers:
        worker.join(60)
    site.take()
    assert len(site.rows("raw.records", ("position",))) == sent
    assert sum(report.taken.files for report in reports) <= sent
    site.check_nothing_lost_or_doubled()


def test_the_producers_time_is_no_time_of_arrival(tmp_path, connection, admin):
    name = make_topic(admin, **{"message.timestamp.type": "CreateTime"})
    site = TopicSite(tmp_path / "site", connection, name)
    site.send(*fleet(each=1))
    with pytest.raises(ApplianceError, match="APL-TOPIC-006"):
        site.take()
    assert site.rows("raw.records") == []


def test_deleted_records_are_an_error_and_with_consent_an_alert(site, admin):
    acknowledged = site.send(*fleet(devices=1, each=2))
    site.take()
    lost = site.send(*fleet(devices=1, each=2, first=2))
    kept = site.send(*fleet(devices=1, each=2, first=4))
    partition = acknowledged[0].partition
    admin.delete_records({_partition(site.topic, partition): kept[0].offset})
    before = site.content()
    with pytest.raises(ApplianceError, match="APL-TOPIC-007"):
        site.take()
    assert site.content() == before
    report = site.take(accept_gap=True)
    assert report.taken.files == len(kept)
    gap = next(alert for alert in site.alerts.all() if alert.code == "TOPIC_GAP")
    assert (gap.facts["from"], gap.facts["to"]) == (str(lost[0].offset), str(lost[-1].offset))
    site.check_nothing_lost_or_doubled()


def test_a_topic_made_anew_is_refused(site, admin):
    site.send(*fleet())
    site.take()
    admin.delete_topics([site.topic])
    until(lambda: site.topic not in admin.list_topics())
    admin.create_topics(
        {site.topic: {"num_partitions": 3, "replication_factor": 1,
                      "configs": {"message.timestamp.type": "LogAppendTime"}}},
        wait_for_metadata=True,
    )  # fmt: skip
    before = site.content()
    with pytest.raises(ApplianceError, match="APL-TOPIC-008"):
        site.take()
    assert site.content() == before


def test_readings_that_are_fixed_by_a_decoder_come_in_by_a_reparse(site):
    late = [{**each, "event_time": each["event_time"] // 1000} for each in readings(8)]
    site.send(record("tx-1", 1, late, firmware="2.0"), *fleet(devices=2, each=2, first=3))
    report = site.take()
    assert report.taken.refused == {"EVENT_TIME": 8}
    (site.declarations / "decoders.toml").write_text('[[decoder]]\nfirmware = "2.0"\nevent_time_unit = "ms"\n')
    assert site.quarantine.reparse().accepted == 8
    assert site.codes() == {}
    site.check_nothing_lost_or_doubled()


def test_a_store_that_takes_nothing_is_given_up_though_everything_can_be_read(site, monkeypatch):
    """As on a full drive. The waiting is not begun anew with each client that reads on."""

    def full(_):
        raise ApplianceError(storage_codes.STORE_FAILED, "the drive is full")

    monkeypatch.setattr(worker_module, "RESTART_S", 20.0)
    site.send(*fleet())
    site.take()
    site.send(*fleet(first=4))
    with monkeypatch.context() as broken:
        broken.setattr(site.objects, "put", full)
        end = time.monotonic() + 90
        with pytest.raises(ApplianceError, match="the drive is full"):
            site.worker(commit_after_s=8.0).run(until_end=False, stop=lambda: time.monotonic() > end)
        assert time.monotonic() < end
    site.take()
    site.check_nothing_lost_or_doubled()
    assert len(site.rows("raw.records")) == 48


@pytest.fixture
def dead(site, admin):
    """The topic of dead letters of a site."""
    name = make_topic(admin, partitions=1, **{"cleanup.policy": "compact,delete", "max.message.bytes": "2097152"})
    letters = Letters(landing=site.landing, spool=site.sink.spool, clock=site.clock)
    return DeadLetterTopic(connection=site.connection, topic=name, letters=letters, folder=site.folder / "topics")


def read_all(connection, topic):
    """Every record of a topic of one partition, in order."""
    consumer = kafka.KafkaConsumer(**connection.settings(), auto_offset_reset="earliest", group_id=None)
    partition = _partition(topic, 0)
    consumer.assign([partition])
    end, found = consumer.end_offsets([partition])[partition], []
    until(lambda: found.extend(consumer.poll(500).get(partition, [])) or consumer.position(partition) >= end)
    consumer.close()
    return found


LONGEST = b"x" * 1_000_000  # about what a broker takes


def test_dead_letters_are_copied_to_their_topic(site, dead):
    noise = dict(enumerate((LONGEST, None, write_frame(1, b"\xff" * 40), b"Jane Roe")))
    with site.raw_producer() as producer:
        for data in noise.values():
            producer.send(site.topic, key=b"tx-1", value=data, partition=0)
    site.send(*fleet(devices=2, each=1))
    site.worker(dead_letters=dead).run(until_end=True)
    found = read_all(site.connection, dead.topic)
    source = f"kafka:{site.topic}:0"
    assert {each.key.decode(): each.value for each in found} == {
        f"{source}:{offset}": data or b"" for offset, data in noise.items()
    }
    headers = {int(dict(each.headers)["offset"]): dict(each.headers) for each in found}
    assert {offset: (each["code"], each.get("schema_id")) for offset, each in headers.items()} == {
        0: (b"DECODE", None), 1: (b"DECODE", None), 2: (b"DECODE", b"1"), 3: (b"DECODE", None),
    }  # fmt: skip
    for offset, each in headers.items():
        assert each["digest"].decode() == f"sha256:{hashlib.sha256(noise[offset] or b'').hexdigest()}"
    site.worker(dead_letters=dead).run(until_end=True)
    assert len(read_all(site.connection, dead.topic)) == len(noise), "nothing is sent again"
    site.check_nothing_lost_or_doubled()


def test_dead_letters_that_were_left_are_sent_when_the_partition_begins_again(site, dead):
    """As after a kill between the commit and the copy; and without the file that says how far they were sent."""
    with site.raw_producer() as producer:
        producer.send(site.topic, key=b"tx-1", value=b"noise", partition=1)
    site.take()
    for _ in range(2):
        site.worker(dead_letters=dead).run(until_end=True)
        for path in (site.folder / "topics").glob("*.letters"):
            path.unlink()
    assert [each.key.decode() for each in read_all(site.connection, dead.topic)] == [f"kafka:{site.topic}:1:0"] * 2


def test_a_topic_of_dead_letters_that_is_missing_stops_the_worker_and_costs_nothing(site, dead):
    missing = DeadLetterTopic(
        connection=site.connection, topic="none", letters=dead.letters, folder=site.folder / "topics"
    )
    with site.raw_producer() as producer:
        producer.send(site.topic, key=b"tx-1", value=b"noise", partition=1)
    with pytest.raises(ApplianceError, match="APL-TOPIC-006"):
        site.worker(dead_letters=missing).run(until_end=True)
    site.worker(dead_letters=dead).run(until_end=True)
    assert len(read_all(site.connection, dead.topic)) == 1
    site.check_nothing_lost_or_doubled()


REFUSALS = {
    "wrong password": ("APL-TOPIC-004", {"password": "wrong"}),
    "unknown user": ("APL-TOPIC-004", {"user": "nobody", "password": "wrong"}),
    "nobody there": ("APL-TOPIC-002", {"servers": ("127.0.0.1:9",)}),
    "untrusted certificate": ("APL-TOPIC-003", {"stranger": True}),
    "no rule for the topic": ("APL-TOPIC-006", {"role": "collector"}),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_name_their_cause_within_five_seconds(site, servers, tmp_path, name):
    code, given = REFUSALS[name]
    changes = {key: given[key] for key in ("user", "servers") if key in given}
    if "password" in given:
        changes["password"] = FileSecret(tmp_path / "wrong")
        changes["password"].path.write_text(given["password"])
        changes["password"].path.chmod(0o600)
    if "stranger" in given:
        changes["ca_file"] = tmp_path / "stranger.pem"
        changes["ca_file"].write_bytes(STRANGER.read_bytes())
    connection = connection_of(servers, given.get("role", "admin"), **changes)
    with pytest.raises(ApplianceError, match=code), limit(5.0):
        site.worker(connection=connection).run(until_end=True)


def test_each_role_may_do_its_own_and_nothing_else(tmp_path, servers):
    collector = TopicSite(tmp_path / "a", connection_of(servers, "collector"), "readings")
    ingest = TopicSite(tmp_path / "b", connection_of(servers, "ingest"), "readings")
    assert len(collector.send(*fleet(devices=1, each=1))) == 1
    with pytest.raises(ApplianceError, match="APL-TOPIC-005"):
        ingest.send(*fleet(devices=1, each=1))
    with pytest.raises(ApplianceError, match="APL-TOPIC-005"):
        collector.worker(group="sink").run(until_end=True)
    steward = connection_of(servers, "steward")
    dead = DeadLetterTopic(
        connection=ingest.connection, topic=kafka_access.DEAD_LETTERS, folder=ingest.folder / "topics",
        letters=Letters(landing=ingest.landing, spool=ingest.sink.spool, clock=ingest.clock),
    )  # fmt: skip
    with collector.raw_producer() as producer:
        producer.send("readings", key=b"tx-1", value=b"noise")
    assert ingest.worker(group="sink", dead_letters=dead).run(until_end=True).taken.files == 2
    assert [each.value for each in read_all(steward, kafka_access.DEAD_LETTERS)] == [b"noise"]
    for other in (collector.connection, ingest.connection):
        with pytest.raises(kafka.errors.TopicAuthorizationFailedError):
            read_all(other, kafka_access.DEAD_LETTERS)
