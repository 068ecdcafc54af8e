"""The commit protocol as a state machine: whatever is killed, delayed or rewritten, each table ends with every
record once and in its place, and a refused record is in quarantine or in silver, never in both and never in neither.

`Worker` and `Table` are the protocol of docs/explanation/commit_protocol.md with the disk taken away: a commit is
load, then compare-and-swap, and everybody may run between the two. Each rule is needed: without compare-and-swap,
with a compaction that drops the map, with a restart at the greatest position, or without the skip, this turns red.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.base.errors import ApplianceError
from appliance.ingestion.positions import Batch, Positions, StaleBatch, restart_point

TABLES = ("raw", "quarantine", "silver")  # in the order in which one batch is committed
SOURCES = ("kafka:readings:0", "kafka:readings:1", "spool:readings")


class Table:
    """An Iceberg table as the protocol sees it: rows and a map that change together, by compare-and-swap."""

    def __init__(self) -> None:
        self.version, self.rows, self.property = 0, (), None

    def load(self):
        return self.version, Positions.parse(self.property), self.rows

    def commit(self, version, rows, positions) -> bool:
        if version != self.version:
            return False  # somebody else committed first
        self.version, self.rows, self.property = self.version + 1, rows, positions.format()
        return True


class Worker:
    """Holds one source and one batch in memory; dies, or is paused long enough for another to take over."""

    def __init__(self, source, tables, end, refuses) -> None:
        self.tables, self.refuses = tables, refuses
        start = restart_point((table.load()[1] for table in tables.values()), source)
        self.batch = Batch(source=source, start=start, end=end) if end > start else None
        self.left, self.loaded = list(TABLES), None

    def step(self) -> None:
        """Load, or commit what was loaded: everybody else may run between the two."""
        name = self.left[0]
        table = self.tables[name]
        if self.loaded is None:
            self.loaded = table.load()
            return
        (version, positions, rows), self.loaded = self.loaded, None
        part = positions.untaken(self.batch)
        if part is not None:
            taken = [(part.source, offset) for offset in range(part.start, part.end)]
            rows += tuple(row for row in taken if self.takes(name, row))
            if not table.commit(version, rows, positions.advance(part)):
                return  # lost the race: load again
        self.left.pop(0)

    def takes(self, name, row) -> bool:
        if name == "raw":
            return True
        if name == "quarantine":
            return self.refuses(row)
        # What quarantine took stands, whatever this worker's rules say: they may have changed since.
        return row not in self.tables["quarantine"].rows


class Protocol(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.tables, self.written, self.workers = {name: Table() for name in TABLES}, dict.fromkeys(SOURCES, 0), []
        self.highest = {(name, source): 0 for name in TABLES for source in SOURCES}
        self.modulus = 3

    @rule(source=st.sampled_from(SOURCES), count=st.integers(1, 5))
    def produce(self, source, count):
        self.written[source] += count

    @rule(modulus=st.integers(1, 4))
    def declare_other_rules(self, modulus):  # a person edits measures.toml while a batch is half committed
        self.modulus = modulus

    @rule(source=st.sampled_from(SOURCES), behind=st.integers(0, 3))
    def start_worker(self, source, behind):  # two workers may hold one source: a rebalance nobody noticed
        if len(self.workers) < 4:
            self.workers.append(self.worker(source, max(0, self.written[source] - behind)))

    def worker(self, source, end):
        modulus = self.modulus
        return Worker(source, self.tables, end, lambda row: row[1] % modulus == 0)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def work(self, data):
        worker = data.draw(st.sampled_from(self.workers))
        if worker.batch is None or not worker.left:
            self.workers.remove(worker)
            return
        worker.step()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def kill(self, data):
        self.workers.remove(data.draw(st.sampled_from(self.workers)))

    @rule(name=st.sampled_from(TABLES))
    def compact(self, name):  # upkeep rewrites rows and carries the map forward
        version, positions, rows = self.tables[name].load()
        assert self.tables[name].commit(version, tuple(sorted(rows)), positions)

    @invariant()
    def each_record_once(self):
        for name, table in getattr(self, "tables", {}).items():
            assert len(set(table.rows)) == len(table.rows)
            _, positions, rows = table.load()
            for source in SOURCES:
                offsets = sorted(offset for of, offset in rows if of == source)
                assert all(offset < positions.of(source) for offset in offsets)
                if name == "raw":
                    assert offsets == list(range(positions.of(source)))

    @invariant()
    def what_both_have_taken_is_in_one_of_them(self):
        if not hasattr(self, "tables"):
            return
        (_, refused, bad), (_, taken, good) = self.tables["quarantine"].load(), self.tables["silver"].load()
        assert not set(bad) & set(good)
        for source in SOURCES:
            for offset in range(min(refused.of(source), taken.of(source))):
                assert ((source, offset) in bad) != ((source, offset) in good)

    @invariant()
    def nothing_taken_is_given_back(self):
        for (name, source), before in getattr(self, "highest", {}).items():
            now = self.tables[name].load()[1].of(source)
            assert now >= before
            self.highest[name, source] = now

    def teardown(self):  # nobody is killed any more: everything written arrives
        if not hasattr(self, "tables"):
            return
        for source in SOURCES:
            worker = self.worker(source, self.written[source])
            while worker.batch and worker.left:
                worker.step()
        everything = sorted((source, offset) for source in SOURCES for offset in range(self.written[source]))
        assert sorted(self.tables["raw"].rows) == everything
        assert sorted(self.tables["quarantine"].rows + self.tables["silver"].rows) == everything


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 1}', '{"a":0}', '{"a":-1}', '{"a":1.0}', '{"a":true}', '{"b":1,"a":1}', '{"a":1,"a":2}']
)
def test_refuses_any_but_the_canonical_form(text):
    with pytest.raises(ApplianceError, match=r"appliance\.positions") as caught:
        Positions.parse(text)
    assert caught.value.code.id == "APL-INGEST-001"


def test_worker_that_lost_its_source_cannot_commit():
    here = Positions().advance(Batch(source="s", start=0, end=8))
    with pytest.raises(StaleBatch, match="stands at 8, batch starts at 5") as caught:
        here.advance(Batch(source="s", start=5, end=9))
    assert caught.value.code.id == "APL-INGEST-002"


def test_a_gap_is_refused_and_a_covered_batch_is_skipped():
    here = Positions().advance(Batch(source="s", start=0, end=8))
    assert here.untaken(Batch(source="s", start=2, end=8)) is None
    assert here.untaken(Batch(source="s", start=2, end=9)) == Batch(source="s", start=8, end=9)
    with pytest.raises(StaleBatch, match="stands at 8, batch starts at 9"):
        here.untaken(Batch(source="s", start=9, end=10))
