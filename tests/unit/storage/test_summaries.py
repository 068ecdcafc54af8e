"""Counts from metadata agree with counts of rows; the newest rows are found without reading every file."""

import datetime as dt
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.base.clock import from_us
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Lineage
from appliance.storage.files import SiteFiles
from appliance.storage.newest import newest
from appliance.storage.summaries import history, summarize
from appliance.storage.tables import Lake
from tests.small_site import ListLog

NAME = "predictions.things"
SCHEMA = pa.schema([("id", pa.string()), ("arm", pa.string()), ("at", pa.timestamp("us", "UTC"))])


@pytest.fixture
def lake(tmp_path):
    made = Lake(tmp_path / "lake", SiteFiles(tmp_path), Lineage(tmp_path / "lineage", ListLog()))
    made.ensure(NAME, SCHEMA)
    return made


def add(lake, rows):
    table = pa.table(
        {"id": [row[0] for row in rows], "arm": [row[1] for row in rows], "at": [from_us(row[2]) for row in rows]},
        schema=SCHEMA,
    )
    lake.append(NAME, table, expected=lake.head(NAME), properties={}, inputs=[], facts={})


def test_a_table_without_a_snapshot_is_empty(lake):
    found = summarize(lake, NAME)
    assert (found.rows, found.snapshots, found.newest) == (0, 0, None)
    assert history(lake, NAME) == ()


def test_summaries_agree_with_the_rows_after_appends_and_a_replace(lake):
    for number in range(3):
        add(lake, [(f"{number}-{index}", "live", number * 100 + index) for index in range(10)])
    lake.replace(
        NAME, SCHEMA.empty_table(), expected=lake.head(NAME), properties={}, inputs=[], facts={}, remove="id == '1-3'"
    )
    found = summarize(lake, NAME)
    assert found.rows == lake.scan(NAME).num_rows == sum(file.rows for file in lake.files(NAME)) == 29
    assert found.newest.files == len(lake.files(NAME))
    commits = lake.commits(NAME)
    said = history(lake, NAME)
    assert [each.snapshot_id for each in said] == [each.snapshot_id for each in reversed(commits)]
    assert [each.lineage_id for each in said] == [each.lineage_id for each in reversed(commits)]
    assert [(each.added, each.removed, each.rows) for each in said] == [
        (9, 10, 29),
        (10, 0, 30),
        (10, 0, 20),
        (10, 0, 10),
    ]
    assert abs(said[0].committed_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


def test_the_newest_rows_are_those_of_a_full_sort(lake, seed):
    chance = random.Random(seed)
    rows = [(f"id-{index:04d}", chance.choice(("live", "shadow")), chance.randrange(10**6)) for index in range(300)]
    rows += [(f"same-{index}", "live", 500_000) for index in range(30)]
    chance.shuffle(rows)
    for first in range(0, len(rows), 33):
        add(lake, rows[first : first + 33])
    for count in (1, 7, 50, 400):
        for arm in (None, "live", "none such"):
            wanted = sorted((row for row in rows if arm in (None, row[1])), key=lambda row: (-row[2], row[0]))[:count]
            where = {"arm": arm} if arm else None
            found = newest(lake, NAME, by="at", then="id", count=count, columns=("id", "arm", "at"), where=where)
            assert found["id"].to_pylist() == [row[0] for row in wanted], (count, arm)


def test_old_files_are_not_opened(lake, monkeypatch):
    for number in range(5):
        add(lake, [(f"{number}-{index}", "live", number * 100 + index) for index in range(10)])
    opened = []
    real = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda path, **options: opened.append(Path(path)) or real(path, **options))
    found = newest(lake, NAME, by="at", then="id", count=10, columns=("id", "at"))
    assert found["id"][0].as_py() == "4-9"
    assert len(opened) == 1


def test_an_unreadable_catalog_is_named(lake, tmp_path):
    catalog = tmp_path / "lake" / "catalog.db"
    catalog.write_bytes(b"not a database" * 100)
    again = lake
    with pytest.raises(ApplianceError, match="not a database") as caught:
        again.tables()
    assert caught.value.where == str(catalog)
