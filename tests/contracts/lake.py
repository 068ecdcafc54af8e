"""Tables change by compare-and-swap only, keep their properties, and say what they rest on, wherever they are."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Lineage
from appliance.storage.tables import CommitLost
from appliance.storage.upkeep import expire
from tests.small_site import ListLog

SCHEMA = pa.schema([pa.field("name", pa.string(), nullable=False), ("value", pa.float64()), ("n", pa.int32())])
NAME = "silver.things"
EMPTY = {"properties": {}, "inputs": [], "facts": {}}


def rows(*names, value=1.0):
    return pa.table({"name": list(names), "value": [value] * len(names), "n": pa.array(range(len(names)), pa.int32())})


def names(lake, **options):
    return sorted(lake.scan(NAME, columns=("name",), **options)["name"].to_pylist())


class LakeContract:
    """What `Lake` promises, wherever catalog and files are. A subclass has the fixture `open_lake`: a call that opens
    the lake of the test, in `tmp_path`, again and again."""

    @pytest.fixture
    def lake(self, open_lake):
        made = open_lake()
        made.ensure(NAME, SCHEMA)
        return made

    def test_a_commit_on_an_old_head_is_lost_and_leaves_the_table_alone(self, lake):
        old = lake.head(NAME)
        lake.append(NAME, rows("a"), expected=old, properties={"appliance.positions": '{"a":1}'}, inputs=[], facts={})
        with pytest.raises(CommitLost, match="expected snapshot None") as caught:
            lake.append(
                NAME, rows("b"), expected=old, properties={"appliance.positions": '{"b":1}'}, inputs=[], facts={}
            )
        assert caught.value.code.id == "APL-STORAGE-001"
        assert names(lake) == ["a"]
        assert lake.head(NAME).properties["appliance.positions"] == '{"a":1}'

    def test_a_race_inside_pyiceberg_is_not_retried_for_the_loser(self, lake, monkeypatch):
        head = lake.head(NAME)
        real = lake._catalog.commit_table
        raced = []

        def slow(*arguments, **options):
            if not raced:
                raced.append(1)
                lake.append(NAME, rows("winner"), expected=head, **EMPTY)
            return real(*arguments, **options)

        monkeypatch.setattr(lake._catalog, "commit_table", slow)
        with pytest.raises(CommitLost):
            lake.append(NAME, rows("loser"), expected=head, **EMPTY)
        assert names(lake) == ["winner"]

    def test_properties_are_carried_from_commit_to_commit(self, lake):
        lake.append(NAME, rows("a"), expected=lake.head(NAME), properties={"appliance.x": "1"}, inputs=[], facts={})
        lake.append(NAME, rows("b"), expected=lake.head(NAME), properties={"appliance.y": "2"}, inputs=[], facts={})
        lake.replace(NAME, rows(), expected=lake.head(NAME), remove="name = 'a'", **EMPTY)
        properties = lake.head(NAME).properties
        assert (properties["appliance.x"], properties["appliance.y"]) == ("1", "2")

    def test_a_commit_without_rows_still_moves_the_properties(self, lake):
        head = lake.head(NAME)
        done = lake.append(
            NAME, SCHEMA.empty_table(), expected=head, properties={"appliance.x": "1"}, inputs=[], facts={}
        )
        assert (done.rows, done.files) == (0, ())
        assert lake.head(NAME).properties["appliance.x"] == "1"

    @pytest.mark.parametrize(
        ("remove", "left"),
        [
            ("name = 'a'", ["b", "c", "new"]),
            ("name in ('a', 'b') and n < 1", ["b", "c", "new"]),
            ("value > 100", ["a", "b", "c", "new"]),
            ("n >= 0", ["new"]),
        ],
    )
    def test_replace_removes_what_matches_and_keeps_the_old_files(self, lake, remove, left):
        done = lake.append(NAME, rows("a", "b"), expected=lake.head(NAME), **EMPTY)
        lake.append(NAME, rows("c"), expected=lake.head(NAME), **EMPTY)
        before = lake.head(NAME).snapshot_id
        lake.replace(NAME, rows("new"), expected=lake.head(NAME), remove=remove, **EMPTY)
        assert names(lake) == left
        assert names(lake, snapshot_id=before) == ["a", "b", "c"]
        assert all(lake.site_files.holds(path) for path in done.files)

    def test_replace_keeps_rows_for_which_the_filter_is_unknown(self, lake):
        table = pa.table({"name": ["a", "b"], "value": [None, 5.0], "n": pa.array([1, 2], pa.int32())})
        lake.append(NAME, table, expected=lake.head(NAME), **EMPTY)
        lake.replace(NAME, rows(), expected=lake.head(NAME), remove="value > 1", **EMPTY)
        assert names(lake) == ["a"]

    def test_replace_reads_files_from_before_a_column(self, lake):
        lake.append(NAME, rows("a", "b"), expected=lake.head(NAME), **EMPTY)
        lake.ensure(NAME, SCHEMA.append(pa.field("more", pa.int64())))
        wider = rows("new").append_column("more", pa.array([7], pa.int64()))
        lake.replace(NAME, wider, expected=lake.head(NAME), remove="name = 'a'", **EMPTY)
        assert sorted((row["name"], row["more"]) for row in lake.scan(NAME).to_pylist()) == [("b", None), ("new", 7)]

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (pa.table({"name": ["a"], "value": [1.0]}), "n"),
            (pa.table({"name": ["a"], "value": [1.0], "n": pa.array([1], pa.int64())}), "n is int64, expected int32"),
            (pa.table({"name": [None], "value": [1.0], "n": pa.array([1], pa.int32())}).cast(
                pa.schema([("name", pa.string()), ("value", pa.float64()), ("n", pa.int32())])), "name holds 1 nulls"),
        ],
        ids=["missing column", "other type", "null"],
    )  # fmt: skip
    def test_rows_that_do_not_fit_are_refused_and_leave_nothing(self, lake, bad, message):
        with pytest.raises(ApplianceError, match=message) as caught:
            lake.append(NAME, bad, expected=lake.head(NAME), **EMPTY)
        assert caught.value.code.id == "APL-STORAGE-005"
        assert lake.head(NAME).snapshot_id is None
        assert list(lake.site_files.stored("lake/silver/things/data")) == []

    def test_new_columns_are_added_and_old_rows_read_as_null(self, lake):
        lake.append(NAME, rows("a"), expected=lake.head(NAME), properties={"appliance.x": "1"}, inputs=[], facts={})
        lake.ensure(NAME, SCHEMA.append(pa.field("more", pa.int64())))
        assert lake.head(NAME).properties["appliance.x"] == "1"
        wider = rows("b").append_column("more", pa.array([7], pa.int64()))
        lake.append(NAME, wider, expected=lake.head(NAME), **EMPTY)
        assert sorted(lake.scan(NAME)["more"].to_pylist(), key=str) == [7, None]

    def test_expiry_keeps_head_rows_properties_and_data_files(self, lake):
        done = [lake.append(NAME, rows(str(number)), expected=lake.head(NAME), properties={"appliance.x": str(number)},
                            inputs=[], facts={}) for number in range(12)]  # fmt: skip
        lake.replace(NAME, rows(), expected=lake.head(NAME), remove="name = '0'", **EMPTY)
        head = lake.head(NAME)
        found = expire(lake, NAME, keep=3)
        assert (found.before, found.after) == (13, 3)
        assert found.files_removed > 0
        assert lake.head(NAME) == head
        assert names(lake) == sorted(str(number) for number in range(1, 12))
        assert all(lake.site_files.holds(path) for each in done for path in each.files)
        assert [each.snapshot_id for each in lake.commits(NAME)][-1] == head.snapshot_id
        lake.append(NAME, rows("z"), expected=head, **EMPTY)
        with pytest.raises(ApplianceError, match="at least 1 snapshot, got 0"):
            expire(lake, NAME, keep=0)

    @pytest.mark.parametrize("keep", [1, 2, 3, 5, 8])
    def test_expiry_removes_what_no_kept_snapshot_uses_and_nothing_else(self, lake, keep):
        for number in range(4):
            lake.append(NAME, rows(f"a{number}"), expected=lake.head(NAME), **EMPTY)
            lake.replace(NAME, rows(f"b{number}"), expected=lake.head(NAME), remove=f"name = 'a{number}'", **EMPTY)
        expire(lake, NAME, keep=keep)
        table = lake.table(NAME)
        used = {snapshot.manifest_list for snapshot in table.snapshots()}
        used |= {each.manifest_path for snapshot in table.snapshots() for each in snapshot.manifests(table.io)}
        left = {each.path for each in lake.site_files.stored("lake/silver/things/metadata")}
        assert {each for each in left if each.endswith(".avro")} == set(map(lake.site_files.name_of, used))
        assert names(lake) == [f"b{number}" for number in range(4)]

    def test_lineage_chain_outlives_expired_snapshots(self, lake, tmp_path):
        for number in range(6):
            lake.append(NAME, rows(str(number)), expected=lake.head(NAME), **EMPTY)
        expire(lake, NAME, keep=1)
        lineage = Lineage(tmp_path / "lineage", ListLog())
        chain = list(lineage.walk(lake.head(NAME).properties["appliance.lineage"]))
        assert [document.facts["rows"] for document in chain] == [1] * 6

    @pytest.mark.parametrize(
        ("call", "code"),
        [
            (lambda lake: lake.scan("silver.none"), "APL-STORAGE-002"),
            (lambda lake: lake.scan(NAME, where="name ="), "APL-STORAGE-006"),
            (lambda lake: lake.scan(NAME, where="colour = 'red'"), "APL-STORAGE-006"),
            (lambda lake: lake.scan(NAME, columns=("colour",)), "APL-STORAGE-006"),
        ],
        ids=["no table", "broken filter", "filter on no column", "no column"],
    )
    def test_wrong_questions_have_codes(self, lake, call, code):
        with pytest.raises(ApplianceError) as caught:
            call(lake)
        assert caught.value.code.id == code

    def test_commits_and_files_tell_what_was_written(self, lake):
        first = lake.append(NAME, rows("a", "b"), expected=lake.head(NAME), **EMPTY)
        second = lake.append(NAME, rows("c"), expected=lake.head(NAME), **EMPTY)
        assert lake.commits(NAME) == (first, second)
        assert sorted((file.path, file.rows) for file in lake.files(NAME)) == sorted(
            [(first.files[0], 2), (second.files[0], 1)]
        )
        assert [file.rows for file in lake.files(NAME, snapshot_id=first.snapshot_id)] == [2]
        assert lake.tables() == (NAME,)

    def test_another_lake_sees_what_this_one_wrote(self, lake, open_lake):
        done = lake.append(
            NAME, rows("a"), expected=lake.head(NAME), properties={"appliance.x": "1"}, inputs=[], facts={}
        )
        other = open_lake()
        assert other.head(NAME) == lake.head(NAME)
        assert other.commits(NAME) == (done,)
        other.append(NAME, rows("b"), expected=lake.head(NAME), **EMPTY)
        assert names(lake) == ["a", "b"]

    def test_writers_at_once_lose_no_row_and_write_none_twice(self, lake, open_lake):
        """Each goes on from the head after it lost; the count travels in the snapshot's properties."""

        def write(writer):
            own, lost = open_lake(), 0
            for number in range(5):
                while True:
                    head = own.head(NAME)
                    count = str(int(head.properties.get("appliance.count", "0")) + 1)
                    said = {"appliance.count": count}
                    try:
                        own.append(
                            NAME, rows(f"{writer}-{number}"), expected=head, properties=said, inputs=[], facts={}
                        )
                        break
                    except CommitLost:
                        lost += 1
            return lost

        with ThreadPoolExecutor(4) as pool:
            lost = sum(pool.map(write, range(4)))
        print(f"{lost} commits lost and made again")
        assert names(lake) == sorted(f"{writer}-{number}" for writer in range(4) for number in range(5))
        assert lake.head(NAME).properties["appliance.count"] == "20"
        assert len(lake.commits(NAME)) == 20

    def test_many_make_the_same_table_at_once(self, open_lake):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: open_lake().ensure("fresh.table", SCHEMA), range(6)))
        assert open_lake().tables() == ("fresh.table",)
