"""One demo site on MinIO and PostgreSQL with its passwords in OpenBao, and what happens to it: verified, damaged, its
store away, and live readings by Kafka when some devices get a firmware that sends milliseconds.
"""

import datetime as dt
import io
import math
from types import SimpleNamespace

import fastavro
import kafka
import pytest

from appliance.base.clock import SystemClock, rfc3339, to_us
from appliance.config.site import open_site
from appliance.demo.fleet.generate import generate
from appliance.demo.fleet.plan import LAB_MEASURE, FleetOptions, draw_plan
from appliance.deploy.servers import kafka_access
from appliance.ingestion import reading
from appliance.ingestion.topics.connection import Connection
from appliance.ingestion.topics.producer import ReadingProducer, subject_of
from appliance.secrets.secret import FileSecret
from appliance.wiring.parts import Parts
from tests.integration.storage.conftest import settings_on
from tests.product import DAYS, DEMO_SEED, DEVICES, MODEL, SMALL, make_demo
from tests.small_site import batches

pytestmark = pytest.mark.integration

DAY_US, HOUR_US, QUARTER_US = 86_400_000_000, 3_600_000_000, 900_000_000
SLOTS = 96  # quarters of an hour of a day
MEASURES = 3
NOISE = b"a page of patient data"
GONE_WRONG_FOR_H = 12  # longer than a thermal feature may be old


@pytest.fixture(scope="module")
def demo(minio, site, tmp_path_factory):
    """`product`, what its demo `printed`, the `end` of its history: a day ago, so that readings may follow."""
    named = settings_on(site)
    settings = {key: value for key, value in named.items() if "secret" not in key and "password" not in key}
    site.up("kafka", "openbao")
    settings |= {"kafka.servers": site.place.address("kafka"), "kafka.ca_file": site.place.authority}
    settings |= {"kafka.predictions": kafka_access.PREDICTIONS, "kafka.dead_letters": kafka_access.DEAD_LETTERS}
    settings |= {f"secrets.{key}": value for key, value in site.openbao("ingest").items()}
    given = [*SMALL, *(f"{key}={value}" for key, value in settings.items())]
    past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=20)
    end = past.replace(hour=past.hour // 8 * 8, minute=0, second=0, microsecond=0)
    folder = tmp_path_factory.mktemp("whole") / "site"
    with site.without_secrets("minio*", "postgresql*", "kafka-*"):
        product, printed = make_demo(folder, seed=DEMO_SEED, settings=given, words=("--end", rfc3339(end)))
    yield SimpleNamespace(product=product, printed=printed, end=end)
    product.stop()
    site.down("kafka")
    site.down("openbao")


def test_the_whole_path_ran_and_is_verified_on_what_the_bucket_holds(demo):
    product, printed = demo.product, demo.printed
    assert (printed["verified"], printed["ledger_imbalance"]) == (True, 0)
    assert printed["faults_found"] == printed["faults_planted"]
    held = [path for name in ("lake", "objects") for path in (product.folder / name).rglob("*") if path.is_file()]
    assert held == [], "bytes of data in the site's folder"
    product.do("reproduce", f"{MODEL}/1", "--from-lake", role="auditor")


@pytest.mark.parametrize("of", ["raw predictions:", "raw spool:readings"])
def test_a_damaged_object_is_named_and_no_other(demo, minio, of):
    told = demo.product.do("verify", demo.printed["prediction_id"], role="auditor")
    raw = next(
        link["path"]
        for link in told["links"]
        if link["path"].startswith("objects/") and link["name"].startswith(of) and link["ok"]
    )
    with Damaged(minio, raw):
        broken = demo.product.run("verify", demo.printed["prediction_id"], role="auditor")
        assert broken.code == 3
        assert {link["path"] for link in broken.printed["links"] if not link["ok"]} == {raw}


@pytest.mark.parametrize(("server", "code"), [("minio", "APL-STORAGE-011"), ("openbao", "APL-SECRETS-002")])
def test_verification_says_which_server_is_away(demo, site, server, code):
    site.down(server)
    try:
        away = demo.product.run("verify", demo.printed["prediction_id"], role="auditor")
        assert (away.code, away.error["code"]) == (1, code)
    finally:
        site.up(server)


class Damaged:
    """Another version of an object, put by the server's administrator; at the end the right bytes are put again.

    Taking it away would leave a mark of a deletion, since the versions below are locked: the object would be missing.
    """

    def __init__(self, minio, name):
        self._client, self._key = minio.client(), name.removeprefix("objects/")

    def __enter__(self):
        answer = self._client.get_object("site-objects", self._key)
        self._data = answer.read()
        answer.release_conn()
        damaged = bytearray(self._data)
        damaged[len(damaged) // 2] ^= 1
        self._put(bytes(damaged))

    def __exit__(self, *_):
        self._put(self._data)

    def _put(self, data):
        self._client.put_object("site-objects", self._key, io.BytesIO(data), len(data))


class Field:
    """The devices out there, whose last day goes on: each sends by the topic what it measured the day before."""

    def __init__(self, site, folder, end):
        self._place, self._days, self.firmware, self._sent = site.place, {}, {}, 0
        options = FleetOptions(devices=DEVICES, days=DAYS, end=end, seed=DEMO_SEED)
        generate(options, folder)
        plan = draw_plan(options)
        healthy = {plan.names[index] for index in plan.healthy_devices}
        for path in sorted((folder / "readings").glob("*.avro"))[-8:]:
            with path.open("rb") as file:
                for record in fastavro.reader(file):
                    day = self._days.setdefault(record["device_id"], {})
                    for each in record["readings"]:
                        if each["measure"] != LAB_MEASURE and to_us(end) - DAY_US <= each["event_time"] < to_us(end):
                            day[each["measure"], each["event_time"]] = each
        self._days = {
            device: list(day.values())
            for device, day in self._days.items()
            if device in healthy and len(day) == MEASURES * SLOTS
        }
        self.devices = sorted(self._days)

    def send(self, schemas, after_us, until_us):
        """Readings of [after, until), a record for each device; gives how many each device sent."""
        self._sent += 1
        records = [self._record(device, after_us, until_us) for device in self.devices]
        with ReadingProducer(self._connection(), "readings", schemas) as producer:
            producer.send(batches(records))
        return len(records[0]["readings"])

    def send_noise(self):
        """One record that nobody can decode into each partition, between those of the devices."""
        with kafka.KafkaProducer(**self._connection().settings(), acks="all") as producer:
            for partition in sorted(producer.partitions_for("readings")):
                producer.send("readings", value=NOISE, partition=partition)

    def _connection(self):
        return Connection(
            servers=(self._place.address("kafka"),), user="collector",
            password=FileSecret(self._place.secret_file("kafka-collector")), ca_file=self._place.authority,
        )  # fmt: skip

    def _record(self, device, after_us, until_us):
        milliseconds = device in self.firmware
        rows = []
        for each in self._days[device]:
            time_us = each["event_time"]
            while (time_us := time_us + DAY_US) < until_us:
                if time_us >= after_us:
                    rows.append({**each, "event_time": time_us // 1000 if milliseconds else time_us})
        return {
            "device_id": device, "firmware": self.firmware.get(device, "3.1.7"), "sequence": 10**6 + self._sent,
            "produced_at": until_us, "trace_id": f"{self._sent:032x}", "readings": rows,
        }  # fmt: skip


def test_a_firmware_that_sends_milliseconds_by_the_topic(demo, site, tmp_path):
    """Noticed with the first record; the bytes are kept; the model does not answer for those devices; one command
    brings all of it in after the fix. Simulated time goes by records: each is of a quarter of an hour.
    """
    product = demo.product
    schema = tmp_path / "reading.avsc"
    schema.write_text(reading.SCHEMA_JSON)
    product.do("schema", "register", subject_of("readings"), schema, role="data-engineer")
    parts = Parts(site=open_site(product.folder), clock=SystemClock())
    field = Field(site, tmp_path / "fleet", demo.end)
    product.do("serve", "start", "--model", MODEL)

    def taken(after_us, until_us):
        field.send_noise()
        each = field.send(parts.schemas, after_us, until_us)
        return each, product.do("ingest", "topic", "--until-end", role="data-engineer")

    def alarmed():
        return {alert.subject for alert in parts.alerts.all() if alert.code == "FORMAT"} - before

    def asked():
        """device -> its answer now."""
        product.do("feature", "materialize", role="data-engineer")
        return {device: product.do("predict", MODEL, device) for device in chosen}

    before = {alert.subject for alert in parts.alerts.all() if alert.code == "FORMAT"}
    now_us = to_us(dt.datetime.now(dt.UTC)) // QUARTER_US * QUARTER_US
    began_us = now_us - GONE_WRONG_FOR_H * HOUR_US
    taken(to_us(demo.end), began_us - QUARTER_US)
    taken(began_us - QUARTER_US, began_us)
    assert alarmed() == set()
    books = product.do("ingest", "ledger")

    switched = field.devices[:: len(field.devices) // math.ceil(0.08 * len(field.devices))]
    chosen = [*switched[:3], *(device for device in field.devices if device not in switched)][:6]
    field.firmware = dict.fromkeys(switched, "4.3.0")
    first, report = taken(began_us, began_us + QUARTER_US)  # within 15 simulated minutes
    assert alarmed() == {f"device {device}" for device in switched}
    noise = report["taken"]["refused"].pop("DECODE")
    assert report["taken"]["refused"] == {"EVENT_TIME": first * len(switched)}
    rest, report = taken(began_us + QUARTER_US, now_us)
    lost = (first + rest) * len(switched)
    after = product.do("ingest", "ledger")
    assert (after["quarantined"] - books["quarantined"], after["imbalance"]) == (lost + 2 * noise, 0)
    kept = parts.lake.scan("quarantine.readings", where="code == 'EVENT_TIME'").to_pylist()
    assert len(kept) == lost
    assert all(parts.objects.holds(row["raw_digest"]) for row in kept)

    flagged = asked()
    for device in chosen:
        wrong = device in switched
        assert (flagged[device]["outcome"] == "abstain") == wrong, flagged[device]
        assert ("load_mean_24h: age" in flagged[device]["reason"]) == wrong, flagged[device]
    fixed = product.folder / "declarations" / "decoders.toml"
    fixed.write_text(fixed.read_text() + '\n[[decoder]]\nfirmware = "4.3.0"\nevent_time_unit = "ms"\n')
    assert product.do("quarantine", "reparse", role="data-engineer")["accepted"] == lost
    closed = product.do("ingest", "ledger")
    assert (closed["quarantined"], closed["imbalance"]) == (books["quarantined"] + 2 * noise, 0)
    assert closed["accepted"] == closed["came_in"] - closed["quarantined"]
    answered = asked()
    assert {answer["outcome"] for answer in answered.values()} <= {"positive", "negative"}, answered
    product.do("serve", "flush")
    product.do("verify", answered[switched[0]]["prediction_id"], role="auditor")
    product.do("verify", flagged[switched[0]]["prediction_id"], role="auditor")
    check_purge(product, parts, answered[switched[0]]["prediction_id"], noise)


def check_purge(product, parts, prediction, partitions):
    """Two people destroy every letter; the prediction, whose readings lie beside them, is verified as before."""
    letters = [each for each in parts.letters.find() if each.source.startswith("kafka:readings:")]
    assert {data for _, data in parts.letters.with_bytes(letters)} == {NOISE}
    beside = {letter.raw_digest for letter in letters}
    rows = parts.lake.scan("raw.records", columns=("digest", "records")).to_pylist()
    assert beside <= {row["digest"] for row in rows if row["records"]}, "accepted readings lie beside each of them"
    places = {}
    for each in letters:
        places.setdefault(each.source, []).append(each.position)
    assert len(places) == partitions
    for source, positions in places.items():
        words = ("quarantine", "purge", source, *positions, "--reason", "patient data")
        product.do(*words, role="data-engineer", code=5)
        product.do(*words, "--approve", role="approver")
        assert product.do(*words, role="data-engineer")["keys"] == len(positions)
        assert product.do("quarantine", "letters", "--source", source)["found"] == 0
    told = product.do("verify", prediction, role="auditor")
    assert {parts.objects.site_name(each) for each in beside} <= {link["path"] for link in told["links"]}
    assert any("the score of the prediction follow from the raw readings" in each for each in told["established"])
