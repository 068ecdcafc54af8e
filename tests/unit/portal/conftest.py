"""One small real site for all tests of the portal; those that change it make their own."""

import pytest
from starlette.testclient import TestClient

from appliance.base.clock import SystemClock
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.portal.app import Portal
from appliance.portal.view import PortalData
from tests.portal_site import make_site


def client_of(site):
    application = Portal(PortalData(site, SystemClock())).application
    return TestClient(application, base_url="http://127.0.0.1:8480", raise_server_exceptions=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("portal") / "site")


@pytest.fixture(scope="session")
def client(site):
    return client_of(site)


@pytest.fixture(scope="session")
def empty_client(tmp_path_factory):
    """A site in which nothing has happened yet."""
    folder = tmp_path_factory.mktemp("portal-empty") / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    return client_of(open_site(folder))


@pytest.fixture
def own_site(tmp_path):
    return make_site(tmp_path / "site")
