"""The connector `mqtt` on a real mosquitto: every published row is delivered once, whoever is killed meanwhile."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.cli import main
from appliance.ingestion.connectors.declaration import Mqtt
from appliance.ingestion.connectors.delivery import Delivery
from appliance.ingestion.connectors.mqtt import MqttSource
from appliance.ingestion.connectors.run import Limits, run
from appliance.secrets.secret import FileSecret
from tests.integration.connectors.broker import PROGRAM, Broker, Publisher
from tests.small_site import MEASURES
from tests.sources import certificate

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed; make servers does"),
]
ROOT = Path(__file__).parents[3]
LIMITS = Limits(rows=50, bytes=10**6, age_s=1.0, stalled_rows=10, poll_s=0.0)


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path / "broker")
    made.start()
    yield made
    made.stop()


def declared(broker, **changes):
    base = {
        "host": "127.0.0.1", "port": broker.port, "topics": ["site/+/readings"], "client_id": "north",
        "key": ["device", "sequence"], "receive_maximum": 100, "idle": "1s",
    }  # fmt: skip
    return Mqtt(**{**base, **changes})


def pull(mqtt, folder, seconds=None, limits=LIMITS):
    delivery = Delivery(folder / "state", "rows", folder / "incoming")
    with delivery.exclusive():
        password = FileSecret(folder / mqtt.password_file) if mqtt.user else None
        return run(MqttSource(mqtt, folder, password), delivery, limits, seconds=seconds, progress=NoProgress())


def rows(folder):
    """The lines of all delivered files, in order."""
    return [line for path in sorted((folder / "incoming").iterdir()) for line in path.read_text().splitlines()]


def numbers(folder):
    return [json.loads(line)["sequence"] for line in rows(folder)]


def test_what_is_published_while_we_are_away_is_kept_for_us(tmp_path, broker):
    mqtt = declared(broker)
    assert pull(mqtt, tmp_path).rows == 0  # the session begins with the first run
    publisher = Publisher(broker)
    publisher.publish(range(300))
    publisher.close()
    report = pull(mqtt, tmp_path)
    assert (report.rows, report.duplicates, report.ended) == (300, 0, "empty")
    assert report.files >= 3  # no more than receive_maximum are with us at any time
    assert numbers(tmp_path) == list(range(300))
    assert pull(mqtt, tmp_path).rows == 0


def test_a_row_that_is_published_again_is_left_out(tmp_path, broker):
    mqtt = declared(broker)
    pull(mqtt, tmp_path)
    for again in (range(30), range(20, 40)):
        publisher = Publisher(broker)
        publisher.publish(again)
        publisher.close()
        report = pull(mqtt, tmp_path)
    assert (report.rows, report.duplicates) == (10, 10)
    assert numbers(tmp_path) == list(range(40))


def test_a_payload_that_is_no_object_is_delivered_for_quarantine(tmp_path, broker):
    mqtt = declared(broker, topic_field="topic", key=["topic", "n"])
    pull(mqtt, tmp_path)
    publisher = Publisher(broker)
    for topic, payload in (
        ("site/a/readings", '{\n"n": 1}'), ("site/b/readings", '{"n": 1}'), ("site/a/readings", "{}"),
        ("site/a/readings", "off"), ("site/a/readings", b"\xff\n"), ("site/a/readings", b""),
    ):  # fmt: skip
        publisher.sent.append(publisher.client.publish(topic, payload, qos=1))
    publisher.close()
    pull(mqtt, tmp_path)
    assert rows(tmp_path) == [
        '{"topic":"site/a/readings","n": 1}', '{"topic":"site/b/readings","n": 1}', '{"topic":"site/a/readings"}',
        "off", '"\\\\xff\\n"', '""',
    ]  # fmt: skip


MAPPING = """
table = "silver.meters"
format = "jsonl"
[time]
column = "t"
[[column]]
from = "sequence"
name = "sequence"
type = "long"
"""


def test_from_the_broker_to_the_lake(tmp_path, broker, capsys):
    site = tmp_path / "site"
    assert main.run(["site", "init", "--site", str(site)]) == 0
    (site / "declarations" / "measures.toml").write_text(MEASURES)
    for name, text in (
        ("drops/meters", MAPPING),
        (
            "connectors/meters",
            f'kind = "mqtt"\nmapping = "meters"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nidle = "1s"\n'
            'topics = ["site/+/readings"]\nclient_id = "north"\nkey = ["device", "sequence"]\n',
        ),
    ):
        path = site / "declarations" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def call(*arguments):
        capsys.readouterr()
        assert main.run([*arguments, "--site", str(site), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    call("connector", "run", "meters")
    publisher = Publisher(broker)
    publisher.publish([*range(40), *range(5)])
    publisher.close()
    assert call("connector", "run", "meters") == {
        "name": "meters", "files": 1, "rows": 40, "duplicates": 5, "ended": "empty",
    }  # fmt: skip
    assert len(call("connector", "status", "meters")["cursor"]["keys"]) == 40
    drops = call("ingest", "run")["drops"]
    assert (drops["files"], drops["accepted"], drops["refused"]) == (1, 40, {})


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_a_broker_that_restarts_while_rows_come_in(tmp_path, broker, how):
    total = 600
    mqtt = declared(broker, idle="4s")
    pull(declared(broker), tmp_path)
    publisher = Publisher(broker)
    unsaved = set()  # what a killed broker may have lost, see `broker`

    def restart():
        for _ in range(2):
            time.sleep(1.0)
            broker.stop(how)
            time.sleep(0.3)
            if how is signal.SIGKILL:
                unsaved.update(publisher.last_confirmed())
            broker.start()

    restarting = threading.Thread(target=restart)
    publishing = threading.Thread(target=publisher.publish, args=(range(total),), kwargs={"pause_s": 0.006})
    for each in (restarting, publishing):
        each.start()
    report = pull(mqtt, tmp_path)
    for each in (restarting, publishing):
        each.join()
    publisher.close()
    more = pull(mqtt, tmp_path)
    found = numbers(tmp_path)
    assert len(found) == len(set(found)) == report.rows + more.rows
    missing = set(range(total)) - set(found)
    assert missing <= unsaved, sorted(missing - unsaved)


WORKER = """
import sys
from pathlib import Path
import msgspec
from appliance.base.progress import NoProgress
from appliance.ingestion.connectors.declaration import Mqtt
from appliance.ingestion.connectors.delivery import Delivery
from appliance.ingestion.connectors.mqtt import MqttSource
from appliance.ingestion.connectors.run import Limits, run
folder, mqtt = Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Mqtt)
delivery = Delivery(folder / "state", "rows", folder / "incoming")
print("begins", flush=True)
with delivery.exclusive():
    run(MqttSource(mqtt, folder), delivery, Limits(rows=20, bytes=10**6, age_s=0.2, stalled_rows=10, poll_s=0.0),
        seconds=60.0, progress=NoProgress())
"""


def test_kill_9_of_the_connector_while_rows_come_in(tmp_path, broker, seed):
    import msgspec

    rng = random.Random(seed)
    mqtt = declared(broker)
    pull(mqtt, tmp_path)
    total, kills = 1500, 0
    publisher = Publisher(broker)
    publishing = threading.Thread(target=publisher.publish, args=(range(total),), kwargs={"pause_s": 0.004})
    publishing.start()
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WORKER, tmp_path, msgspec.json.encode(mqtt)],
            cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout.readline() == b"begins\n"
            time.sleep(rng.uniform(0.1, 1.0))
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    publishing.join()
    publisher.close()
    pull(mqtt, tmp_path)
    assert kills == 8
    assert sorted(numbers(tmp_path)) == list(range(total)), f"seed {seed}"


@pytest.fixture
def guarded(tmp_path):
    """A broker with TLS, a user, and a rule which topics this one may read."""
    certificate(tmp_path / "own", "127.0.0.1")
    (tmp_path / "passwords").write_text("north:right\n")
    subprocess.run(["mosquitto_passwd", "-U", tmp_path / "passwords"], check=True)
    (tmp_path / "rules").write_text("user north\ntopic read site/+/readings\n")
    made = Broker(
        tmp_path / "broker",
        f"certfile {tmp_path}/own.ca\nkeyfile {tmp_path}/own\nallow_anonymous false\n"
        f"password_file {tmp_path}/passwords\nacl_file {tmp_path}/rules\n",
    )
    made.start()
    yield made
    made.stop()


def test_tls_with_user_and_password(tmp_path, guarded):
    certificate(tmp_path / "other", "127.0.0.1")
    for name, text in (("right", "right"), ("wrong", "hidden")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    mqtt = declared(guarded, ca_file="own.ca", user="north", password_file="right")
    assert pull(mqtt, tmp_path).ended == "empty"
    refused(declared(guarded, ca_file="own.ca", user="north", password_file="wrong"), tmp_path, "APL-CONN-009")
    refused(declared(guarded, ca_file="own.ca"), tmp_path, "APL-CONN-009")
    refused(declared(guarded, ca_file="other.ca", user="north", password_file="right"), tmp_path, "APL-CONN-008")
    refused(declared(guarded), tmp_path, "APL-CONN-007")


def refused(mqtt, folder, code):
    began = time.monotonic()
    with pytest.raises(ApplianceError) as caught:
        pull(mqtt, folder)
    assert (caught.value.code.id, caught.value.where) == (code, f"127.0.0.1:{mqtt.port}")
    assert "hidden" not in str(caught.value)
    assert time.monotonic() - began < 6


def test_nobody_listens(tmp_path, broker):
    broker.stop()
    refused(declared(broker), tmp_path, "APL-CONN-007")


def test_two_with_one_session_do_not_fight_for_ever(tmp_path, broker):
    mqtt = declared(broker, client_id="same")
    found = []

    def one(name):
        try:
            pull(mqtt, tmp_path / name, seconds=15)
        except ApplianceError as error:
            found.append(error)

    running = [threading.Thread(target=one, args=(name,)) for name in ("first", "second")]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert {error.code.id for error in found} == {"APL-CONN-010"}
    assert "closed 5 connections" in str(found[0])
    assert "another client with client_id 'same'" in found[0].hint
