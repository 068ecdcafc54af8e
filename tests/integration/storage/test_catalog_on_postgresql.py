"""The lake with its catalog on a real PostgreSQL: the same promises, and errors that name cause and fix in time."""

import dataclasses
import logging
import random
import subprocess
import threading
import time
import traceback

import pytest
from psycopg import sql

from appliance.base.errors import ApplianceError
from appliance.config.model import SecretsSection
from appliance.deploy.servers import postgresql
from appliance.deploy.servers.https import ask
from appliance.deploy.servers.place import HOST
from appliance.governance.lineage import Lineage
from appliance.secrets.secret import FileSecret
from appliance.secrets.settings import Secrets, entry_of
from appliance.storage.catalog import Database
from appliance.storage.files import SiteFiles
from appliance.storage.tables import Lake
from tests.contracts.evolution import EvolutionContract
from tests.contracts.lake import EMPTY, NAME, SCHEMA, LakeContract, rows
from tests.contracts.upkeep import UpkeepOfFoldersContract
from tests.integration.storage.killing import gone, kill, running_pid
from tests.integration.storage.listening import listening
from tests.ports import free_port
from tests.small_site import ListLog

LIMIT_S = 5.0
ROLE = "lake"
SECRET = "postgresql-lake"
KILLS = 3


@pytest.fixture(scope="session")
def server(site):
    """PostgreSQL with the lake's role and database, and a database that the role does not own."""
    site.up("postgresql")
    with postgresql.connect(site.place) as connection:
        connection.autocommit = True
        connection.execute("CREATE DATABASE foreign_lake")
    return site


@pytest.fixture
def database(server):
    """The lake's database with nothing in it, and nobody at work in it."""
    with postgresql.connect(server.place, database="lake") as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lake'")
        connection.execute("DROP OWNED BY lake")
    return Database(
        host=HOST,
        port=server.place.port("postgresql"),
        name="lake",
        role=ROLE,
        password=FileSecret(server.place.secret_file(SECRET)),
        authority=server.place.authority,
    )


@pytest.fixture
def open_on(tmp_path):
    return lambda database: Lake(
        tmp_path / "lake", SiteFiles(tmp_path), Lineage(tmp_path / "lineage", ListLog()), database
    )


@pytest.fixture
def open_lake(open_on, database):
    return lambda: open_on(database)


class TestOnPostgresql(LakeContract):
    pass


class TestEvolutionOnPostgresql(EvolutionContract):
    pass


class TestUpkeepOnPostgresql(UpkeepOfFoldersContract):
    pass


def test_the_site_holds_no_catalog_of_its_own(open_lake, tmp_path):
    open_lake().ensure(NAME, SCHEMA)
    assert not (tmp_path / "lake" / "catalog.db").exists()


def test_the_connection_is_encrypted_and_the_catalog_is_the_roles(server, open_lake, database):
    lake = open_lake()
    lake.ensure(NAME, SCHEMA)
    with postgresql.connect(server.place) as connection:
        asked = "SELECT DISTINCT version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = %s"
        assert connection.execute(asked, (database.name,)).fetchall() == [("TLSv1.3",)]
    with postgresql.connect(server.place, database=database.name) as connection:
        assert connection.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE tablename LIKE 'iceberg%'"
        ).fetchall() == [(ROLE,)]


def test_no_password_is_told(server, open_lake, database, caplog):
    """Not by the address, nor by what is logged at the lowest level, nor by what stands in the database."""
    password = server.place.secret(SECRET)
    with caplog.at_level(logging.DEBUG):
        lake = open_lake()
        lake.ensure(NAME, SCHEMA)
        lake.append(NAME, rows("a"), expected=lake.head(NAME), **EMPTY)
    told = [caplog.text, repr(database), str(database), repr(lake._catalog.engine), str(lake._catalog.properties)]
    assert [each for each in told if password in each] == []
    assert "lake" in told[1]


def refused(call, *words, hint, secrets=()):
    began = time.monotonic()
    with pytest.raises(ApplianceError) as caught:
        call()
    took = time.monotonic() - began
    assert caught.value.code.id == "APL-STORAGE-003", caught.value
    for word in words:
        assert word in str(caught.value)
    assert hint in caught.value.hint
    text = "".join(traceback.format_exception(caught.value))
    assert [secret for secret in secrets if secret in text] == []
    print(f"{took:.2f} s: {caught.value} - {caught.value.hint}")
    assert took < LIMIT_S


def test_a_wrong_password(server, open_on, database, tmp_path):
    (tmp_path / "wrong").write_text("wrong-wrong-wrong")
    (tmp_path / "wrong").chmod(0o600)
    wrong = dataclasses.replace(database, password=FileSecret(tmp_path / "wrong"))
    secrets = ("wrong-wrong-wrong", server.place.secret(SECRET))
    refused(lambda: open_on(wrong), "password authentication failed", hint=str(tmp_path / "wrong"), secrets=secrets)


@pytest.fixture(params=["file", "openbao"])
def renewed(request, server, tmp_path):
    """(the place of the password, what writes another one there)"""
    if request.param == "file":
        file = tmp_path / "password"
        file.write_text(server.place.secret(SECRET))
        file.chmod(0o600)
        yield FileSecret(file), file.write_text
        return
    server.up("openbao")
    entry = f"/v1/site/data/{entry_of('catalog', ROLE)}"
    token = {"X-Vault-Token": server.secret("openbao-root-token")}

    def write(text):
        answer = ask(server.place, "openbao", entry, method="POST", body={"data": {"value": text}}, headers=token)
        assert answer.status == 200, answer.body

    yield Secrets(SecretsSection(**server.openbao("ingest")), tmp_path).password_of("catalog", ROLE, ""), write
    write(server.place.secret(SECRET))


def test_a_password_that_is_renewed_counts_at_once(server, open_on, database, renewed):
    """The pool opens a new connection after the old one broke; it reads the password again."""
    place, write = renewed
    lake = open_on(dataclasses.replace(database, password=place))
    lake.ensure(NAME, SCHEMA)
    with postgresql.connect(server.place) as connection:
        connection.autocommit = True
        connection.execute("ALTER ROLE lake PASSWORD 'renewed'")
        asked = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        try:
            connection.execute(asked, (database.name,))
            refused(lambda: lake.head(NAME), hint=str(place))
            write("renewed")
            assert lake.head(NAME).snapshot_id is None
        finally:
            password = sql.Literal(server.place.secret(SECRET))
            connection.execute(sql.SQL("ALTER ROLE lake PASSWORD {}").format(password))


WRONG = {
    "an unknown role": ({"role": "nobody"}, "password authentication failed", "Check the role"),
    "an unknown database": ({"name": "none"}, "does not exist", "Make the database"),
    "a database of somebody else": ({"name": "foreign_lake"}, "permission denied", "right to make tables"),
    "a name that is not in the certificate": ({"host": "0.0.0.0"}, "certificate", "authority"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_wrong_address_or_role(open_on, database, case):
    change, words, hint = WRONG[case]
    refused(lambda: open_on(dataclasses.replace(database, **change)), words, hint=hint)


def test_another_authority(open_on, database, tmp_path):
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other"]
    files = ["-keyout", tmp_path / "key", "-out", tmp_path / "ca.pem"]
    subprocess.run([*words, *files], check=True, capture_output=True)
    for authority in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        wrong = dataclasses.replace(database, authority=authority)
        refused(lambda wrong=wrong: open_on(wrong), "certificate", hint=str(authority))


def test_nobody_listens(open_on, database):
    wrong = dataclasses.replace(database, port=free_port())
    refused(lambda: open_on(wrong), "Connection refused", f":{wrong.port}", hint="Start the database")


@pytest.mark.parametrize("answer", [b"", b"N"], ids=["a mute server", "a server without TLS"])
def test_who_answers_is_no_database_of_ours(open_on, database, answer):
    with listening(answer) as address:
        wrong = dataclasses.replace(database, port=int(address.partition(":")[2]))
        refused(lambda: open_on(wrong), hint="Start the database" if not answer else "TLS")


def test_a_password_file_that_is_missing(open_on, database, tmp_path):
    with pytest.raises(ApplianceError) as caught:
        open_on(dataclasses.replace(database, password=FileSecret(tmp_path / "none")))
    assert caught.value.code.id == "APL-STORAGE-014"


def test_a_database_that_stops_and_comes_back(server, open_lake):
    """Every call tells it; afterwards the same lake goes on from what was committed."""
    lake = open_lake()
    lake.ensure(NAME, SCHEMA)
    lake.append(NAME, rows("a"), expected=lake.head(NAME), **EMPTY)
    head = lake.head(NAME)
    server.down("postgresql")
    try:
        for call in (
            lambda: lake.head(NAME),
            lake.tables,
            lambda: lake.ensure(NAME, SCHEMA),
            lambda: lake.append(NAME, rows("b"), expected=head, **EMPTY),
            open_lake,
        ):
            refused(call, "Connection refused", hint="Start the database")
    finally:
        server.up("postgresql")
    assert lake.head(NAME) == head
    lake.append(NAME, rows("b"), expected=head, **EMPTY)
    assert sorted(lake.scan(NAME)["name"].to_pylist()) == ["a", "b"]


def test_nothing_is_lost_and_nothing_twice_when_the_database_is_killed(server, open_lake, seed):
    """kill -9 at any moment: whether a commit that broke off stands is told by the head, and only by the head."""
    lake, chance = open_lake(), random.Random(seed)
    lake.ensure(NAME, SCHEMA)

    def head():
        while True:
            try:
                return lake.head(NAME)
            except ApplianceError as error:
                codes.add(error.code.id)
                time.sleep(0.1)

    codes, end_s = set(), time.monotonic() + 120
    for _ in range(KILLS):
        pid = running_pid(server, "postgresql")
        killer = threading.Timer(chance.uniform(0.2, 0.8), kill, (pid,))
        killer.start()
        failed = False
        while not failed:
            assert time.monotonic() < end_s
            at = head()
            number = int(at.properties.get("appliance.count", "0"))
            said = {"appliance.count": str(number + 1)}
            try:
                lake.append(NAME, rows(f"{number:04d}"), expected=at, properties=said, inputs=[], facts={})
            except ApplianceError as error:
                codes.add(error.code.id)
                failed = True
            failed = failed or not killer.is_alive()
        killer.join()
        gone(pid, server, "postgresql")
    count = int(head().properties["appliance.count"])
    print(f"{count} commits, killed {KILLS} times; {sorted(codes)}")
    assert sorted(lake.scan(NAME)["name"].to_pylist()) == [f"{number:04d}" for number in range(count)]
    assert codes <= {"APL-STORAGE-003"}
