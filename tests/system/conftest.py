"""One small demo site for all tests. A test that damages the site works on a copy."""

import shutil
from types import SimpleNamespace

import pytest

from tests.product import DEMO_SEED, SMALL, Product, make_demo
from tests.side_by_side import SideBySide, longest_first


def pytest_xdist_make_scheduler(config, log):
    return SideBySide(config, log)


def pytest_collection_modifyitems(items):
    items[:] = longest_first(items)


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
