"""Several sources and a reparse at once: each reading is accepted once, each item taken once."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion import declarations, ledger
from appliance.ingestion.commit import Committer
from appliance.ingestion.decode import Limits
from appliance.ingestion.letter_sealing import LetterSeal
from appliance.ingestion.positions import Batch
from appliance.ingestion.raw_object import keep_segments
from appliance.orchestration.rederive import compare_with_raw
from appliance.storage.files import SiteFiles
from tests.small_site import SmallSite, readings, record
from tests.unit.ingestion.test_segment import framed, segment


class Partition:
    """A partition of a topic, taken by a worker of its own."""

    def __init__(self, site, number=0, **changes):
        self.source = f"kafka:readings:{number}"
        self.landing = replace(site.landing, **changes)
        self.landing.ensure_tables()
        self.committer = Committer(self.landing, declarations.load(site.declarations))
        self.end = 0

    def batch(self, *values, first=None, end=None):
        """What comes next, its bytes kept."""
        start = self.end
        found = segment(values, first=start if first is None else first)
        seal = LetterSeal(self.landing.data_keys)
        (chunk,) = keep_segments(self.landing.objects, seal, [(self.source, found)])
        self.end = int(chunk.positions[-1]) + 1 if end is None else end
        return Batch(source=self.source, start=start, end=self.end), [chunk]

    def take(self, *values, **options):
        return self.committer.commit([self.batch(*values, **options)])


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path)


def test_partitions_and_the_spool_stand_side_by_side(site):
    site.put("a.avro", record("tx-1", 1, readings(3)))
    site.sink.run()
    first, second = Partition(site, 0), Partition(site, 1)
    for number in range(4):
        first.take(*framed(record("tx-2", number, readings(2, first=2 * number))))
        second.take(*framed(record("tx-3", number, readings(2, first=2 * number))), b"noise")
    assert len(site.rows("silver.readings")) == 3 + 8 + 8
    assert site.codes() == {"DECODE": 4}
    site.check_nothing_lost_or_doubled()


def test_partitions_are_committed_together(site):
    first, second = Partition(site, 0), Partition(site, 1)
    report = first.committer.commit(
        [
            first.batch(*framed(record("tx-1", 1, readings(3)))),
            second.batch(*framed(record("tx-2", 1, readings(3)), record("tx-1", 9, readings(4)))),  # three again
        ]
    )
    assert (report.commits, report.files, report.accepted, report.refused) == (3, 3, 7, {"DUPLICATE": 3})
    assert [site.landing.restart_point(each.source) for each in (first, second)] == [1, 2]
    assert len(site.lake.commits("silver.readings")) == 1
    site.check_nothing_lost_or_doubled()


def test_what_one_table_has_taken_is_left_out_there_alone(site, monkeypatch):
    """Killed between quarantine and silver, with one partition; the next commit holds another one too."""
    first, second = Partition(site, 0), Partition(site, 1)
    real = site.lake.append

    def dies(name, *arguments, **options):
        if name == "silver.readings":
            raise KeyboardInterrupt
        return real(name, *arguments, **options)

    values = framed(record("tx-1", 1, [*readings(3), *readings(2, first=3, value=999.0)]))
    monkeypatch.setattr(site.lake, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        first.take(*values)
    monkeypatch.undo()
    again = Partition(site, 0)
    report = again.committer.commit([again.batch(*values), second.batch(*framed(record("tx-2", 1, readings(2))))])
    assert report.commits == 3
    assert len(site.rows("silver.readings")) == 5
    assert site.codes() == {"RANGE": 2}
    site.check_nothing_lost_or_doubled()


def test_offsets_without_records_belong_to_the_batch(site):
    partition = Partition(site)
    partition.take(*framed(record("tx-1", 1, readings(2))), first=5, end=9)
    partition.take(*framed(record("tx-1", 2, readings(2, first=2))), first=12)
    assert site.landing.restart_point(partition.source) == 13
    assert [row["position"] for row in site.rows("raw.records", ("position",))] == [12, 5]


def test_a_reading_that_came_in_while_the_batch_was_judged_goes_to_quarantine(site):
    """Two partitions bring the same reading at once: the second to commit finds it."""
    second = Partition(site, 1)

    class Meanwhile:
        """Alerts are written between the verdicts and the first commit."""

        def record(self, alerts):
            second.take(*framed(record("tx-1", 2, readings(3))))
            return site.alerts.record(alerts)

    first = Partition(site, 0, alerts=Meanwhile())
    report = first.take(*framed(record("tx-1", 1, readings(4))))
    assert report.accepted == 1
    assert site.codes() == {"DUPLICATE": 3}
    assert len(site.rows("silver.readings")) == 4
    site.check_nothing_lost_or_doubled()


def test_a_worker_that_lost_its_partition_cannot_commit(site):
    lost, new = Partition(site), Partition(site)
    values = framed(record("tx-1", 1, readings(2)), record("tx-1", 2, readings(2, first=2)))
    new.take(*values)
    new.take(*framed(record("tx-1", 3, readings(2, first=4))))
    before = site.content()
    lost.take(*values)  # covered by what the new one took: nothing is committed
    assert site.content() == before
    lost.end = 5
    with pytest.raises(ApplianceError, match="APL-INGEST-002"):
        lost.take(*framed(record("tx-1", 9, readings(2, first=9))))
    assert site.content() == before


def test_every_row_of_every_source_stands_in_its_raw_object(site):
    """Partitions have the same offsets; a row is looked for in its own source's object."""
    partitions = [Partition(site, number) for number in range(3)]
    for number, each in enumerate(partitions):
        each.take(
            *framed(
                record(f"tx-{number}", 1, readings(2)),
                record(f"tx-{number}", 2, readings(2, first=2, value=number + 1.0)),
            )
        )
    raw = {(row["source"], row["position"]): site.objects.site_name(row["digest"]) for row in site.rows("raw.records")}
    files = [each.path for each in site.lake.files("silver.readings")]
    assert len(files) == 3
    merged = "merged.parquet"
    there = SiteFiles(site.folder)
    tables = [pq.read_table(file, filesystem=there.arrow) for file in files]
    pq.write_table(pa.concat_tables(tables), site.folder / merged)
    for file in (*files, merged):
        assert compare_with_raw(there, file, raw, Limits()) == ""
    wrong = {key: raw["kafka:readings:0", key[1]] for key in raw}
    assert "kafka:readings:1 position 0: device_id differs" in compare_with_raw(there, merged, wrong, Limits())


@pytest.mark.parametrize("table", ["raw.records", "quarantine.readings", "silver.readings"])
def test_the_ledger_balances_while_a_worker_commits(site, monkeypatch, table):
    """A batch is committed between the reading of two tables."""
    partition, real = Partition(site), site.lake.scan
    partition.take(*framed(record("tx-1", 1, readings(3))), b"noise")

    def meanwhile(name, **options):
        found = real(name, **options)
        if name == table:
            monkeypatch.undo()
            partition.take(*framed(record("tx-1", 2, readings(3, first=3, value=999.0))))
            partition.take(*framed(record("tx-1", 3, readings(3, first=6))))
        return found

    monkeypatch.setattr(site.lake, "scan", meanwhile)
    before = ledger.balance(site.lake)
    assert (before.imbalance, before.came_in, before.accepted, before.quarantined) == (0, 4, 3, 1)
    assert ledger.balance(site.lake).came_in == 10
