"""Columns change without rewriting data, and what is there keeps its meaning: over any catalog."""

import decimal
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest

from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Lineage
from appliance.storage.evolution import Column, columns_of, evolve, plan_for
from appliance.storage.tables import CommitLost
from tests.contracts.files import below
from tests.small_site import ListLog

NAME = "silver.plant"
FOLDER = "lake/silver/plant"
DATA = f"{FOLDER}/data"
POSITIONS = {"appliance.positions": '{"plant":7}'}
SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        ("v", pa.float32()),
        ("n", pa.int32()),
        ("d", pa.decimal128(5, 2)),
    ]
)
BEFORE = (
    Column(id=1, name="name", type="string", required=True),
    Column(id=2, name="v", type="float"),
    Column(id=3, name="n", type="int"),
    Column(id=4, name="d", type="decimal(5, 2)"),
)
AFTER = (
    Column(id=1, name="name", type="string"),
    Column(id=2, name="oil_temperature", type="double"),
    Column(id=3, name="n", type="long"),
    Column(id=4, name="d", type="decimal(9, 2)"),
    Column(id=5, name="more", type="string"),
)
OLD_ROW = {"name": "old", "oil_temperature": 1.5, "n": 7, "d": decimal.Decimal("1.23"), "more": None}
NEW_ROW = {"name": None, "oil_temperature": 0.1, "n": 1 << 40, "d": decimal.Decimal("1234567.89"), "more": "x"}


def changed(id, **more):
    """`BEFORE` with one column changed."""
    return tuple(
        Column(**{**{key: getattr(each, key) for key in each.__struct_fields__}, **(more if each.id == id else {})})
        for each in BEFORE
    )


def old_rows():
    return pa.table({"name": ["old"], "v": [1.5], "n": [7], "d": [decimal.Decimal("1.23")]}, schema=SCHEMA)


def new_rows():
    schema = pa.schema(
        [
            ("name", pa.string()), ("oil_temperature", pa.float64()), ("n", pa.int64()),
            ("d", pa.decimal128(9, 2)), ("more", pa.string()),
        ]
    )  # fmt: skip
    return pa.Table.from_pylist([NEW_ROW], schema)


REFUSED = {
    "int to string": (changed(3, type="string"), "int cannot become string"),
    "narrower": (changed(4, type="decimal(4, 2)"), "decimal(5, 2) cannot become decimal(4, 2)"),
    "another scale": (changed(4, type="decimal(9, 3)"), "cannot become"),
    "float to int": (changed(2, type="int"), "float cannot become int"),
    "int to double": (changed(3, type="double"), "int cannot become double"),
    "required": (changed(2, required=True), "cannot be required"),
    "removed": (BEFORE[:3], "d (id 4) is left out"),
    "an id again": ((*BEFORE, Column(id=4, name="x", type="int")), "the id 4 is declared twice"),
    "a name again": ((*BEFORE, Column(id=5, name="n", type="int")), "the name n is declared twice"),
    "a name in another case": ((*BEFORE, Column(id=5, name="N", type="int")), "declared twice"),
    "names exchanged": (
        (BEFORE[0], Column(id=2, name="n", type="float"), Column(id=3, name="v", type="int"), BEFORE[3]),
        "the name n belongs or belonged to column 3",
    ),
    "a new one that is required": ((*BEFORE, Column(id=5, name="x", type="int", required=True)), "required"),
    "an id left out": ((*BEFORE, Column(id=6, name="x", type="int")), "expected the id 5, got 6"),
    "a type that there is not": ((*BEFORE, Column(id=5, name="x", type="text")), "got 'text'"),
    "a nested type": ((*BEFORE, Column(id=5, name="x", type="list<int>")), "got 'list<int>'"),
    "a precision that there is not": ((*BEFORE, Column(id=5, name="x", type="decimal(39, 2)")), "decimal(39, 2)"),
    "a bad name": ((*BEFORE, Column(id=5, name="x y", type="int")), "'x y' is not a name"),
}


class EvolutionContract:
    """A subclass has the fixture `open_lake`: a call that opens the lake of the test, in `tmp_path`, each time anew."""

    @pytest.fixture
    def lake(self, open_lake):
        made = open_lake()
        made.ensure(NAME, SCHEMA)
        made.append(NAME, old_rows(), expected=made.head(NAME), properties=POSITIONS, inputs=[], facts={})
        return made

    def put(self, lake, rows):
        lake.append(NAME, rows, expected=lake.head(NAME), properties={}, inputs=[], facts={})

    def test_old_and_new_rows_are_read_with_the_new_names_and_types(self, lake):
        files = {each.path for each in lake.files(NAME)}
        digests = {name: lake.site_files.digest(name) for name in files}
        found = evolve(lake, NAME, AFTER)
        assert [(each.kind, each.id) for each in found.changes] == [
            ("make optional", 1), ("widen", 2), ("rename", 2), ("widen", 3), ("widen", 4), ("add", 5),
        ]  # fmt: skip
        assert {name: lake.site_files.digest(name) for name in files} == digests
        assert {each.path for each in lake.site_files.stored(DATA)} == files, "data was rewritten"
        self.put(lake, new_rows())
        expected = sorted([OLD_ROW, NEW_ROW], key=str)
        assert sorted(lake.scan(NAME).to_pylist(), key=str) == expected
        dataset = lake.dataset(NAME)
        assert sorted(dataset.to_table().to_pylist(), key=str) == expected
        with duckdb.connect() as connection:
            connection.register("plant", dataset)
            for _ in range(2):  # more than one pass
                assert connection.sql("SELECT count(oil_temperature), sum(n) FROM plant").fetchall() == [
                    (2, 7 + (1 << 40))
                ]
        assert lake.schema(NAME) == new_rows().schema
        assert columns_of(lake, NAME) == AFTER

    @pytest.mark.parametrize(
        ("where", "count"),
        [
            ("oil_temperature > 1", 1),
            ("n = 7", 1),
            (f"n = {1 << 40}", 1),
            ("n > 0", 2),
            ("more = 'x'", 1),
            ("d < 2", 1),
        ],
    )
    def test_filters_hold_over_old_and_new_files(self, lake, where, count):
        """Bounds in the manifests of old files have the old types."""
        evolve(lake, NAME, AFTER)
        self.put(lake, new_rows())
        assert lake.scan(NAME, where=where).num_rows == count

    def test_rows_of_old_files_are_replaced_under_the_new_names(self, lake):
        evolve(lake, NAME, AFTER)
        self.put(lake, new_rows())
        lake.replace(
            NAME, new_rows().slice(0, 0), expected=lake.head(NAME), properties={}, inputs=[], facts={}, remove="n = 7"
        )
        assert lake.scan(NAME).to_pylist() == [NEW_ROW]

    def test_rows_that_stay_keep_their_values(self, lake):
        evolve(lake, NAME, AFTER)
        both = pa.concat_tables([new_rows(), new_rows().set_column(2, "n", pa.array([5], pa.int64()))])
        self.put(lake, both)
        lake.replace(
            NAME, new_rows().slice(0, 0), expected=lake.head(NAME), properties={}, inputs=[], facts={}, remove="n = 5"
        )
        assert sorted(lake.scan(NAME).to_pylist(), key=str) == sorted([OLD_ROW, NEW_ROW], key=str)

    def test_the_position_map_and_the_chain_of_lineage_go_on(self, lake, tmp_path):
        before = lake.head(NAME)
        commit = evolve(lake, NAME, AFTER).commit
        head = lake.head(NAME)
        assert head.properties["appliance.positions"] == POSITIONS["appliance.positions"]
        assert (head.snapshot_id, commit.rows, commit.files) == (commit.snapshot_id, 0, ())
        assert head.snapshot_id != before.snapshot_id, "a schema change alone makes no snapshot"
        document = Lineage(tmp_path / "lineage", ListLog()).load(commit.lineage_id)
        assert before.properties["appliance.lineage"] in document.inputs
        assert any("rename v -> oil_temperature" in each for each in document.facts["columns"])

    def test_a_snapshot_from_before_keeps_its_names(self, lake):
        before = lake.head(NAME).snapshot_id
        evolve(lake, NAME, AFTER)
        self.put(lake, new_rows())
        old = old_rows().to_pylist()
        assert lake.scan(NAME, snapshot_id=before).to_pylist() == old
        assert lake.dataset(NAME, before).to_table().to_pylist() == old

    def test_the_same_declaration_again_changes_nothing(self, lake):
        evolve(lake, NAME, AFTER)
        head = lake.head(NAME)
        assert evolve(lake, NAME, AFTER).commit is None
        assert lake.head(NAME) == head

    def test_an_empty_table_evolves(self, open_lake):
        lake = open_lake()
        lake.ensure(NAME, SCHEMA)
        evolve(lake, NAME, AFTER)
        self.put(lake, new_rows())
        assert lake.scan(NAME).to_pylist() == [NEW_ROW]

    def test_a_writer_from_before_the_widening_goes_on(self, lake):
        evolve(lake, NAME, changed(3, type="long"))
        self.put(lake, old_rows())
        assert lake.scan(NAME)["n"].to_pylist() == [7, 7]

    def test_a_writer_from_before_the_renaming_moves_no_values(self, lake):
        evolve(lake, NAME, changed(2, name="oil_temperature"))
        with pytest.raises(ApplianceError) as caught:
            lake.ensure(NAME, SCHEMA)
        assert caught.value.code.id == "APL-STORAGE-033"
        with pytest.raises(ApplianceError) as caught:
            self.put(lake, old_rows())
        assert caught.value.code.id == "APL-STORAGE-005"
        assert lake.scan(NAME)["oil_temperature"].to_pylist() == [1.5]

    def test_renamed_twice_and_back_again(self, lake):
        for name in ("a", "b", "v"):
            evolve(lake, NAME, changed(2, name=name))
            rows = old_rows().rename_columns(["name", name, "n", "d"])
            self.put(lake, rows)
        assert lake.scan(NAME)["v"].to_pylist() == [1.5] * 4
        assert lake.dataset(NAME).to_table()["v"].to_pylist() == [1.5] * 4

    @pytest.mark.parametrize("case", REFUSED)
    def test_what_would_lose_or_change_rows_is_refused_before_anything_changes(self, lake, case):
        declared, reason = REFUSED[case]
        head, files = lake.head(NAME), below(lake.site_files, FOLDER)
        for call in (plan_for, evolve):
            with pytest.raises(ApplianceError) as caught:
                call(lake, NAME, declared)
            assert caught.value.code.id == "APL-STORAGE-030"
            assert reason in caught.value.message
            assert caught.value.where == NAME
        assert lake.head(NAME) == head
        assert below(lake.site_files, FOLDER) == files
        assert columns_of(lake, NAME) == BEFORE

    def test_all_reasons_come_at_once(self, lake):
        declared = (*changed(3, type="string")[:3], Column(id=9, name="x", type="int", required=True))
        with pytest.raises(ApplianceError) as caught:
            plan_for(lake, NAME, declared)
        for reason in (
            "int cannot become string",
            "d (id 4) is left out",
            "expected the id 5, got 9",
            "cannot be required",
        ):
            assert reason in caught.value.message

    @pytest.mark.parametrize("change", [{"name": "x"}, {"type": "double"}], ids=["renamed", "widened"])
    def test_a_column_that_others_read_from_old_files_keeps_name_and_type(self, lake, change):
        for declared, refused in ((changed(2, **change), True), (changed(3, type="long"), False)):
            if refused:
                with pytest.raises(ApplianceError, match="column v keeps name and type"):
                    evolve(lake, NAME, declared, fixed={"v"})
            else:
                evolve(lake, NAME, declared, fixed={"v"})

    def test_a_former_name_is_not_given_to_another_column(self, lake):
        """Old files hold no ids: their values would appear under the new column."""
        evolve(lake, NAME, changed(2, name="oil_temperature"))
        declared = (*changed(2, name="oil_temperature"), Column(id=5, name="v", type="float"))
        with pytest.raises(ApplianceError, match="belongs or belonged to column 2"):
            evolve(lake, NAME, declared)

    @pytest.mark.parametrize("name", ["silver.readings", "quarantine.readings", "ledger.gates"])
    def test_the_products_own_tables_are_left_alone(self, lake, name):
        lake.ensure(name, SCHEMA)
        with pytest.raises(ApplianceError) as caught:
            evolve(lake, name, AFTER)
        assert caught.value.code.id == "APL-STORAGE-032"

    def test_a_commit_in_between_is_not_overtaken(self, lake, open_lake, monkeypatch):
        real, raced = lake._catalog.commit_table, []

        def slow(*arguments, **options):
            if not raced:
                raced.append(1)
                self.put(open_lake(), old_rows())
            return real(*arguments, **options)

        monkeypatch.setattr(lake._catalog, "commit_table", slow)
        with pytest.raises(CommitLost):
            evolve(lake, NAME, AFTER)
        assert columns_of(lake, NAME) == BEFORE
        assert lake.scan(NAME).num_rows == 2
        evolve(lake, NAME, AFTER)
        assert lake.scan(NAME)["oil_temperature"].to_pylist() == [1.5, 1.5]

    def test_writers_at_once_lose_no_row(self, lake, open_lake):
        def write(writer):
            own, done = open_lake(), 0
            while done < 4:
                rows = old_rows().set_column(0, SCHEMA.field("name"), pa.array([f"{writer}-{done}"]))
                try:
                    self.put(own, rows)
                    done += 1
                except CommitLost:
                    pass

        def change(_):
            own = open_lake()
            while True:
                try:
                    return evolve(own, NAME, changed(3, type="long"))
                except CommitLost:
                    pass

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda call: call[0](call[1]), [(write, 1), (change, None), (write, 2)]))
        assert lake.scan(NAME)["n"].to_pylist() == [7] * 9
        assert lake.schema(NAME).field("n").type == pa.int64()
        assert lake.head(NAME).properties["appliance.positions"] == POSITIONS["appliance.positions"]
