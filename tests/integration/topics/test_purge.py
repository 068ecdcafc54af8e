"""Letters of a real topic: sealed in the store, purged by the product's commands, and gone from the topic of copies.

Broker, object store, catalog and key server are real, and each is away once.
"""

import time
from dataclasses import replace

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.letters import Letters
from appliance.trust.data_keys import DataKeys
from appliance.trust.data_keys_wrap import open_wrapping
from appliance.trust.keystores.address import open_store
from tests.integration.key_stores import address_of, start_server
from tests.integration.servers.running import Servers
from tests.integration.topics.conftest import make_topic
from tests.integration.topics.test_worker import fleet, read_all, until
from tests.unit.ingestion.sensitive.scan import contents, forms

pytestmark = pytest.mark.integration

MARK = "4111111111111111"
NOISE = f"Jane Roe {MARK}".encode()
LAG_MS = 1_000  # after which the broker compacts, here; a day in a site
REASON = ("--reason", "request 17")


@pytest.fixture(scope="module")
def servers():
    made = Servers()
    try:
        made.up("kafka", "minio", "postgresql")
        yield made
    finally:
        made.remove()


@pytest.fixture
def copies(admin):
    """A topic of dead letters whose broker takes away what was replaced within seconds."""
    quickly = {"max.compaction.lag.ms": str(LAG_MS), "segment.ms": str(LAG_MS), "min.cleanable.dirty.ratio": "0.01"}
    return make_topic(admin, partitions=1, **{"cleanup.policy": "compact", **quickly})


def send(site, *values):
    with site.raw_producer() as producer:
        for value in values:
            producer.send(site.topic, key=b"tx-1", value=value, partition=0)


def holds(site, text):
    """Whether an object of the store holds a text, packed or not."""
    digests = set(site.lake.scan("raw.records", columns=("digest",))["digest"].to_pylist())
    found = (each for digest in digests for each in contents(site.objects.read(digest)))
    wanted = forms(text)
    return any(form in each for each in found for form in wanted)


def test_two_people_purge_a_letter_of_a_topic(appliance, servers, copies):
    product, site = appliance
    product.set(kafka__dead_letters=copies)
    site.send(*fleet(devices=3, each=2))
    send(site, NOISE, NOISE[::-1])
    site.send(*fleet(devices=3, each=2, first=4))
    product.do("ingest", "topic", "--until-end", role="data-engineer")
    assert not holds(site, MARK)
    places = [each["position"] for each in product.do("quarantine", "letters")["letters"]]
    source, position = f"kafka:{site.topic}:0", min(places)
    assert [each.value for each in read_all(site.connection, copies)] == [NOISE, NOISE[::-1]]
    head = product.do("table", "history", "silver.readings")["commits"][-1]["lineage_id"]

    words = ("quarantine", "purge", source, position, *REASON)
    assert product.run(*words, role="data-engineer").error["code"] == "APL-INGEST-014"
    product.do(*words, "--approve", role="approver")
    servers.down("kafka")
    away = product.run(*words, role="data-engineer")
    assert (away.code, away.error["code"]) == (1, "APL-TOPIC-002")
    servers.up("kafka")
    assert product.do(*words, role="data-engineer") == {"keys": 0, "before": 1}  # the key had gone
    last = read_all(site.connection, copies)[-1]
    assert (last.key.decode(), last.value) == (f"{source}:{position}", None)
    assert "digest" not in dict(last.headers)

    product.do("verify", head, role="auditor")
    assert product.do("ingest", "ledger")["imbalance"] == 0
    send(site, b"another letter, with which the broker begins a new file")
    product.do("ingest", "topic", "--until-end", role="data-engineer")
    until(lambda: NOISE not in [each.value for each in read_all(site.connection, copies)], 120.0)
    site.check_nothing_lost_or_doubled()


def test_a_copy_that_is_under_way_while_its_letter_is_purged_goes_too(appliance, copies, monkeypatch):
    """The worker has opened the letter; it is purged before the broker has it."""
    _, site = appliance
    from appliance.ingestion.topics.dead_letters import DeadLetterTopic

    letters = Letters(landing=site.landing, spool=site.sink.spool, clock=site.clock)
    dead = DeadLetterTopic(connection=site.connection, topic=copies, letters=letters, folder=site.folder / "topics")
    send(site, NOISE)
    real = letters.with_bytes

    def then_purged(given):
        yield from real(given)
        site.data_keys.erase([site.data_keys.id_of("letter", f"kafka:{site.topic}:0:0")])

    monkeypatch.setattr(letters, "with_bytes", then_purged)
    site.worker(dead_letters=dead).run(until_end=True)
    assert [each.value for each in read_all(site.connection, copies)] == [NOISE, None]


@pytest.fixture
def bao(tmp_path):
    server = start_server(tmp_path / "bao")
    yield server
    server.stop()


def test_a_key_server_that_is_sealed_or_gone_stops_a_letter_and_costs_nothing(appliance, bao):
    _, site = appliance
    keys = DataKeys(site.folder / "bao-keys", lambda: open_wrapping(open_store(address_of(bao))), site.clock)
    site.landing = replace(site.landing, data_keys=keys)
    site.send(*fleet(devices=2, each=1))
    site.take()
    before = site.content()
    bao.stop()
    site.send(*fleet(devices=2, each=1, first=4))
    assert site.take().taken.accepted > 0, "without a letter nobody asks for a key"
    send(site, NOISE)
    site.send(*fleet(devices=2, each=1, first=8))
    taken = site.content()
    with pytest.raises(ApplianceError, match="APL-KEYS-002"):
        site.take()
    bao.start()
    with pytest.raises(ApplianceError, match="APL-KEYS-003"):
        site.take()
    assert site.content() == taken != before, "nothing was committed"
    bao.unseal()
    assert site.take().taken.refused == {"DECODE": 1}
    letters = Letters(landing=site.landing, spool=site.sink.spool, clock=site.clock)
    (letter,) = letters.find()
    assert letters.bytes_of(letter) == NOISE
    site.check_nothing_lost_or_doubled()


def test_many_letters_are_sealed_by_the_key_server_in_a_few_requests(appliance, bao, record_property):
    _, site = appliance
    keys = DataKeys(site.folder / "bao-keys", lambda: open_wrapping(open_store(address_of(bao))), site.clock)
    site.landing = replace(site.landing, data_keys=keys)
    send(site, *(b"noise %d" % number for number in range(5_000)))
    began = time.monotonic()
    assert site.take().taken.refused == {"DECODE": 5_000}
    record_property("seconds", round(time.monotonic() - began, 1))
    site.check_nothing_lost_or_doubled()
