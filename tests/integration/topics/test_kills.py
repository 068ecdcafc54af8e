"""`appliance ingest topic` killed at random moments under load: what was acknowledged is there, once."""

import random
import signal
import time

import pytest

from tests.integration.kill_counts import KILLS
from tests.integration.topics.load import Load, check_each_once, servers
from tests.integration.topics.on_servers import records_of, sink
from tests.integration.topics.test_worker import fleet, until

__all__ = ["servers"]
pytestmark = pytest.mark.integration


def test_kills_of_the_sink_lose_and_double_nothing(appliance, seed, record_property):
    product, site = appliance
    rng = random.Random(seed)
    with Load(site) as load:
        until(lambda: load.acknowledged > 50)
        for _ in range(KILLS["sink"]):
            running = sink(product)
            time.sleep(rng.uniform(1.5, 6.0))
            running.kill()
            running.communicate()
    product.do("ingest", "topic", "--until-end", role="data-engineer")
    check_each_once(product, site, load, record_property, f"seed {seed}")


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
