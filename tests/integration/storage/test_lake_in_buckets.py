"""The lake's files in a bucket of MinIO, the catalog in a file or on PostgreSQL: the same promises as in a folder."""

import pytest

from appliance.governance.lineage import Lineage
from appliance.storage.files import LAKE, SiteFiles
from appliance.storage.s3.files import BucketFiles
from appliance.storage.s3.site import properties_of
from appliance.storage.tables import Lake
from tests.contracts.evolution import EvolutionContract
from tests.contracts.lake import LakeContract
from tests.contracts.upkeep import UpkeepContract
from tests.small_site import ListLog

pytestmark = pytest.mark.integration


class BucketHands:
    """What somebody does who may write to the bucket."""

    def __init__(self, place, files):
        self._place, self._files = place, files

    def change(self, name, data):
        self.lose(name)
        with self._files.writing(name) as file:
            file.write(data)

    def lose(self, name):
        self._files.remove(name)


@pytest.fixture
def place(minio):
    return minio.make()


@pytest.fixture
def files(tmp_path, minio, place):
    server = minio.server()
    return SiteFiles(tmp_path, {LAKE: BucketFiles.of(server, place.bucket)}, properties_of(server))


@pytest.fixture
def open_lake(tmp_path, files):
    return lambda: Lake(tmp_path / "lake", files, Lineage(tmp_path / "lineage", ListLog()))


class OfABucket:
    @pytest.fixture
    def hands(self, place, files):
        return BucketHands(place, files)


class TestLakeInABucket(LakeContract):
    pass


class TestEvolutionInABucket(EvolutionContract):
    pass


class TestUpkeepInABucket(OfABucket, UpkeepContract):
    pass
