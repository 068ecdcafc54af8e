"""What an auditor reads from the entries of a log, and what it holds of them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from appliance.base.canonical import canonical
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.trust import ceremony, trust_config
from appliance.trust.auditor.history import LogHistory, read_history
from tests.unit.trust.trusting import TrustingSite, make_site

RECORD = {"kind": "intent", "actor": "svc-ingest", "action": "table.append", "detail": "x" * 300}


@pytest.fixture
def site(tmp_path: Path) -> TrustingSite:
    return make_site(tmp_path)


def read(site: TrustingSite, progress: NoProgress | None = None) -> LogHistory:
    trusted = trust_config.parse(ceremony.load_trust_config(site.trust))
    log = ceremony.open_enclave(site.trust).log()
    policy = ceremony.load_policy(site.trust)
    return read_history(log.folder, log.checkpoint(), trusted, policy, progress or NoProgress())


def add_records(site: TrustingSite, count: int) -> None:
    log = ceremony.open_enclave(site.trust).log()
    log.append([canonical({**RECORD, "number": number}) for number in range(count)])


def add_stage(site: TrustingSite, to: str, package: str) -> None:
    entry = canonical({"kind": "model-stage", "name": "m", "package": package, "to": to})
    ceremony.open_enclave(site.trust).log().append([entry])


def test_signatures_are_counted_with_their_place(site: TrustingSite) -> None:
    add_records(site, 3)
    digest = site.sign_model()
    history = read(site)
    size = ceremony.open_enclave(site.trust).log().size()
    assert history.signed == {digest: size - 1}
    assert [index for index, _ in history.issuance.issued.values()] == [size - 2]
    assert history.issuance.faults() == []
    assert {kind: history.kinds[kind] for kind in ("intent", "certificate", "dsse")} == {
        "intent": 3,
        "certificate": 1,
        "dsse": 1,
    }


@pytest.mark.parametrize(
    ("moves", "live"),
    [
        ([("live", "a")], {"m": "a"}),
        ([("live", "a"), ("live", "b")], {"m": "b"}),
        ([("live", "a"), ("retired", "a")], {}),
        ([("live", "a"), ("live", "b"), ("retired", "a")], {"m": "b"}),
    ],
    ids=["one", "a newer one", "retired", "the older one retired"],
)
def test_what_is_live_is_the_newest_move(site: TrustingSite, moves: list[tuple[str, str]], live: object) -> None:
    for to, package in moves:
        add_stage(site, to, package)
    assert read(site).live == live


def test_memory_does_not_grow_with_the_records(site: TrustingSite) -> None:
    """Ten times the records; what is held is of the keys and the signature, which are the same."""
    site.sign_model()
    peaks = []
    for count in (500, 4_500):
        add_records(site, count)
        read(site)  # what is loaded once does not count
        tracemalloc.start()
        history = read(site)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert history.kinds["intent"] == (500 if len(peaks) == 1 else 5_000)
    assert peaks[1] < 1.5 * peaks[0]  # measured 1.0
    assert peaks[1] < 1_000_000  # bytes; measured 350 kB


def test_an_entry_that_was_changed_after_the_check_is_not_read(site: TrustingSite) -> None:
    add_records(site, 300)
    path = ceremony.open_enclave(site.trust).log().folder / "tile/entries/000"
    path.write_bytes(path.read_bytes().replace(b"svc-ingest", b"svc-ingesT", 1))
    with pytest.raises(ApplianceError) as caught:
        read(site)
    assert (caught.value.code.id, caught.value.where) == ("APL-TRUST-002", str(path))


def test_reading_tells_where_it_is(site: TrustingSite) -> None:
    class Steps(NoProgress):
        begun: tuple[str, int | None] = ("", None)
        done = 0

        def begin(self, what: str, total: int | None) -> None:
            self.begun = (what, total)

        def advance(self, amount: int) -> None:
            self.done += amount

    add_records(site, 1_500)
    size, progress = ceremony.open_enclave(site.trust).log().size(), Steps()
    read(site, progress)
    assert (progress.begun, progress.done) == (("entries", size), size)
