"""Upkeep with the catalog in the site's folder, its limits, and the digest of rows."""

import datetime as dt
import itertools
import struct

import pyarrow as pa
import pytest

from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Lineage
from appliance.storage.files import SiteFiles
from appliance.storage.tables import Lake
from appliance.storage.upkeep.inventory import LiveFile
from appliance.storage.upkeep.plan import MOST_ROWS, Limits, _groups, small_files
from appliance.storage.upkeep.row_digest import rows_digest
from tests.contracts.upkeep import UpkeepOfFoldersContract
from tests.small_site import ListLog


@pytest.fixture
def open_lake(tmp_path):
    return lambda: Lake(tmp_path / "lake", SiteFiles(tmp_path), Lineage(tmp_path / "lineage", ListLog()))


class TestOnSqlite(UpkeepOfFoldersContract):
    pass


WRONG = {
    "no snapshot kept": {"keep": 0},
    "no size": {"target_bytes": 0},
    "orphans that may be a commit under way": {"orphans_after": dt.timedelta(minutes=59)},
}


@pytest.mark.parametrize("name", WRONG)
def test_limits_out_of_range(name):
    usual = {
        "target_bytes": 1,
        "keep": 1,
        "retain": dt.timedelta(0),
        "orphans_after": dt.timedelta(days=1),
        "max_small_files": 1,
    }
    with pytest.raises(ApplianceError) as caught:
        Limits(**{**usual, **WRONG[name]})
    assert caught.value.code.id == "APL-STORAGE-022"


def file(number, size, rows=1):
    return LiveFile(path=f"f{number:02d}", size=size, rows=rows, sequence=number, manifest="m")


PACKED = {
    "nothing": ([], []),
    "three are not worth it": ([10, 10, 10], []),
    "four are": ([10, 10, 10, 10], [4]),
    "as many as fit": ([30] * 8, [4, 4]),
    "a rest of three stays": ([25] * 7, [4]),
    "large ones are left out, their neighbours are not": ([20, 75, 20, 99, 20, 20], [4]),
    "just below the limit of small": ([74, 1, 1, 1, 1], [5]),
}


@pytest.mark.parametrize("name", PACKED)
def test_packing(name):
    sizes, expected = PACKED[name]
    target = 120 if name == "as many as fit" else 100
    live = [file(number, size) for number, size in enumerate(sizes)]
    groups = list(_groups(small_files(live, target), target))
    assert [len(group) for group in groups] == expected
    order = [each.sequence for group in groups for each in group]
    assert order == sorted(order)
    assert all(sum(each.size for each in group) <= target for group in groups)


def test_a_new_file_has_a_bounded_number_of_rows():
    live = [file(number, 1, rows=MOST_ROWS // 5) for number in range(10)]
    groups = list(_groups(small_files(live, 1000), 1000))
    assert [len(group) for group in groups] == [5, 5]
    assert small_files([file(0, 1, rows=MOST_ROWS)], 1000) == ()


# The digest of rows

TYPES = {
    "text": pa.array(["a", None, "", "a", "b"]),
    "dictionary": pa.array(["a", "b", "a", None, "c"]).dictionary_encode(),
    "bytes": pa.array([b"\x00", None, b"", b"\x00\x00", b"x"]),
    "bytes of one length": pa.array([b"ab", None, b"cd", b"ab", b"ee"], pa.binary(2)),
    "float64": pa.array([1.5, None, -0.0, 0.0, float("nan")]),
    "float32": pa.array([1.5, None, -0.0, 0.0, 2.0], pa.float32()),
    "int32": pa.array([1, None, -1, 0, 2], pa.int32()),
    "int64": pa.array([2**62 + 1, None, -(2**62), 0, 2], pa.int64()),
    "bool": pa.array([True, None, False, True, False]),
    "date": pa.array([1, None, 2, 3, 4], pa.date32()),
    "instant": pa.array([1, None, 2, 3, 2**55], pa.timestamp("us", "UTC")),
    "decimal": pa.array([1, None, 2, 3, 4], pa.decimal128(10, 2)),
    "list": pa.array([[1.0], None, [], [1.0, 2.0], [None]]),
    "struct": pa.array([{"a": 1}, None, {"a": None}, {"a": 2}, {"a": 3}]),
    "list of structs": pa.array([[{"a": "x", "b": 1}], None, [], [{"a": None, "b": 2}], [{"a": "x", "b": 1}] * 2]),
}


@pytest.mark.parametrize("name", TYPES)
def test_order_and_chunks_do_not_matter_and_every_value_does(name):
    table = pa.table({"column": TYPES[name], "number": range(5)})
    digest = rows_digest(table)
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 13):
        assert rows_digest(table.take(list(order))) == digest
    assert rows_digest(pa.concat_tables([table.slice(3), table.slice(0, 3)])) == digest
    others = [table.set_column(0, "column", table["column"].take([*range(i), (i + 1) % 5, *range(i + 1, 5)]))
              for i in range(5)]  # fmt: skip
    assert digest not in {rows_digest(each) for each in others}
    assert rows_digest(table.slice(1)) != digest
    assert rows_digest(pa.concat_tables([table, table.slice(0, 1)])) != digest


def test_values_do_not_move_between_columns_or_rows():
    digests = {
        rows_digest(pa.table(each))
        for each in (
            {"a": ["x", "y"], "b": ["y", "x"]},
            {"a": ["x", "y"], "b": ["x", "y"]},
            {"b": ["x", "y"], "a": ["y", "x"]},
            {"a": ["xy", ""], "b": ["", "yx"]},
            {"a": [["x"], ["y"]], "b": [["y"], ["x"]]},
            {"a": [["x", "y"], []], "b": [["y"], ["x"]]},
        )
    }
    assert len(digests) == 6


def test_a_nan_counts_by_its_bits():
    def of(bits):
        return rows_digest(pa.table({"a": pa.array([struct.unpack("<d", struct.pack("<Q", bits))[0]])}))

    assert of(0x7FF8000000000000) == of(0x7FF8000000000000) != of(0x7FF8000000000001)


def test_the_digest_is_the_same_for_ever():
    """It stands in documents that are kept for years."""
    table = pa.table({"a": ["x", None], "b": [1.5, 2.5], "c": pa.array([1, 2], pa.timestamp("us", "UTC"))})
    assert rows_digest(table) == "sha256:e3bd8e7db6232ea56c93c6501dd6fd438c64bc093025e294bc61860a2e1a7a1b"


def test_a_type_that_no_table_has():
    with pytest.raises(TypeError, match="map<string, int64>"):
        rows_digest(pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}))
