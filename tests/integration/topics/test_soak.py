"""Three minutes of a steady load; `make proof-soak` takes half an hour, and twice the load with an outage."""

import pytest

from tests.integration.topics.conftest import connection_of, make_topic
from tests.integration.topics.soak import prepare, soak

pytestmark = pytest.mark.integration


def test_nothing_grows_while_readings_come_in(tmp_path, servers, admin):
    connection, topic = connection_of(servers, "admin"), make_topic(admin)
    product = prepare(tmp_path / "site", connection, topic)
    soak(product, connection, topic, rate=5_000, seconds=180, growth=4.0)
