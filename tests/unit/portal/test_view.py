"""The portal needs no key, writes nothing, and names what it cannot read."""

import datetime as dt
import shutil

import pytest

from appliance.base.clock import SystemClock
from appliance.orchestration.journal import Journal, Run, Step
from appliance.portal.connections import connections_outside, is_outside
from appliance.portal.view import PortalData
from tests.unit.portal.conftest import client_of
from tests.unit.portal.markup import Markup

PAGES = ("/", "/data", "/models", "/models/thermal/1", "/predictions", "/trust", f"/predictions/pr-{7:032x}")


def content(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_page_without_a_key_and_without_a_change(own_site):
    shutil.rmtree(own_site.keys)
    shutil.rmtree(own_site.trust / "enclave")
    (own_site.registry / "registry.db").unlink()
    before = content(own_site.folder)
    client = client_of(own_site)
    for address in (*PAGES, "/trust?id=thermal/1"):
        assert client.get(address).status_code == 200, address
    assert content(own_site.folder) == before


def test_a_lake_that_cannot_be_read_is_named_and_the_rest_is_shown(own_site):
    (own_site.lake / "catalog.db").write_bytes(b"not a database" * 100)
    client = client_of(own_site)
    home = Markup(client.get("/").text).said("main")
    assert "the lake cannot be read: APL-STORAGE-" in home
    assert "catalog.db" in home
    assert "Live model thermal/1" in home
    assert "1 model waits for approval" in home
    data = Markup(client.get("/data").text).said("main")
    assert "the lake cannot be read" in data
    assert "30 alerts" in data
    assert client.get("/models/thermal/1").status_code == 200


def test_the_newest_run_of_a_recipe_counts_and_a_failed_one_needs_somebody(own_site):
    def save(day, status):
        at = dt.datetime(2026, 2, day, tzinfo=dt.UTC)
        step = Step(name="train", status=status, reason="outside its limit")
        run_id = f"2026020{day}T000000000000-risk"
        Journal(own_site.pipeline).save(Run(run_id=run_id, recipe="risk", created_at=at, steps=(step,)))

    def home():
        return Markup(client_of(own_site).get("/").text).said("main")

    save(1, "failed")
    assert "1 failed pipeline run" in home()
    assert "appliance pipeline show 20260201T000000000000-risk" in home()
    save(2, "done")
    assert "failed pipeline run" not in home()


def test_a_damaged_log_is_named(own_site):
    checkpoint = own_site.trust / "log" / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes().replace(b"north", b"south", 1))
    client = client_of(own_site)
    answer = client.get("/")
    assert answer.status_code == 200
    said = Markup(answer.text).said()
    assert "APL-TRUST-003" in said
    assert "Readings in the lake 40" in said
    assert client.get("/models").status_code == 500
    assert "APL-TRUST-003" in client.get("/models").text


def test_what_was_counted_is_counted_again_after_a_commit(own_site):
    data = PortalData(own_site, SystemClock())
    before = data.books()
    assert data.books() is before
    head = data.lake.head("quarantine.readings")
    rows = data.lake.scan("quarantine.readings", limit=1)
    writable = PortalData(own_site, SystemClock())
    writable.lake._lineage = type("Writer", (), {"write": lambda self, **parts: "sha256:" + "0" * 64})()
    writable.lake.append("quarantine.readings", rows, expected=head, properties={}, inputs=[], facts={})
    assert data.books() is not before
    assert data.books().imbalance == 1
    assert "1 reading unaccounted for" in Markup(client_of(own_site).get("/").text).said("main")


@pytest.mark.parametrize(
    ("peer", "outside"),
    [
        ("0100007F:1F90", False),
        ("00000000:0000", False),
        ("08080808:01BB", True),
        ("00000000000000000000000001000000:1F90", False),
        ("0000000000000000FFFF00000100007F:1F90", False),
        ("0000000000000000FFFF000008080808:01BB", True),
        ("B80D0120000000000000000001000000:01BB", True),
    ],
)
def test_peers_of_the_kernel_tables(peer, outside):
    assert is_outside(peer) is outside


def test_no_connection_leaves_this_process(tmp_path):
    assert connections_outside() == 0
    assert connections_outside(tmp_path) is None
