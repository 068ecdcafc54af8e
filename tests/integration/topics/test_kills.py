"""`appliance ingest topic` and its servers killed at random moments under load: what was acknowledged is there, once.

The servers are broker, object store and the catalog's database; the tables are on the latter two.
"""

import random
import signal
import threading
import time

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.topics.producer import ReadingProducer
from tests.integration.kill_counts import KILLS, LONG
from tests.integration.servers.running import Servers
from tests.integration.storage.killing import gone, kill, running_pid
from tests.integration.topics.on_servers import count_of, records_of, sink
from tests.integration.topics.test_worker import fleet, until
from tests.small_site import batches

pytestmark = pytest.mark.integration

SERVERS = ("kafka", "minio", "postgresql")
PAUSE_S = 0.5 if LONG else 0.05  # between two of the load's batches


class Load:
    """Sends records all the while, and counts those that were acknowledged."""

    def __init__(self, site):
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(120)

    def _run(self):
        number = 0
        while not self._stop.is_set():
            try:
                with ReadingProducer(self._site.connection, self._site.topic, self._site.schemas) as producer:
                    while not self._stop.is_set():
                        sent = producer.send(batches(fleet(devices=8, each=1, first=number, count=4)))
                        self.acknowledged += len(sent)
                        number += 1
                        self._stop.wait(PAUSE_S)
            except ApplianceError:
                number += 1  # of these some may have been taken: they are not sent again
                self._stop.wait(0.5)


@pytest.fixture(scope="module")
def servers():
    made = Servers()
    try:
        made.up(*SERVERS)
        yield made
    finally:
        made.remove()


def test_kills_of_sink_and_servers_lose_and_double_nothing(appliance, servers, seed, record_property):
    product, site = appliance
    rng = random.Random(seed)
    with Load(site) as load:
        until(lambda: load.acknowledged > 50)
        for _ in range(KILLS["sink"]):
            running = sink(product)
            time.sleep(rng.uniform(1.5, 6.0))
            running.kill()
            running.communicate()
        running, taken_before = sink(product), count_of(site)
        # One that never reached its broker would end at once.
        until(lambda: count_of(site) > taken_before, seconds=120)
        victims = [name for name in SERVERS for _ in range(KILLS[name])]
        for name in rng.sample(victims, len(victims)):
            time.sleep(rng.uniform(1.0, 5.0))
            pid = running_pid(servers, name)
            kill(pid)
            gone(pid, servers, name)
        before = load.acknowledged
        until(lambda: load.acknowledged > before + 50)
    end = time.monotonic() + 240
    while running.poll() is None and count_of(site) < load.acknowledged and time.monotonic() < end:
        time.sleep(0.5)
    running.send_signal(signal.SIGTERM)
    out, said = running.communicate(timeout=60)
    told = f"seed {seed}: {out.decode()[-2000:]} {said.decode()[-8000:]}"
    assert running.returncode == 0, told
    assert time.monotonic() < end, told
    product.do("ingest", "topic", "--until-end", role="data-engineer")
    taken = records_of(site)
    assert len(taken) == len({(row["source"], row["position"]) for row in taken})
    assert len(taken) >= load.acknowledged > 300, f"seed {seed}"
    record_property("records acknowledged", load.acknowledged)
    record_property("records taken", len(taken))
    site.check_nothing_lost_or_doubled()
    assert product.do("ingest", "ledger")["imbalance"] == 0


def test_the_command_tells_what_it_took_and_ends_when_asked(appliance):
    product, site = appliance
    site.send(*fleet())
    printed = product.do("ingest", "topic", "--until-end", role="data-engineer")
    assert (printed["taken"]["files"], printed["taken"]["accepted"], printed["waiting"]) == (24, 192, {})
    assert set(printed["lag"].values()) == {0}
    status = product.do("ingest", "status")["topics"]
    assert [(each["lag"], each["waits_for"]) for each in status] == [(0, 0)] * 3
    assert sum(each["taken"] for each in status) == 24
    metrics = product.do("site", "metrics")["metrics"]
    assert f'appliance_ingestion_lag_records{{source="{status[0]["source"]}"}} 0.0' in metrics
    running = sink(product)
    time.sleep(6)
    site.send(*fleet(first=4))
    until(lambda: len(records_of(site)) == 48)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert product.run("ingest", "topic", "--until-end", role="auditor").code != 0
