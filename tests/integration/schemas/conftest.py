"""A real registry, Apicurio behind nginx, for all tests of this folder."""

import uuid

import pytest

from appliance.ingestion.schemas.confluent import ConfluentRegistry, Connection
from appliance.secrets.secret import FileSecret
from tests.contracts.registry import levels
from tests.integration.servers.running import Servers


@pytest.fixture(scope="session")
def site():
    made = Servers()
    try:
        made.up("nginx")
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def run():
    return uuid.uuid4().hex[:8]


@pytest.fixture
def connection(site):
    return Connection(
        url=f"https://{site.place.address('nginx')}/apis/ccompat/v7",
        authority=site.place.authority,
        user="appliance",
        password=FileSecret(site.place.secret_file("nginx")),
    )


@pytest.fixture
def open_registry(connection, run):
    made = []

    def open():
        made.append(ConfluentRegistry(connection, levels=levels(run)))
        return made[-1]

    yield open
    for each in made:
        each.close()


@pytest.fixture
def registry(open_registry):
    return open_registry()
