"""Readings of a real topic are judged by the contract, whoever takes them."""

import threading

import pytest

from appliance.base.errors import ApplianceError
from tests.integration.topics.conftest import TopicSite
from tests.integration.topics.test_worker import fleet, until
from tests.small_site import readings, record
from tests.unit.ingestion.gates.test_sink import KNOWN, OIL, declare, details, refer, told

pytestmark = pytest.mark.integration


def test_what_breaks_a_check_is_refused_and_comes_in_after_a_fix(site):
    refer(site, "tx-1", "tx-2")
    declare(site, KNOWN, OIL)
    site.send(*(record(f"tx-{device}", 1, readings(7)) for device in (1, 2, 3)))
    report = site.take()
    assert (report.taken.accepted, report.taken.refused) == (6, {"CONTRACT": 15})
    assert details(site) == {"check known": 7, "check oil": 8}
    assert told(site) == [("known", "failed", 21, 7), ("oil", "failed", 21, 12)]
    assert {each.subject for each in site.alerts.all() if each.code == "CONTRACT"} == {
        "check known of silver.readings",
        "check oil of silver.readings",
    }
    refer(site, "tx-3")
    assert site.quarantine.reparse().accepted == 3
    declare(site, KNOWN)
    assert site.quarantine.reparse().accepted == 12
    site.check_nothing_lost_or_doubled()


def test_a_check_that_cannot_be_judged_leaves_the_records_in_the_topic(site):
    declare(site, KNOWN)
    site.send(*fleet(devices=2, each=2))
    with pytest.raises(ApplianceError, match="check known of silver") as caught:
        site.take()
    assert caught.value.code.id == "APL-INGEST-015"
    assert site.content() == {"raw.records": [], "quarantine.readings": [], "silver.readings": []}
    refer(site, "tx-0", "tx-1")
    assert site.take().taken.accepted == 32
    site.check_nothing_lost_or_doubled()


def test_workers_side_by_side_tell_each_reading_once(site):
    refer(site, *(f"tx-{number}" for number in range(5)))
    declare(site, KNOWN)
    stop = threading.Event()

    def work():
        other = TopicSite(site.folder, site.connection, site.topic)
        other.worker(commit_after_s=0.3).run(until_end=False, stop=stop.is_set)

    workers = [threading.Thread(target=work) for _ in range(3)]
    sent = 0
    for number, worker in enumerate(workers):
        worker.start()
        sent += len(site.send(*fleet(devices=9, each=4, first=10 * number)))
    until(lambda: len(site.rows("raw.records", ("position",))) >= sent)
    stop.set()
    for worker in workers:
        worker.join(60)
    site.take()
    site.check_nothing_lost_or_doubled()
    rows, broken = (sum(each[place] for each in told(site)) for place in (2, 3))
    assert (rows, broken) == (sent * 8, len(site.rows("quarantine.readings", ("position",))))
    assert details(site) == {"check known": broken}
