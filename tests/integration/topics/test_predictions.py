"""Predictions through a real broker into the lake: what was answered is there once, whatever is killed or away."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import kafka
import pytest

from appliance.base.clock import SystemClock
from appliance.base.errors import ApplianceError
from appliance.config.site import open_site
from appliance.ingestion.topics import log_reader, producer, transactions
from appliance.ingestion.topics.log_reader import read_to_end
from appliance.ingestion.topics.transactions import TransactionProducer
from appliance.serving.deployment import Deployment
from appliance.serving.prediction_log import PredictionWriter
from appliance.serving.prediction_records import records_of
from appliance.storage import names
from appliance.wiring.parts import Parts
from tests.integration.kill_counts import KILLS
from tests.integration.storage.killing import running_pid
from tests.integration.topics.conftest import connection_of, make_topic
from tests.portal_site import prediction
from tests.product import ENVIRONMENT, PYTHON, Product
from tests.system.flips import flipped, rewrite

pytestmark = pytest.mark.integration


class Answering:
    """A site whose gateway has answered; its predictions go through a topic."""

    def __init__(self, product, topic=""):
        self.product, self.topic = product, topic
        self.answered = 0

    def answer(self, count, segments=1):
        """As the gateway does, in so many segments."""
        writer = PredictionWriter(open_site(self.product.folder).serving / "predictions")
        for _ in range(segments):
            for number in range(self.answered, self.answered + count):
                writer.write(prediction(number, "", entity=f"tx-{number}"))
            self.answered += count
            writer.rotate()

    def flush(self):
        return Deployment(self._parts).prediction_table().flush()

    def taken(self):
        lake = self._parts.lake
        if names.PREDICTIONS not in lake.tables():
            return []
        return lake.scan(names.PREDICTIONS, columns=("prediction_id",))["prediction_id"].to_pylist()

    def check_each_is_there_once(self):
        expected = [prediction(number, "").prediction_id for number in range(self.answered)]
        assert sorted(self.taken()) == expected

    @property
    def _parts(self):
        return Parts(site=open_site(self.product.folder), clock=SystemClock())

    @property
    def hint(self):
        return self.product.folder / "serving" / "predictions" / "sent" / f"{self.topic}.txt"


class Flushing:
    """A flush in a process that has begun with it when the block begins."""

    def __init__(self, site):
        self._folder = site.product.folder

    def __enter__(self):
        words = [PYTHON, Path(__file__).parent / "flushing.py", self._folder]
        self._process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE)
        assert self._process.stdout.readline() == b"ready\n"
        self._began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.kill()
        self._process.communicate()

    def kill(self):
        self._process.kill()

    def wait(self, seconds):
        """Its exit code; `ran_s` is how long it ran."""
        code = self._process.wait(seconds)
        self.ran_s = time.monotonic() - self._began
        return code


@pytest.fixture
def topic(admin):
    return make_topic(admin, partitions=1)


@pytest.fixture
def site(tmp_path, connection, topic):
    product = Product(tmp_path / "site")
    settings = {
        "kafka.servers": connection.servers[0],
        "kafka.ca_file": connection.ca_file,
        "kafka.user": "admin",
        "kafka.password_file": connection.password,
        "kafka.predictions": topic,
        "kafka.predictions_user": "admin",
        "kafka.predictions_password_file": connection.password,
    }
    product.do("site", "init", *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")))
    return Answering(product, topic)


def test_the_users_of_one_machine_bring_predictions_in_and_verification_follows_them(servers):
    product = servers.product
    product.set(kafka__servers=servers.place.address("kafka"), kafka__predictions="predictions")
    assert product.do("site", "check")["problems"] == []
    site = Answering(product)
    site.answer(3, segments=2)
    assert (site.flush(), site.flush()) == (6, 0)
    subject = prediction(4, "").prediction_id
    told = product.do("verify", subject, role="auditor")
    (record,) = (link for link in told["links"] if link["kind"] == "recomputed")
    assert (record["ok"], record["path"].partition("/")[0]) == (True, "objects")
    for path in (product.folder / "serving" / "predictions" / "log").glob("*.jsonl"):
        path.write_bytes(b"")  # nothing rests on the gateway's files any more
    assert product.do("verify", subject, role="auditor")["verified"]
    path = product.folder / record["path"]
    data = path.read_bytes()
    rewrite(path, flipped(data, len(data) // 2, 0))
    broken = product.run("verify", subject, role="auditor")
    assert broken.code == 3
    assert {link["path"] for link in broken.printed["links"] if not link["ok"]} == {record["path"]}
    rewrite(path, data)


def test_what_was_sent_twice_is_taken_once(site):
    site.answer(20, segments=3)
    assert site.flush() == 60
    site.hint.unlink()
    site.answer(5)
    assert site.flush() == 5
    site.check_each_is_there_once()


def test_the_way_may_be_changed_at_any_time(site):
    for topic in (site.topic, "", site.topic):
        site.product.set(kafka__predictions=topic)
        site.answer(4)
        assert site.flush() == 4
    site.check_each_is_there_once()
    told = site.product.do("verify", prediction(5, "").prediction_id, role="auditor")
    (record,) = (link for link in told["links"] if link["kind"] == "recomputed")
    assert record["path"] == "serving/predictions/log/000000000002.jsonl"


def test_a_flush_that_is_killed_loses_and_doubles_nothing(site, seed):
    rng = random.Random(seed)
    site.answer(500, segments=2)
    with Flushing(site) as undisturbed:
        assert undisturbed.wait(60) == 0
        usual_s = undisturbed.ran_s
    for _ in range(KILLS["flush"]):
        site.answer(500, segments=2)
        with Flushing(site) as running:
            time.sleep(rng.uniform(0.1, 0.9) * usual_s)
            running.kill()
    site.flush()
    site.check_each_is_there_once()


def test_while_the_broker_is_away_records_wait_and_afterwards_all_are_there(site, servers):
    site.answer(10)
    site.flush()
    servers.down("kafka")
    try:
        site.answer(10, segments=2)
        assert site.product.run("serve", "flush").error["code"] == "APL-TOPIC-002"
        (problem,) = site.product.run("site", "check").printed["problems"]
        assert problem.startswith("prediction topic: APL-TOPIC-002")
        site.answer(10)
    finally:
        servers.up("kafka")
    assert site.flush() == 30
    site.check_each_is_there_once()


def test_a_foreign_record_is_refused_by_its_offset(site, connection):
    site.answer(2)
    site.flush()
    with kafka.KafkaProducer(**connection.settings(), acks="all") as stranger:
        offset = stranger.send(site.topic, b"no prediction").get(30).offset
    site.answer(2)
    with pytest.raises(ApplianceError, match=f"APL-SERVE-009: .*offset {offset}"):
        site.flush()
    assert len(site.taken()) == 2


def test_a_topic_of_several_partitions_is_refused(site, admin):
    site.answer(1)
    for topic in (make_topic(admin), "no-such-topic"):
        site.product.set(kafka__predictions=topic)
        with pytest.raises(ApplianceError, match="APL-TOPIC-006"):
            site.flush()
    assert site.taken() == []


def test_a_writer_that_never_ended_its_transaction_is_ended_by_the_next_one(connection, topic):
    segment = records_of(1, [(b"{}", prediction(0, ""))])
    left = kafka.KafkaProducer(**connection.settings(), acks="all", transactional_id=f"serving-{topic}")
    left.init_transactions()
    left.begin_transaction()
    left.send(topic, b"left behind", partition=0).get(30)
    with TransactionProducer(connection, topic, f"serving-{topic}") as other:
        other.send(segment)
    found = [each for records in read_to_end(connection, topic, 0) for each in records]
    assert [(each.value, tuple(each.headers)) for each in found] == [(b"{}", segment[0].headers)]
    left.close(timeout=5)


@contextlib.contextmanager
def frozen(servers):
    """The broker takes connections and answers nothing, as behind a network that swallows packets."""
    pid = running_pid(servers, "kafka")
    stopped = []

    def freeze():
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)

    try:
        yield freeze
        assert stopped
    finally:
        os.kill(pid, signal.SIGCONT)


def then(work, after):
    def both(*args, **kwargs):
        found = work(*args, **kwargs)
        after()
        return found

    return both


@pytest.mark.parametrize("moment", ["before it sends", "before it commits"])
def test_a_writer_gives_up_a_broker_that_hangs(servers, connection, topic, monkeypatch, moment):
    for module in (transactions, producer):
        monkeypatch.setattr(module, "ACKNOWLEDGED_S", 6.0)
    monkeypatch.setattr(transactions, "BLOCK_S", 3.0)
    segment = records_of(1, [(b"{}", prediction(0, ""))] * 3)
    with (
        frozen(servers) as freeze,
        pytest.raises(ApplianceError, match=r"APL-TOPIC-0(02|10)"),
        TransactionProducer(connection, topic, f"serving-{topic}") as writer,
    ):
        if moment == "before it sends":
            freeze()
        else:
            monkeypatch.setattr(transactions, "acknowledged", then(transactions.acknowledged, freeze))
        writer.send(segment)
    monkeypatch.undo()
    with TransactionProducer(connection, topic, f"serving-{topic}") as writer:
        writer.send(segment)
    found = [dict(each.headers)["line"] for records in read_to_end(connection, topic, 0) for each in records]
    assert found in ([b"1", b"2", b"3"], [b"1", b"2", b"3"] * 2)


def test_a_reader_gives_up_a_broker_that_hangs(servers, connection, topic, monkeypatch):
    with frozen(servers) as freeze, pytest.raises(ApplianceError, match="APL-TOPIC-002"):
        monkeypatch.setattr(log_reader, "opened", then(log_reader.opened, freeze))
        list(read_to_end(connection, topic, 0))


def _write(connection, topic, transactional_id):
    with TransactionProducer(connection, topic, transactional_id) as producer:
        producer.send(records_of(1, []))


def _read(connection, topic):
    return list(read_to_end(connection, topic, 0))


REFUSED = {
    "a collector writes predictions": ("collector", _write, ("predictions", "collector"), "APL-TOPIC-006"),
    "ingestion writes predictions": ("ingest", _write, ("predictions", "serving"), "APL-TOPIC-005"),
    "serving reads predictions": ("serving", _read, ("predictions",), "APL-TOPIC-005"),
    "serving takes another's transactions": ("serving", _write, ("predictions", "collector"), "APL-TOPIC-005"),
    "serving writes readings": ("serving", _write, ("readings", "serving"), "APL-TOPIC-006"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_each_role_may_do_its_own_and_nothing_else(servers, admin, case):
    role, act, words, code = REFUSED[case]
    if act is _read:
        with kafka.KafkaProducer(**connection_of(servers, "serving").settings(), acks="all") as writer:
            writer.send("predictions", b"to be read", partition=0).get(30)
    with pytest.raises(ApplianceError, match=code):
        act(connection_of(servers, role), *words)
