"""Upkeep of a table takes files away and changes no row, over any catalog and place of files."""

import datetime as dt
import os

import pyarrow as pa
import pytest

from appliance.base.clock import FixedClock
from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Lineage
from appliance.observability.alerts import Alerts
from appliance.storage.tables import LINEAGE, CommitLost
from appliance.storage.upkeep import documents, expire
from appliance.storage.upkeep.plan import Limits
from appliance.storage.upkeep.run import TableUpkeep
from tests.contracts.files import Hands, below
from tests.contracts.lake import EMPTY, NAME, SCHEMA, names, rows
from tests.small_site import ListLog

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
AT_ONCE = dt.timedelta(0)


def limits(**changes):
    usual = {"target_bytes": 1 << 20, "keep": 20, "retain": 90 * DAY, "orphans_after": DAY, "max_small_files": 200}
    return Limits(**{**usual, **changes})


def data_files(folder):
    return sorted(path.name for path in (folder / "lake/silver/things/data").iterdir())


class UpkeepContract:
    """What `TableUpkeep` promises, wherever catalog and files are. A subclass has `open_lake`, as `LakeContract`."""

    @pytest.fixture
    def lake(self, open_lake):
        made = open_lake()
        made.ensure(NAME, SCHEMA)
        return made

    @pytest.fixture
    def lineage(self, tmp_path):
        return Lineage(tmp_path / "lineage", ListLog())

    @pytest.fixture
    def clock(self):
        return FixedClock(NOW)

    @pytest.fixture
    def upkeep(self, lake, lineage, tmp_path, clock):
        return TableUpkeep(
            lake=lake,
            lineage=lineage,
            state_folder=tmp_path / "upkeep",
            alerts=Alerts(tmp_path / "alerts"),
            clock=clock,
        )

    @pytest.fixture
    def hands(self, lake):
        return Hands(lake.site_files)

    @pytest.fixture
    def grown(self, lake):
        """Six commits of one row; gives them."""
        return [
            lake.append(
                NAME,
                rows(f"a{number}", value=float(number)),
                expected=lake.head(NAME),
                properties={"appliance.positions": f'{{"a":{number + 1}}}'},
                inputs=[],
                facts={},
            )
            for number in range(6)
        ]

    def test_small_files_become_one_and_rows_and_properties_stay(self, lake, upkeep, lineage, grown):
        before = sorted(lake.scan(NAME).to_pylist(), key=str)
        head = lake.head(NAME)
        done = upkeep.run(NAME, limits())
        assert sorted(lake.scan(NAME).to_pylist(), key=str) == before
        assert [file.rows for file in lake.files(NAME)] == [6]
        document = lineage.load(done.compaction)
        assert lake.head(NAME).properties == {**head.properties, LINEAGE: done.compaction}
        assert (document.kind, document.name, document.inputs[0]) == ("commit", NAME, head.properties[LINEAGE])
        (rewrite,) = documents.rewrites_of(document)
        assert [file.path for file in document.files] == [rewrite.file] == [file.path for file in lake.files(NAME)]
        assert {file.path for file in rewrite.replaced} == {path for each in grown for path in each.files}
        assert rewrite.rows == document.facts["rows"] == 6

    def test_the_document_names_the_replaced_files_with_their_digests(self, lake, upkeep, lineage, grown):
        (rewrite,) = documents.rewrites_of(lineage.load(upkeep.run(NAME, limits()).compaction))
        for file in rewrite.replaced:
            assert lake.site_files.digest(file.path) == file.digest
            assert lake.site_files.size(file.path) == file.size

    def test_a_plan_changes_nothing_and_a_run_does_what_it_said(self, lake, upkeep, grown, tmp_path):
        def everything():
            local = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
            return local, below(lake.site_files, "lake/silver/things")

        before = everything()
        plan = upkeep.plan(NAME, limits(keep=2))
        assert everything() == before
        assert (len(plan.expire), len(plan.rewrites[0]), plan.replaced) == (4, 6, ())
        done = upkeep.run(NAME, limits(keep=2))
        assert done.plan == plan
        assert not any(lake.site_files.holds(each.path) for each in plan.metadata)
        assert {each.snapshot_id for each in lake.table(NAME).snapshots()}.isdisjoint(plan.expire)

    def test_a_second_run_finds_nothing_to_do(self, upkeep, grown, lake):
        upkeep.run(NAME, limits())
        head = lake.head(NAME)
        assert upkeep.run(NAME, limits()).plan.idle
        assert lake.head(NAME) == head

    def test_few_small_files_are_left_alone(self, lake, upkeep):
        for number in range(3):
            lake.append(NAME, rows(str(number)), expected=lake.head(NAME), **EMPTY)
        assert upkeep.plan(NAME, limits()).idle

    def test_rows_are_sorted_when_asked(self, lake, upkeep):
        for number in (3, 1, 2, 0):
            lake.append(NAME, rows(f"a{number}"), expected=lake.head(NAME), **EMPTY)
        upkeep.run(NAME, limits(), sort=("name",))
        assert lake.scan(NAME)["name"].to_pylist() == ["a0", "a1", "a2", "a3"]

    @pytest.mark.parametrize(("column", "said"), [("colour", "no column 'colour'"), ("many", "no order: list")])
    def test_a_column_to_sort_by_must_be_there_and_have_an_order(self, lake, upkeep, grown, column, said):
        lake.ensure(NAME, SCHEMA.append(pa.field("many", pa.list_(pa.int64()))))
        head = lake.head(NAME)
        with pytest.raises(ApplianceError, match=said) as caught:
            upkeep.run(NAME, limits(), sort=(column,))
        assert (caught.value.code.id, lake.head(NAME)) == ("APL-STORAGE-022", head)

    @pytest.mark.parametrize(
        ("keep", "retain", "after", "gone"),
        [
            (1, 90 * DAY, 91 * DAY, True),
            (1, 90 * DAY, 89 * DAY, False),
            (1, AT_ONCE, AT_ONCE, True),
            (20, AT_ONCE, 91 * DAY, False),
        ],
        ids=["old and needed by nobody", "too young", "no retention", "needed by a kept snapshot"],
    )
    def test_a_replaced_file_goes_when_it_is_old_and_no_kept_snapshot_has_it(
        self, lake, upkeep, lineage, grown, clock, keep, retain, after, gone
    ):
        compaction = upkeep.run(NAME, limits()).compaction
        clock.at += after
        done = upkeep.run(NAME, limits(keep=keep, retain=retain))
        paths = [path for each in grown for path in each.files]
        assert [lake.site_files.holds(path) for path in paths] == [not gone] * 6
        assert names(lake) == [f"a{number}" for number in range(6)]
        assert done.plan.waiting == (0 if gone else 6)
        if gone:
            removal = documents.removal_of(lineage.load(done.removal))
            assert (removal.table, removal.at) == (NAME, clock.now())
            assert sorted(each.file.path for each in removal.removed) == sorted(paths)
            assert {each.replaced_by for each in removal.removed} == {compaction}
            assert lineage.load(done.removal).inputs == (compaction,)

    def test_what_a_reparse_took_out_stays(self, lake, upkeep, clock, grown):
        """Its rows stand nowhere else."""
        lake.replace(NAME, rows(), expected=lake.head(NAME), remove="name = 'a0'", **EMPTY)
        clock.at += 365 * DAY
        done = upkeep.run(NAME, limits(keep=1, retain=AT_ONCE, orphans_after=dt.timedelta(hours=1)))
        assert (done.plan.replaced, done.plan.orphan_data) == ((), ())
        assert all(lake.site_files.holds(path) for each in grown for path in each.files)

    def test_an_altered_file_is_not_rewritten(self, lake, upkeep, grown, hands):
        (name,), (other,) = grown[2].files, grown[3].files
        with lake.site_files.open(other) as file:
            hands.change(name, file.read())
        head = lake.head(NAME)
        with pytest.raises(
            ApplianceError, match=rf"expected sha256:\w+, got {lake.site_files.digest(other)}"
        ) as caught:
            upkeep.run(NAME, limits())
        assert (caught.value.code.id, caught.value.where) == ("APL-STORAGE-020", name)
        assert lake.head(NAME) == head

    def test_missing_metadata_is_named(self, lake, upkeep, grown, hands):
        table = lake.table(NAME)
        missing = lake.site_files.name_of(table.current_snapshot().manifests(table.io)[0].manifest_path)
        hands.lose(missing)
        with pytest.raises(ApplianceError, match=missing.rpartition("/")[2]) as caught:
            upkeep.run(NAME, limits())
        assert caught.value.code.id == "APL-STORAGE-020"

    @pytest.mark.parametrize("damage", ["altered", "missing"])
    def test_nothing_is_removed_when_what_stands_in_is_damaged(self, lake, upkeep, grown, hands, damage):
        upkeep.run(NAME, limits())
        (file,) = lake.files(NAME)
        hands.change(file.path, b"") if damage == "altered" else hands.lose(file.path)
        with pytest.raises(ApplianceError) as caught:
            upkeep.run(NAME, limits(keep=1, retain=AT_ONCE))
        assert (caught.value.code.id, caught.value.where) == ("APL-STORAGE-020", file.path)
        assert all(lake.site_files.holds(path) for each in grown for path in each.files)

    def test_rows_that_differ_are_not_swapped_in(self, lake, upkeep, grown, monkeypatch):
        """As if memory or disk had changed a value between reading and writing."""
        real = lake.write_file
        monkeypatch.setattr(lake, "write_file", lambda name, found: real(name, found.slice(1)))
        head = lake.head(NAME)
        with pytest.raises(ApplianceError, match=r"expected sha256:\w+, got sha256:") as caught:
            upkeep.run(NAME, limits())
        assert (caught.value.code.id, lake.head(NAME)) == ("APL-STORAGE-021", head)

    def test_a_writer_that_comes_first_is_built_upon(self, lake, upkeep, open_lake, grown, monkeypatch):
        other, real, raced = open_lake(), lake.rewrite, []

        def late(*arguments, **options):
            if len(raced) < 3:
                said = {"appliance.positions": f'{{"a":{7 + len(raced)}}}'}
                raced.append(
                    other.append(NAME, rows(f"b{len(raced)}"), expected=other.head(NAME), properties=said, inputs=[],
                                 facts={})
                )  # fmt: skip
            return real(*arguments, **options)

        monkeypatch.setattr(lake, "rewrite", late)
        done = upkeep.run(NAME, limits())
        assert (len(raced), bool(done.compaction)) == (3, True)
        assert names(lake) == [f"a{number}" for number in range(6)] + ["b0", "b1", "b2"]
        assert lake.head(NAME).properties["appliance.positions"] == '{"a":9}'
        assert sorted(file.rows for file in lake.files(NAME)) == [1, 1, 1, 6]

    def test_a_file_that_a_writer_took_out_is_not_brought_back(self, lake, upkeep, open_lake, grown, monkeypatch):
        other, real, raced = open_lake(), lake.write_file, []

        def late(*arguments):
            if not raced:
                raced.append(other.replace(NAME, rows(), expected=other.head(NAME), remove="name = 'a1'", **EMPTY))
            return real(*arguments)

        monkeypatch.setattr(lake, "write_file", late)
        assert upkeep.run(NAME, limits()).compaction == ""
        assert names(lake) == ["a0", "a2", "a3", "a4", "a5"]

    def test_upkeep_gives_up_when_writers_always_come_first(self, lake, upkeep, open_lake, grown, monkeypatch):
        other, real = open_lake(), lake.rewrite

        def late(*arguments, **options):
            other.append(NAME, rows("b"), expected=other.head(NAME), **EMPTY)
            return real(*arguments, **options)

        monkeypatch.setattr(lake, "rewrite", late)
        with pytest.raises(CommitLost):
            upkeep.run(NAME, limits())
        assert names(lake) == [f"a{number}" for number in range(6)] + ["b"] * 10

    def test_many_manifests_become_one(self, lake, upkeep):
        for number in range(12):
            lake.append(NAME, rows(str(number)), expected=lake.head(NAME), **EMPTY)
        lake.append(NAME, SCHEMA.empty_table(), expected=lake.head(NAME), properties={"appliance.x": "1"}, inputs=[],
                    facts={})  # fmt: skip
        files = sorted(lake.files(NAME), key=str)
        plan = upkeep.run(NAME, limits(target_bytes=1)).plan  # so small that no file is
        assert (plan.manifests, plan.rewrites) == (12, ())
        table = lake.table(NAME)
        assert len(table.current_snapshot().manifests(table.io)) == 1
        assert sorted(lake.files(NAME), key=str) == files
        assert lake.head(NAME).properties["appliance.x"] == "1"

    @pytest.mark.parametrize("keep", [1, 2, 4])
    def test_expiry_by_writers_after_upkeep_leaves_no_metadata_behind(self, lake, upkeep, grown, keep):
        for number in range(12):
            lake.append(NAME, rows(str(number)), expected=lake.head(NAME), **EMPTY)
        upkeep.run(NAME, limits(target_bytes=1))
        upkeep.run(NAME, limits())
        lake.append(NAME, rows("z"), expected=lake.head(NAME), **EMPTY)
        expire(lake, NAME, keep=keep)
        table = lake.table(NAME)
        used = {snapshot.manifest_list for snapshot in table.snapshots()}
        used |= {each.manifest_path for snapshot in table.snapshots() for each in snapshot.manifests(table.io)}
        left = {each.path for each in lake.site_files.stored("lake/silver/things/metadata")}
        assert {each for each in left if each.endswith(".avro")} == set(map(lake.site_files.name_of, used))

    def test_columns_added_since_a_file_was_written_are_null_in_the_new_one(self, lake, upkeep, grown):
        lake.ensure(NAME, SCHEMA.append(pa.field("more", pa.int64())))
        upkeep.run(NAME, limits())
        assert lake.scan(NAME)["more"].to_pylist() == [None] * 6

    def test_a_table_without_rows_or_commits(self, lake, upkeep):
        assert upkeep.run(NAME, limits()).plan.idle
        lake.append(NAME, SCHEMA.empty_table(), expected=lake.head(NAME), **EMPTY)
        assert upkeep.run(NAME, limits()).plan.idle
        assert upkeep.newest(NAME) == NOW

    def test_figures_of_a_table(self, lake, upkeep, grown):
        state = upkeep.state(NAME, limits())
        assert (state.live_files, state.small_files, state.snapshots, state.orphans) == (6, 6, 6, 0)
        upkeep.run(NAME, limits())
        state = upkeep.state(NAME, limits())
        assert (state.live_files, state.small_files, state.snapshots) == (1, 1, 7)
        (file,) = lake.files(NAME)
        assert state.live_bytes == lake.site_files.size(file.path)

    @pytest.mark.parametrize(("most", "raised"), [(6, 0), (5, 1)])
    def test_more_small_files_than_allowed_are_an_alert(self, upkeep, grown, tmp_path, most, raised):
        for _ in range(2):
            upkeep.run(NAME, limits(max_small_files=most))
        alerts = Alerts(tmp_path / "alerts").all()
        assert [(each.code, each.subject) for each in alerts] == [("SMALL_FILES", f"table {NAME}")] * raised
        assert all("6 small files, expected 5" in each.message for each in alerts)

    def test_two_at_once_are_one_too_many(self, upkeep, grown, tmp_path, monkeypatch, lake):
        with pytest.raises(ApplianceError, match="another process") as caught:
            from appliance.base import atomic

            with atomic.exclusive(tmp_path / "upkeep/lock"):
                upkeep.run(NAME, limits())
        assert caught.value.code.id == "APL-BASE-006"
        assert len(lake.files(NAME)) == 6


class UpkeepOfFoldersContract(UpkeepContract):
    """And where a test can give a file another age."""

    def test_orphans_go_by_age_and_are_named_first(self, lake, upkeep, lineage, clock, grown, tmp_path):
        folder = tmp_path / "lake/silver/things"
        head = lake.head(NAME).snapshot_id
        at = {
            "data/00000000000000000007-00112233.parquet": (2 * DAY, True),
            "data/.tmp-00000000000000000007-4455.parquet": (2 * DAY, True),
            "data/00000000000000000007-66778899.parquet": (0.5 * DAY, False),
            f"data/{head:020d}-aabbccdd.parquet": (2 * DAY, False),  # a writer may be about to write it again
            "data/notes.txt": (2 * DAY, False),
            "metadata/left-m0.avro": (2 * DAY, True),
            "metadata/young-m0.avro": (0.5 * DAY, False),
        }
        for name, (age, _) in at.items():
            (folder / name).write_bytes(name.encode())
            os.utime(folder / name, ((clock.now() - age).timestamp(),) * 2)
        digests = {name: digest_file(folder / name) for name in at}
        done = upkeep.run(NAME, limits())
        assert {name: not (folder / name).exists() for name in at} == {name: gone for name, (_, gone) in at.items()}
        removed = documents.removal_of(lineage.load(done.removal)).removed
        assert {(each.file.path, each.file.digest, each.replaced_by) for each in removed} == {
            (f"lake/silver/things/{name}", digests[name], "") for name, (_, gone) in at.items()
            if gone and name.startswith("data")
        }  # fmt: skip
        assert names(lake) == [f"a{number}" for number in range(6)]
