"""Columns change, over the catalog in the site's folder, and what a declaration may say."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Lineage
from appliance.storage.evolution import Column, load_columns
from appliance.storage.files import SiteFiles
from appliance.storage.tables import Lake
from tests.contracts.evolution import EvolutionContract
from tests.small_site import ListLog


@pytest.fixture
def open_lake(tmp_path):
    return lambda: Lake(tmp_path / "lake", SiteFiles(tmp_path), Lineage(tmp_path / "lineage", ListLog()))


class TestOnSqlite(EvolutionContract):
    pass


def test_a_declaration_is_read(tmp_path):
    path = tmp_path / "plant.toml"
    path.write_text('[[column]]\nid = 1\nname = "a"\ntype = "int"\n[[column]]\nid = 2\nname = "b"\ntype = "long"\n')
    assert load_columns(path) == (Column(id=1, name="a", type="int"), Column(id=2, name="b", type="long"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "column = 1",
        '[[column]]\nid = "1"\nname = "a"\ntype = "int"',
        "[[column]]\nid = 1",
        "[[",
        "[[column]]\nx = 1",
    ],
)
def test_a_declaration_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "plant.toml"
    path.write_text(text)
    with pytest.raises(ApplianceError) as caught:
        load_columns(path)
    assert (caught.value.code.id, caught.value.where) == ("APL-STORAGE-031", str(path))
