"""A real broker for all tests of this folder, and small sites whose readings come by its topics."""

import datetime as dt
import uuid

import kafka
import pytest

from appliance.config.model import StorageSection
from appliance.deploy.servers import kafka as broker
from appliance.ingestion import declarations, reading
from appliance.ingestion.schemas.folder import FolderRegistry
from appliance.ingestion.topics.connection import Connection
from appliance.ingestion.topics.producer import ReadingProducer, subject_of
from appliance.ingestion.topics.worker import TopicWorker
from appliance.secrets.secret import FileSecret
from tests.integration.servers.running import Servers
from tests.product import Product
from tests.small_site import MEASURES, SmallSite, batches

ARRIVAL = {"message.timestamp.type": "LogAppendTime"}


@pytest.fixture(scope="session")
def servers():
    made = Servers()
    try:
        made.up("kafka")
        yield made
    finally:
        made.remove()


@pytest.fixture
def connection(servers):
    return connection_of(servers, "admin")


@pytest.fixture
def admin(servers):
    client = kafka.KafkaAdminClient(**broker.client_settings(servers.place, "admin"))
    yield client
    client.close()


@pytest.fixture
def topic(admin):
    """A topic of the test's own, of three partitions."""
    return make_topic(admin)


@pytest.fixture
def site(tmp_path, connection, topic):
    return TopicSite(tmp_path / "site", connection, topic)


@pytest.fixture
def storage(servers):
    """Settings of a site with its data on the servers, which has nothing yet. `servers` must have them."""
    return StorageSection(**servers.data())


@pytest.fixture
def appliance(tmp_path, servers, admin, storage):
    """(such a site of the product, which takes a topic; a small site beside it that looks into its tables)."""
    topic = make_topic(admin)
    product = Product(tmp_path / "site")
    connection = connection_of(servers, "admin")
    settings = {
        "kafka.servers": connection.servers[0],
        "kafka.topic": topic,
        "kafka.group": f"sink-{topic}",
        "kafka.user": "admin",
        "kafka.password_file": str(connection.password),
        "kafka.ca_file": str(connection.ca_file),
        "kafka.commit_after": "1s",
    }
    for key in ("store", "store_secret_file", "store_ca_file", "catalog", "catalog_password_file", "catalog_ca_file"):
        settings[f"storage.{key}"] = getattr(storage, key)
    words = (word for key, value in settings.items() for word in ("--set", f"{key}={value}"))
    product.do("site", "init", *words)
    (product.folder / "declarations" / "measures.toml").write_text(MEASURES)
    schema = tmp_path / "reading.avsc"
    schema.write_text(reading.SCHEMA_JSON)
    product.do("schema", "register", subject_of(topic), schema, role="data-engineer")
    site = TopicSite(product.folder, connection, topic, storage=storage)
    return product, site


def connection_of(servers, role, /, **changes):
    given = {
        "servers": (servers.place.address("kafka"),),
        "user": role,
        "password": FileSecret(servers.place.secret_file(f"kafka-{role}")),
        "ca_file": servers.place.authority,
    }
    return Connection(**{**given, **changes})


def make_topic(admin, partitions=3, **configs):
    name = f"readings-{uuid.uuid4().hex[:8]}"
    admin.create_topics(
        {name: {"num_partitions": partitions, "replication_factor": 1, "configs": {**ARRIVAL, **configs}}},
        wait_for_metadata=True,
    )
    return name


class TopicSite(SmallSite):
    """A small site that takes a topic. The broker's clock is real, so the site's is only asked for alerts."""

    def __init__(self, folder, connection, topic, **settings):
        super().__init__(folder, now=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1), **settings)
        self.connection, self.topic = connection, topic
        self.schemas = FolderRegistry(folder / "schemas", levels={})
        self.schemas.register(subject_of(topic), "AVRO", reading.SCHEMA_JSON)

    def worker(self, **changes):
        given = {
            "connection": self.connection,
            "topic": self.topic,
            "group": f"sink-{self.topic}",
            "landing": self.landing,
            "schemas": self.schemas,
            "declared": declarations.load(self.declarations),
            "clock": self.clock,
            "commit_after_s": 1.0,
            "standing_folder": self.folder / "topics",
        }
        return TopicWorker(**{**given, **changes})

    def take(self, **options):
        return self.worker().run(until_end=True, **options)

    def send(self, *records):
        with ReadingProducer(self.connection, self.topic, self.schemas) as producer:
            return producer.send(batches(records))

    def raw_producer(self, **settings):
        return kafka.KafkaProducer(**self.connection.settings(), acks="all", **settings)
