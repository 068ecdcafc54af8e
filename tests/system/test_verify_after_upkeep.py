"""A prediction is verified as far as can be after upkeep removed the files that its readings and its record came in."""

import shutil
import sys

import pytest

from tests.product import Product
from tests.system.flips import verify

pytestmark = pytest.mark.integration

# Tables name their files by absolute paths: the copy is kept up in the place of the site that it is a copy of.
IN_PLACE = ["unshare", "-m", "--", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"']
SETTINGS = '\n[storage]\nretain_files = "1us"\n'


@pytest.fixture(scope="module")
def kept_up(demo, tmp_path_factory):
    """A copy of the demo site whose small files were rewritten, and removed as soon as it could be."""
    if shutil.which("unshare") is None or sys.platform != "linux":
        pytest.skip("needs mount namespaces")
    folder = tmp_path_factory.mktemp("kept-up") / "site"
    shutil.copytree(demo.folder, folder)
    with (folder / "site.toml").open("a") as file:
        file.write(SETTINGS)
    done = [
        Product(demo.folder).do("table", "upkeep", "--keep", keep, prefix=[*IN_PLACE, folder, demo.folder])["tables"]
        for keep in ("20", "1")
    ]
    return folder, done


def test_upkeep_removed_files_of_the_readings(kept_up):
    folder, (_, second) = kept_up
    removed = {each["table"]: [file["path"] for file in each["remove_replaced"]] for each in second}
    assert len(removed["silver.readings"]) >= 4
    assert not any((folder / path).exists() for paths in removed.values() for path in paths)


def test_the_prediction_is_verified_without_what_was_removed(kept_up, demo):
    folder, (_, second) = kept_up
    verdict = verify(folder, demo.prediction)
    assert verdict.ok, verdict.text()
    (readings,) = (each for each in second if each["table"] == "silver.readings")
    said = " ".join(each for each in verdict.not_established if "removed on" in each)
    assert all(file["path"] in said for file in readings["remove_replaced"])
    assert "rows stand in lake/silver/readings/data/" in said


def test_the_score_still_follows_from_the_rows_that_stand(kept_up, demo):
    """The online store held all readings of the compaction, so its file has exactly the rows that the features need."""
    verdict = verify(kept_up[0], demo.prediction)
    assert any("the score of the prediction follow from the raw readings" in each for each in verdict.established)


def test_a_missing_file_that_upkeep_did_not_remove_is_broken(kept_up, demo, tmp_path):
    folder = tmp_path / "site"
    shutil.copytree(kept_up[0], folder)
    files = [
        link.path for link in verify(folder, demo.prediction).links if link.path.startswith("lake/silver/readings")
    ]
    (folder / files[0]).unlink()
    assert files[0] in {link.path for link in verify(folder, demo.prediction).broken}
