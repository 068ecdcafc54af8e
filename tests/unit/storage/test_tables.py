"""The lake with its catalog in the site's folder."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.governance.lineage import Lineage
from appliance.storage.files import SiteFiles
from appliance.storage.tables import Lake
from tests.contracts.lake import NAME, LakeContract
from tests.small_site import ListLog


@pytest.fixture
def open_lake(tmp_path):
    return lambda: Lake(tmp_path / "lake", SiteFiles(tmp_path), Lineage(tmp_path / "lineage", ListLog()))


class TestOnSqlite(LakeContract):
    pass


def test_a_damaged_catalog_is_named(open_lake, tmp_path):
    lake = open_lake()
    (tmp_path / "lake" / "catalog.db").write_bytes(b"no database" * 1000)
    for call in (open_lake, lambda: lake.head(NAME), lake.tables):
        with pytest.raises(ApplianceError) as caught:
            call()
        assert caught.value.code.id == "APL-STORAGE-003"
        assert caught.value.where == str(tmp_path / "lake" / "catalog.db")
        assert "lake/catalog.db" in caught.value.hint
