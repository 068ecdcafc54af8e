"""A load of records for tests that kill: it counts what was acknowledged, and at the end each must be there once.

`servers` are those of such a test: the broker, and what the tables are on.
"""

import threading

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.topics.producer import ReadingProducer
from tests.integration.kill_counts import LONG
from tests.integration.servers.running import Servers
from tests.integration.topics.on_servers import records_of
from tests.integration.topics.test_worker import fleet
from tests.small_site import batches

SERVERS = ("kafka", "minio", "postgresql")
PAUSE_S = 0.5 if LONG else 0.05  # between two of the load's batches


@pytest.fixture(scope="module")
def servers():
    made = Servers()
    try:
        made.up(*SERVERS)
        yield made
    finally:
        made.remove()


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


def check_each_once(product, site, load, record_property, told):
    """Every record that was acknowledged is in the lake, none is twice, and the ledger closes."""
    taken = records_of(site)
    assert len(taken) == len({(row["source"], row["position"]) for row in taken}), told
    assert len(taken) >= load.acknowledged > 300, told
    record_property("records acknowledged", load.acknowledged)
    record_property("records taken", len(taken))
    site.check_nothing_lost_or_doubled()
    assert product.do("ingest", "ledger")["imbalance"] == 0
