"""One small demo site for all tests; a test that damages it works on a copy of its own."""

import shutil
from types import SimpleNamespace

import pytest

from tests.integration.product import Product, make_demo

REPLAYED = 250  # requests of shadow and canary; the product's own default is 2,000
# A tenth of so few devices may be none at all, and a canary that nobody asks has failed.
SMALL = (f"pipeline.replay_requests={REPLAYED}", "pipeline.canary_percent=40")
DEMO_SEED = 7  # fixed: on so few devices not every fleet lets a model pass its gates, at every hour of the day


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
