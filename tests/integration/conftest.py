"""One small demo site for all tests, and what runs side by side. A test that damages the site works on a copy."""

import shutil
from pathlib import PurePosixPath
from types import SimpleNamespace

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.integration.product import Product, make_demo

SHARE_NOTHING = ("trust", "test_key_stores.py")
SHARE_SERVERS = ("changes", "servers", "storage")  # folders; elsewhere a file has its own, or one that is up in seconds
ON_THE_DEMO = ("test_reproduce.py", "test_verify.py", "test_verify_after_upkeep.py")
REPLAYED = 250  # requests of shadow and canary; the product's own default is 2,000
# A tenth of so few devices may be none at all, and a canary that nobody asks has failed.
SMALL = (f"pipeline.replay_requests={REPLAYED}", "pipeline.canary_percent=40")
DEMO_SEED = 7  # fixed: on so few devices not every fleet lets a model pass its gates, at every hour of the day


def pytest_xdist_make_scheduler(config, log):
    """With `-n`: tests that share something costly run in one process, one after the other."""
    return SideBySide(config, log)


class SideBySide(LoadScopeScheduling):
    def _split_scope(self, nodeid):
        place = PurePosixPath(nodeid.partition("::")[0]).relative_to("tests/integration")
        if place.parts[0] in SHARE_NOTHING:
            return nodeid
        if str(place) in ON_THE_DEMO:
            return "demo"
        return str(place.parent if place.parts[0] in SHARE_SERVERS else place)


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """`site`, and what `appliance demo run --json` printed. Nothing of it runs any more. Read only."""
    folder = tmp_path_factory.mktemp("demo") / "site"
    product, printed = make_demo(folder, seed=DEMO_SEED, settings=SMALL)
    return SimpleNamespace(product=product, folder=folder, printed=printed, prediction=printed["prediction_id"])


@pytest.fixture
def copied(demo, tmp_path):
    """A copy of the demo site, for tests of verification: tables of a copy can be read but not written."""
    folder = tmp_path / "site"
    shutil.copytree(demo.folder, folder)
    return Product(folder)
