"""Whatever order appends, replacements, new columns, upkeep and expiry come in: rows, positions and lineage stay."""

import datetime as dt
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.base.clock import FixedClock
from appliance.base.digest import digest_file
from appliance.governance.lineage import Lineage
from appliance.observability.alerts import Alerts
from appliance.storage.files import SiteFiles
from appliance.storage.tables import LINEAGE, Lake
from appliance.storage.upkeep import expire
from appliance.storage.upkeep.documents import removal_of, rewrites_of
from appliance.storage.upkeep.plan import LEAST_ORPHAN_AGE, Limits
from appliance.storage.upkeep.run import TableUpkeep
from tests.small_site import ListLog

NAME = "quarantine.things"
COLUMNS = [pa.field("n", pa.int64(), nullable=False), pa.field("code", pa.string())]
CODES = ("RANGE", "UNIT", None)
START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


class Table(RuleBasedStateMachine):
    """A table, and beside it what its rows must be at each snapshot that is kept."""

    def __init__(self):
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.log = ListLog()
        self.lineage = Lineage(self.folder / "lineage", self.log)
        self.lake = Lake(self.folder / "lake", SiteFiles(self.folder), self.lineage)
        self.clock = FixedClock(START)
        self.upkeep = TableUpkeep(
            lake=self.lake,
            lineage=self.lineage,
            state_folder=self.folder / "upkeep",
            alerts=Alerts(self.folder / "alerts"),
            clock=self.clock,
        )
        self.columns = list(COLUMNS)
        self.lake.ensure(NAME, pa.schema(self.columns))
        self.rows = Counter()
        self.position = 0
        self.at = {}  # snapshot -> rows
        self.commits = 0  # by writers

    def teardown(self):
        self.temporary.cleanup()

    def remember(self):
        self.at[self.lake.head(NAME).snapshot_id] = Counter(self.rows)

    def table_of(self, codes):
        numbers = range(self.position, self.position + len(codes))
        more = {field.name: pa.nulls(len(codes), field.type) for field in self.columns[2:]}
        return pa.table({"n": list(numbers), "code": list(codes), **more}, schema=pa.schema(self.columns))

    @initialize(count=st.integers(4, 12))
    def begin(self, count):
        for number in range(count):
            self.commit([CODES[number % 3], CODES[number % 2]])

    @rule(batches=st.lists(st.lists(st.sampled_from(CODES), max_size=3), min_size=1, max_size=6))
    def append(self, batches):
        for codes in batches:
            self.commit(codes)

    def commit(self, codes):
        rows = self.table_of(codes)
        self.rows.update((row["n"], row["code"]) for row in rows.to_pylist())
        self.position += len(codes)
        said = {"appliance.positions": json.dumps({"a": self.position})}
        self.lake.append(NAME, rows, expected=self.lake.head(NAME), properties=said, inputs=[], facts={})
        self.commits += 1
        self.remember()

    @precondition(lambda self: self.commits)
    @rule(code=st.sampled_from(["RANGE", "UNIT"]))
    def reparse(self, code):
        self.lake.replace(
            NAME, self.table_of([]), expected=self.lake.head(NAME), properties={"appliance.reparse": code}, inputs=[],
            facts={}, remove=f"code = '{code}'",
        )  # fmt: skip
        for row in [row for row in self.rows if row[1] == code]:
            del self.rows[row]
        self.commits += 1
        self.remember()

    @precondition(lambda self: len(self.columns) < 4)
    @rule()
    def add_a_column(self):
        self.columns.append(pa.field(f"more_{len(self.columns)}", pa.float64()))
        self.lake.ensure(NAME, pa.schema(self.columns))

    @rule(hours=st.sampled_from([1, 24, 24 * 100]))
    def time_goes_by(self, hours):
        self.clock.at += dt.timedelta(hours=hours)

    @rule()
    def a_writer_is_ended(self):
        folder = self.folder / "lake/quarantine/things/data"
        folder.mkdir(exist_ok=True)
        head = self.lake.head(NAME).snapshot_id or 0
        path = folder / f"{head:020d}-{self.position:016x}.parquet"
        path.write_bytes(str(self.position).encode())
        os.utime(path, (self.clock.at.timestamp(),) * 2)

    @rule()
    def keep_up_long_after(self):
        """Whatever can go goes: two runs, because the second removes what the first replaced."""
        for _ in range(2):
            self.clock.at += dt.timedelta(days=100)
            self.keep_up_with(1, 90, 1 << 20, None)

    @rule(
        keep=st.integers(1, 6),
        days=st.sampled_from([0, 90]),
        size=st.sampled_from([1, 1 << 20]),
        sort=st.sampled_from([None, (), ("code",)]),
    )
    def keep_up(self, keep, days, size, sort):
        self.keep_up_with(keep, days, size, sort)

    def keep_up_with(self, keep, days, size, sort):
        limits = Limits(
            target_bytes=size,
            keep=keep,
            retain=dt.timedelta(days=days),
            orphans_after=LEAST_ORPHAN_AGE,
            max_small_files=200,
        )
        head = self.lake.head(NAME)
        planned = self.upkeep.plan(NAME, limits)
        done = self.upkeep.run(NAME, limits, sort=sort)
        assert done.plan == planned
        assert bool(done.compaction) == bool(planned.rewrites)
        assert bool(done.removal) == bool(planned.replaced or planned.orphan_data)
        if self.lake.head(NAME).snapshot_id != head.snapshot_id:
            self.remember()
        for snapshot in self.lake.table(NAME).snapshots():
            self.at.setdefault(snapshot.snapshot_id, Counter(self.rows))  # a rewrite and a merge are two commits

    @rule(keep=st.integers(1, 6))
    def a_writer_expires(self, keep):
        expire(self.lake, NAME, keep=keep)

    @invariant()
    def every_kept_snapshot_has_its_rows(self):
        for snapshot in self.lake.table(NAME).snapshots():
            found = self.lake.scan(NAME, columns=("n", "code"), snapshot_id=snapshot.snapshot_id).to_pylist()
            assert Counter((row["n"], row["code"]) for row in found) == self.at[snapshot.snapshot_id]

    @invariant()
    def the_position_map_is_carried(self):
        said = self.lake.head(NAME).properties.get("appliance.positions", '{"a": 0}')
        assert json.loads(said) == {"a": self.position}

    @invariant()
    def the_chain_names_every_commit_and_every_file_is_there_or_told_of(self):
        top = self.lake.head(NAME).properties.get(LINEAGE)
        if top is None:
            return
        chain = list(self.lineage.walk(top))
        assert sum("upkeep" not in each.facts for each in chain) == self.commits
        logged = {json.loads(entry)["id"] for entry in self.log}
        assert {each.id for each in chain} <= logged
        removals = [self.lineage.load(id) for id in logged]
        removed = {each.file: each.replaced_by for document in removals if document.kind == "removal"
                   for each in removal_of(document).removed}  # fmt: skip
        replaced = {file: each.id for each in chain for rewrite in rewrites_of(each) for file in rewrite.replaced}
        for file in (file for each in chain for file in each.files):
            path = self.folder / file.path
            if path.exists():
                assert digest_file(path) == file.digest
            else:
                assert removed[file] == replaced[file]


TestTable = Table.TestCase
TestTable.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
