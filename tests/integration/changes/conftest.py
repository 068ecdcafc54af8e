"""Real Kafka, Connect with Debezium and PostgreSQL for all tests of this folder; a source and a site for each test."""

import contextlib
import secrets
import subprocess
import time

import psycopg
import pytest
from psycopg import sql

from appliance.base.clock import SystemClock
from appliance.config.site import open_site
from appliance.deploy.servers import postgresql
from appliance.wiring.parts import Parts
from tests.integration.servers.running import Servers
from tests.product import ENVIRONMENT, Product, command

PASSWORD = "a-password-of-the-source"
TABLES = """
CREATE TABLE transformers (
    id int PRIMARY KEY,
    name text NOT NULL,
    rating numeric(9, 3),
    commissioned date,
    inspected timestamptz,
    moved_at timestamp(3),
    opens time,
    oil_filled boolean,
    phases smallint,
    weight real,
    serial uuid,
    facts jsonb,
    photo bytea,
    taps int[],
    price numeric
);
CREATE TABLE links (feeder text, transformer int, share double precision, PRIMARY KEY (feeder, transformer));
"""


def until(holds, seconds=60.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.5)


@pytest.fixture(scope="session")
def servers():
    made = Servers()
    try:
        made.up("kafka", "connect", "postgresql")
        sources = made.product.folder / "keys" / "sources"
        (sources / "capture").write_text(PASSWORD)
        (sources / "capture").chmod(0o600)
        with postgresql.connect(made.place) as admin:
            admin.execute(sql.SQL("CREATE ROLE capture LOGIN REPLICATION PASSWORD {}").format(sql.Literal(PASSWORD)))
        yield made
    finally:
        made.remove()


@pytest.fixture
def register(servers):
    """A database of the test's own that has what a connector needs."""
    made = Register(servers)
    yield made
    made.drop()


@pytest.fixture
def site(tmp_path, servers, register):
    made = CaptureSite(tmp_path / "site", servers)
    made.follow(register)
    yield made
    made.remove()


class Register:
    """The source: its administrator's connection, and what the tables hold."""

    def __init__(self, servers, tables=TABLES):
        self._servers = servers
        self.name = f"register_{secrets.token_hex(4)}"
        with postgresql.connect(servers.place) as admin:
            admin.autocommit = True
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))
        self.connection = self._connect()
        self.do(tables)
        self.do(
            """
            ALTER TABLE transformers REPLICA IDENTITY FULL;
            ALTER TABLE links REPLICA IDENTITY FULL;
            CREATE SCHEMA appliance;
            CREATE TABLE appliance.signals (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(8192));
            GRANT USAGE ON SCHEMA appliance TO capture;
            GRANT SELECT, INSERT ON appliance.signals TO capture;
            GRANT SELECT ON transformers, links TO capture;
            CREATE PUBLICATION appliance FOR TABLE transformers, links, appliance.signals;
            """
        )

    def _connect(self):
        made = postgresql.connect(self._servers.place, database=self.name)
        made.autocommit = True
        return made

    def do(self, query, *values):
        """Run it; begins a new connection where the server was started again."""
        try:
            return self.connection.execute(query, values or None)
        except psycopg.OperationalError:
            self.connection = self._connect()
            return self.connection.execute(query, values or None)

    def rows(self, table):
        """All rows of a table, as the columns' Python values, in the order of the first two columns."""
        cursor = self.do(f"SELECT * FROM {table}")
        names = [each.name for each in cursor.description]
        return sorted((dict(zip(names, row, strict=True)) for row in cursor), key=lambda row: [*row.values()][:2])

    def drop(self):
        self.connection.close()
        until(self._dropped)

    def _dropped(self):
        """Whether it is gone; not while Connect's task still holds the slot."""
        with contextlib.suppress(psycopg.Error), postgresql.connect(self._servers.place) as admin:
            admin.autocommit = True
            slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s"
            admin.execute(slots, (self.name,))
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)))
            return True
        return False


class CaptureSite:
    """A site of the product that captures a register; its commands run in processes of their own."""

    def __init__(self, folder, servers):
        place = servers.place
        self.product = Product(folder)
        settings = {
            "kafka.servers": place.address("kafka"),
            "kafka.password_file": place.secret_file("kafka-ingest"),
            "kafka.ca_file": place.authority,
            "kafka.commit_after": "1s",
            "connect.url": f"https://{place.address('connect')}",
            "connect.ca_file": place.authority,
            "connect.certificate_file": place.certificate("operator"),
            "connect.key_file": place.key("operator"),
        }
        self.product.do(
            "site", "init", *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))
        )
        self.declared = {
            "host": '"127.0.0.1"',
            "port": place.port("postgresql"),
            "user": '"capture"',
            "password_file": f'"{servers.product.folder}/keys/sources/capture"',
            "ca_file": f'"{place.authority}"',
            "chunk_rows": 100,
            "heartbeat": '"1s"',
        }
        self.tables = {"public.transformers": "transformers", "public.links": "links"}

    def follow(self, register):
        """Declare a connector for the register, and for nothing else."""
        self.connector = register.name.replace("_", "-")
        self.declared["database"] = f'"{register.name}"'
        for path in (self.product.folder / "declarations").glob("connectors/*.toml"):
            path.unlink()
        self.declare()

    @property
    def connectors(self):
        """The part that the commands use, in this process."""
        return Parts(site=open_site(self.product.folder), clock=SystemClock()).connectors

    def status(self):
        return self.connectors.status(self.connector)

    def declare(self, **changes):
        """Write the declaration, with other values of its section."""
        lines = [f"{key} = {value}" for key, value in {**self.declared, **changes}.items()]
        tables = [f'"{source}" = "{name}"' for source, name in self.tables.items()]
        text = "\n".join(['kind = "changes"', "[changes]", *lines, "[changes.tables]", *tables, ""])
        folder = self.product.folder / "declarations" / "connectors"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.connector}.toml").write_text(text)

    def do(self, verb, *words):
        return self.product.do("connector", verb, self.connector, *words, role="data-engineer")

    def start(self, verb, *words):
        """A command that runs on; gives its process."""
        words = command(
            "connector", verb, self.connector, *words, "--site", self.product.folder, "--as", "data-engineer"
        )
        return subprocess.Popen(
            words, cwd=self.product.folder.parent, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def fail(self, verb, *words):
        """A command that is refused; gives the ended process."""
        ended = self.product.run("connector", verb, self.connector, *words, role="data-engineer")
        assert ended.code != 0
        return ended

    def lake(self):
        return Parts(site=open_site(self.product.folder), clock=SystemClock()).lake

    def rows(self, table):
        """The source's columns of a table in the lake, as `Register.rows` gives them."""
        found = self.lake().scan(f"silver.{table}").to_pylist()
        rows = [{name: value for name, value in row.items() if not name.startswith("_")} for row in found]
        return sorted(rows, key=lambda row: [*row.values()][:2])

    def changes(self, table):
        """All changes of a table in the lake, in their order."""
        return sorted(self.lake().scan(f"bronze.{table}").to_pylist(), key=lambda row: row["_position"])

    def remove(self):
        self.product.run("connector", "remove", self.connector, "--yes", role="data-engineer")
