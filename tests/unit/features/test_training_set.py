"""Pinned training sets: identity by content, refusal of altered rows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.base.errors import ApplianceError
from appliance.features.training_set import ROWS, content_digest, open_training_set, pin
from appliance.governance.lineage import Lineage
from tests.synthetic import EntryList

TABLE = pa.table(
    {
        "entity": ["a", "b", None],
        "at": pa.array([1, 2, 3], pa.int64()).cast(pa.timestamp("us", "UTC")),
        "x": [1.5, None, float("nan")],
        "usable": [True, False, True],
        "label": pa.array([0, 1, 0], pa.int8()),
    }
)


@pytest.fixture
def pinned(tmp_path):
    lineage = Lineage(tmp_path / "lineage", EntryList())
    done = pin(
        TABLE,
        folder=tmp_path / "runs",
        site_folder=tmp_path,
        name="t",
        lineage=lineage,
        inputs=[],
        facts={"model": "t"},
        extras={"features": [{"name": "x"}]},
    )
    return lineage, done


def test_pin_then_open_gives_the_same_rows(pinned):
    lineage, done = pinned
    table, documents = open_training_set(done.folder, done.digest)
    assert table.equals(TABLE) or table.drop(["x"]).equals(TABLE.drop(["x"]))  # NaN is not equal to itself
    assert documents == {"features.json": b'[{"name":"x"}]'}
    document = lineage.load(done.lineage_id)
    assert (document.kind, document.facts["digest"], document.facts["rows"]) == ("training-set", done.digest, 3)
    assert [file.path.rpartition("/")[2] for file in document.files] == ["features.json", "rows.parquet"]


def test_pinning_twice_is_one_training_set(pinned, tmp_path):
    lineage, done = pinned
    again = pin(
        TABLE,
        folder=tmp_path / "runs",
        site_folder=tmp_path,
        name="t",
        lineage=lineage,
        inputs=[],
        facts={"model": "t"},
        extras={"features": [{"name": "x"}]},
    )
    assert again == done


def test_the_digest_is_of_the_content_and_not_of_the_file(pinned):
    _, done = pinned
    pq.write_table(TABLE, done.folder / ROWS, compression="none", row_group_size=1)
    open_training_set(done.folder, done.digest)


@pytest.mark.parametrize(
    "altered",
    [
        TABLE.set_column(2, "x", pa.array([1.5, None, 2.0])),
        TABLE.set_column(2, "x", pa.array([1.5, 0.0, float("nan")])),
        TABLE.set_column(0, "entity", pa.array(["ab", "", None])),
        TABLE.rename_columns(["entity", "at", "y", "usable", "label"]),
        TABLE.slice(0, 2),
        TABLE.take([1, 0, 2]),
        TABLE.set_column(4, "label", pa.array([0, 1, 0], pa.int16())),
    ],
    ids=["value", "null to zero", "text border", "name", "rows", "order", "type"],
)
def test_altered_rows_are_refused(pinned, altered):
    _, done = pinned
    pq.write_table(altered, done.folder / ROWS)
    with pytest.raises(ApplianceError, match="expected sha256:") as caught:
        open_training_set(done.folder, done.digest)
    assert caught.value.code.id == "APL-FEATURES-007"


def test_an_altered_document_is_refused(pinned):
    _, done = pinned
    (done.folder / "features.json").write_bytes(b'[{"name":"y"}]')
    with pytest.raises(ApplianceError) as caught:
        open_training_set(done.folder, done.digest)
    assert caught.value.code.id == "APL-FEATURES-007"


def test_an_empty_set_is_refused(tmp_path):
    with pytest.raises(ApplianceError, match="no rows") as caught:
        pin(
            TABLE.slice(0, 0),
            folder=tmp_path / "runs",
            site_folder=tmp_path,
            name="t",
            lineage=Lineage(tmp_path / "lineage", EntryList()),
            inputs=[],
            facts={},
        )
    assert caught.value.code.id == "APL-FEATURES-008"
    assert not (tmp_path / "runs").exists()


def test_chunks_do_not_count():
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    assert content_digest(chunked, {}) == content_digest(TABLE, {})
