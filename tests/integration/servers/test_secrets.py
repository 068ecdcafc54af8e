"""Passwords in OpenBao: the suite of secrets, who may read what, every refusal, and a site that reads no file."""

import contextlib
import dataclasses
import socket
import time
from pathlib import Path

import hvac
import pytest

from appliance.config.model import SecretsSection
from appliance.deploy.servers import openbao_access, postgresql
from appliance.ingestion import reading
from appliance.ingestion.schemas.confluent import ConfluentRegistry
from appliance.ingestion.schemas.confluent import Connection as RegistryConnection
from appliance.ingestion.topics.connection import Connection
from appliance.ingestion.topics.producer import ReadingProducer, subject_of
from appliance.secrets.secret import EntrySecret
from appliance.secrets.settings import Secrets, role_file
from appliance.storage.s3.connection import KEPT_S
from tests.contracts.secrets import CODE, MARK, SecretContract, refused
from tests.integration.topics.on_servers import ended, sink
from tests.product import Product
from tests.small_site import MEASURES, batches, readings, record
from tests.sources import certificate

LIMIT_S = 5.0
SLACK_S = 5.0  # of a machine that does other things
MOUNT = "site"
READINGS = 4  # of a record
AWAY_S = KEPT_S + 3.0
SUITE = "suite/place"  # an entry that the role of the suite may read


@pytest.fixture(scope="module")
def bao(servers):
    """The administrator's stock client."""
    client = hvac.Client(
        url=f"https://{servers.place.address('openbao')}",
        token=servers.secret("openbao-root-token"),
        verify=str(servers.place.authority),
    )
    policy = f'path "{MOUNT}/data/{SUITE}" {{ capabilities = ["read"] }}'
    client.sys.create_or_update_policy("suite", policy)
    client.auth.approle.create_or_update_approle("suite", token_policies=["suite"], token_no_default_policy=True)
    place = servers.place
    place.keep_secret(role_file("suite", "role"), client.auth.approle.read_role_id("suite")["data"]["role_id"])
    place.keep_secret(role_file("suite", "secret"), new_secret_id(client))
    return client


def new_secret_id(client):
    return client.auth.approle.generate_secret_id("suite")["data"]["secret_id"]


def secrets_of(servers, role, **changes):
    return Secrets(SecretsSection(**servers.openbao(role) | changes), Path("/nowhere"))


@dataclasses.dataclass
class Kept:
    secret: EntrySecret
    client: hvac.Client
    gone: str = "APL-SECRETS-007"
    invalid: str = "APL-SECRETS-009"

    def write(self, text):
        value = {self.secret.field: text}
        self.client.secrets.kv.v2.create_or_update_secret(self.secret.path, value, mount_point=MOUNT)

    def remove(self):
        self.client.secrets.kv.v2.delete_metadata_and_all_versions(self.secret.path, mount_point=MOUNT)


@pytest.fixture(params=["value", "password"])
def kept(request, servers, bao):
    named = SUITE if request.param == "value" else f"{SUITE}#{request.param}"
    return Kept(secrets_of(servers, "suite").named(f"openbao:{named}"), bao)


class TestOpenBao(SecretContract):
    pass


ALL = {each.path for passwords in openbao_access.ROLES.values() for each in passwords}


@pytest.mark.parametrize("role", openbao_access.ROLES)
def test_a_role_reads_its_own_passwords_and_nothing_else(servers, role):
    own = {each.path for each in openbao_access.ROLES[role]}
    for path in ALL:
        secret = secrets_of(servers, role).named(f"openbao:{path}")
        if path in own:
            assert secret.read(code=CODE)
        else:
            assert refused(lambda: secret.read(code=CODE)).code.id == "APL-SECRETS-006", path  # noqa: B023
    client = hvac.Client(url=secret.server.address, verify=str(servers.place.authority))
    client.auth.approle.login(secret.server.role_id_file.read_text(), secret.server.secret_id_file.read_text())
    path = min(own)
    for forbidden in (
        lambda: client.secrets.kv.v2.create_or_update_secret(path, {"value": "x"}, mount_point=MOUNT),
        lambda: client.secrets.kv.v2.list_secrets("", mount_point=MOUNT),
        lambda: client.secrets.kv.v2.delete_latest_version_of_secret(path, mount_point=MOUNT),
        lambda: client.sys.list_policies(),
    ):
        with pytest.raises(hvac.exceptions.Forbidden):
            forbidden()


def test_what_the_entries_hold_is_what_the_servers_were_given(servers):
    files = {"kafka/ingest": "kafka-ingest", "store/site": "minio-site", "catalog/lake": "postgresql-lake"}
    for path, file in {**files, "registry/appliance": "nginx"}.items():
        assert secrets_of(servers, "ingest").named(f"openbao:{path}").read(code=CODE) == servers.secret(file)


def test_the_address_alone_is_enough_on_the_machine_of_the_servers(servers):
    section = SecretsSection(openbao=servers.openbao("ingest")["openbao"])
    secret = Secrets(section, servers.product.folder).password_of("kafka", "ingest", "")
    assert secret.read(code=CODE) == servers.secret("kafka-ingest")


def test_a_second_up_changes_nothing(servers, bao):
    def state():
        versions = {
            path: bao.secrets.kv.v2.read_secret_metadata(path, mount_point=MOUNT)["data"]["current_version"]
            for path in ALL
        }
        files = (servers.place.folder / "secrets").glob("openbao-*")
        return versions, {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in files}

    before = state()
    servers.up("openbao")
    assert state() == before
    assert {mode for _, mode in before[1].values()} == {0o600}


def test_up_mends_what_somebody_took_away(servers, bao):
    file = servers.place.secret_file(role_file("collector", "secret"))
    bao.auth.approle.destroy_secret_id("collector", file.read_text())
    bao.secrets.kv.v2.create_or_update_secret("kafka/collector", {"value": "other"}, mount_point=MOUNT)
    servers.up("openbao")
    secret = secrets_of(servers, "collector").named("openbao:kafka/collector")
    assert secret.read(code=CODE) == servers.secret("kafka-collector")


def file_with(folder, text, mode=0o600):
    path = folder / "given"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def revoked(servers, bao, folder):
    secret_id = new_secret_id(bao)
    bao.auth.approle.destroy_secret_id("suite", secret_id)
    return {"secret_id_file": file_with(folder, secret_id)}


def used_up(servers, bao, folder):
    """Of one use, which it had."""
    made = bao.adapter.post("/v1/auth/approle/role/suite/secret-id", json={"num_uses": 1})
    secret_id = made["data"]["secret_id"]
    bao.auth.approle.login(bao.auth.approle.read_role_id("suite")["data"]["role_id"], secret_id, use_token=False)
    return {"secret_id_file": file_with(folder, secret_id)}


def stranger(servers, bao, folder):
    return {"ca_file": str(certificate(folder / "other", "127.0.0.1").with_name("other.ca"))}


# case -> code, what is other than it should be, the entry.
REFUSED = {
    "nobody listens": ("APL-SECRETS-002", lambda *_: {"openbao": "https://127.0.0.1:9"}, SUITE),
    "another authority": ("APL-SECRETS-003", stranger, SUITE),
    "no file of an authority": ("APL-SECRETS-003", lambda *_: {"ca_file": "/nowhere/ca.pem"}, SUITE),
    "a name that is not in the certificate": (
        "APL-SECRETS-003",
        lambda servers, *_: {"openbao": f"https://0.0.0.0:{servers.place.port('openbao')}"},
        SUITE,
    ),
    "a wrong secret id": (
        "APL-SECRETS-005",
        lambda servers, bao, folder: {"secret_id_file": file_with(folder, MARK)},
        SUITE,
    ),
    "a wrong role id": (
        "APL-SECRETS-005",
        lambda servers, bao, folder: {"role_id_file": file_with(folder, MARK)},
        SUITE,
    ),
    "a secret id that was revoked": ("APL-SECRETS-005", revoked, SUITE),
    "a secret id that has ended": ("APL-SECRETS-005", used_up, SUITE),
    "no secret id": ("APL-SECRETS-005", lambda *_: {"secret_id_file": "/nowhere/id"}, SUITE),
    "a secret id that others may read": (
        "APL-SECRETS-005",
        lambda servers, bao, folder: {"secret_id_file": file_with(folder, MARK, 0o644)},
        SUITE,
    ),
    "an entry of another role": ("APL-SECRETS-006", lambda *_: {}, "kafka/ingest"),
    "an entry that nobody allowed": ("APL-SECRETS-006", lambda *_: {}, "suite/other"),
    "another engine": ("APL-SECRETS-006", lambda *_: {"mount": "other"}, SUITE),
    "no such field": ("APL-SECRETS-007", lambda *_: {}, f"{SUITE}#other"),
    "another server": (
        "APL-SECRETS-008",
        lambda servers, *_: {"openbao": f"https://{servers.place.address('minio')}"},
        SUITE,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_told_with_its_cause_within_seconds(servers, bao, tmp_path, caplog, case):
    caplog.set_level("DEBUG")
    code, change, entry = REFUSED[case]
    bao.secrets.kv.v2.create_or_update_secret(SUITE, {"value": MARK}, mount_point=MOUNT)
    secret = secrets_of(servers, "suite", **change(servers, bao, tmp_path)).named(f"openbao:{entry}")
    began = time.monotonic()
    error = refused(lambda: secret.read(code=CODE))
    assert time.monotonic() - began < LIMIT_S + SLACK_S
    assert error.code.id == code, error
    assert MARK not in caplog.text


def test_an_entry_whose_newest_version_was_deleted_is_missing(servers, bao):
    secret = secrets_of(servers, "suite").named(f"openbao:{SUITE}")
    bao.secrets.kv.v2.create_or_update_secret(SUITE, {"value": MARK}, mount_point=MOUNT)
    bao.secrets.kv.v2.delete_latest_version_of_secret(SUITE, mount_point=MOUNT)
    assert refused(lambda: secret.read(code=CODE)).code.id == "APL-SECRETS-007"


def test_a_server_that_says_nothing_is_given_up(servers, bao):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        secret = secrets_of(servers, "suite", openbao=address).named(f"openbao:{SUITE}")
        began = time.monotonic()
        assert refused(lambda: secret.read(code=CODE)).code.id == "APL-SECRETS-002"
        assert time.monotonic() - began < LIMIT_S + SLACK_S


def test_a_process_reads_on_when_its_token_was_revoked_and_when_the_server_was_sealed(servers, bao):
    """The very same place, all the time."""
    secret = secrets_of(servers, "suite").named(f"openbao:{SUITE}")
    bao.secrets.kv.v2.create_or_update_secret(SUITE, {"value": MARK}, mount_point=MOUNT)
    assert secret.read(code=CODE) == MARK
    bao.sys.revoke_prefix("auth/approle/login")
    assert secret.read(code=CODE) == MARK
    bao.sys.seal()
    try:
        began = time.monotonic()
        assert refused(lambda: secret.read(code=CODE)).code.id == "APL-SECRETS-004"
        assert time.monotonic() - began < LIMIT_S + SLACK_S
    finally:
        servers.down("openbao")  # it unseals itself when it starts
        servers.up("openbao")
    assert secret.read(code=CODE) == MARK


@pytest.fixture
def product(servers, tmp_path):
    """A site of the role ingest with all its data on the servers; its settings name no password."""
    with postgresql.connect(servers.place, database="lake") as connection:
        connection.execute("DROP OWNED BY lake")
    place = servers.place
    given = {
        "kafka.servers": place.address("kafka"),
        "kafka.commit_after": "1s",
        "log.level": "DEBUG",
        "storage.store": place.address("minio"),
        "storage.catalog": f"postgresql://lake@{place.address('postgresql')}/lake",
        "schemas.registry": f"https://{place.address('nginx')}/apis/ccompat/v7",
        "schemas.user": "appliance",
        **{f"{each}_ca_file": place.authority for each in ("storage.store", "storage.catalog")},
        **{f"{each}.ca_file": place.authority for each in ("kafka", "schemas")},
    }
    given |= {f"secrets.{name}": value for name, value in servers.openbao("ingest").items()}
    made = Product(tmp_path / "site")
    made.do("site", "init", *(word for key, value in given.items() for word in ("--set", f"{key}={value}")))
    (made.folder / "declarations" / "measures.toml").write_text(MEASURES)
    return made


@contextlib.contextmanager
def collector(servers):
    """Sends readings of a device; it has a role of its own."""
    schemas = ConfluentRegistry(
        RegistryConnection(
            url=f"https://{servers.place.address('nginx')}/apis/ccompat/v7",
            authority=servers.place.authority,
            user="appliance",
            password=secrets_of(servers, "ingest").password_of("registry", "appliance", ""),
        ),
        levels={},
    )
    connection = Connection(
        servers=(servers.place.address("kafka"),),
        user="collector",
        password=secrets_of(servers, "collector").password_of("kafka", "collector", ""),
        ca_file=servers.place.authority,
    )
    try:
        with ReadingProducer(connection, "readings", schemas) as producer:
            yield lambda device: producer.send(batches([record(device, 0, readings(READINGS))]))
    finally:
        schemas.close()


def register(product, folder):
    schema = folder / "reading.avsc"
    schema.write_text(reading.SCHEMA_JSON)
    product.do("schema", "register", subject_of("readings"), schema, role="data-engineer")


def in_the_lake(product):
    return {each["table"]: each["rows"] for each in product.do("table", "list")["tables"]}.get("silver.readings", 0)


def wait_for(done, patience_s=120):
    end = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.5)


def test_readings_come_from_the_broker_into_the_lake_and_no_password_is_in_a_file(servers, product, tmp_path):
    given = [servers.secret(file) for file in ("kafka-ingest", "minio-site", "postgresql-lake", "nginx")]
    given.append(servers.secret(role_file("ingest", "secret")))
    with servers.without_secrets("kafka-*", "minio*", "postgresql-lake", "nginx"):
        checked = product.do("site", "check")
        assert checked["problems"] == []
        register(product, tmp_path)
        with collector(servers) as send:
            send("tx-1")
        taken = product.do("ingest", "topic", "--until-end", role="data-engineer")["taken"]
        assert taken["accepted"] == in_the_lake(product) >= READINGS, taken
        shown = str(product.do("site", "show"))
    logs = [*servers.place.logs.rglob("*"), servers.place.folder / "openbao" / "audit.log"]
    written = [path for path in (*product.folder.rglob("*"), *logs) if path.is_file()]
    found = [(path, each) for path in written for each in given if each.encode() in path.read_bytes()]
    assert found == [], "a secret in a file"
    assert not any(each in shown for each in given)


def test_a_worker_waits_for_an_openbao_that_was_there(servers, product, tmp_path):
    register(product, tmp_path)
    with collector(servers) as send:
        send("tx-2")
        running = sink(product)
        try:
            wait_for(lambda: in_the_lake(product) >= READINGS)
            before = in_the_lake(product)
            servers.down("openbao")
            try:
                send("tx-3")
                assert ended(running, AWAY_S) is None
            finally:
                servers.up("openbao")
            wait_for(lambda: in_the_lake(product) == before + READINGS)
        finally:
            running.terminate()
            said = running.communicate(timeout=60)[1]
    assert running.returncode == 0, said
    assert "waiting for a server: APL-SECRETS-002" in (product.folder / "logs" / "appliance.jsonl").read_text()


# change of a setting -> what the check says
TOLD = {
    "no such entry": ({"kafka__user": "nobody"}, "kafka.password_file: APL-SECRETS-006"),
    "a text that names no place": ({"kafka__password_file": "openbao:"}, "kafka.password_file: APL-SECRETS-001"),
    "nobody listens": ({"secrets__openbao": "https://127.0.0.1:9"}, "storage.catalog_password_file: APL-SECRETS-002"),
    "the role of another": ({"role": "auditor"}, "storage.catalog_password_file: APL-SECRETS-006"),
}


@pytest.mark.parametrize("case", TOLD)
def test_the_check_of_a_site_asks_openbao(servers, product, case):
    changes, said = TOLD[case]
    if "role" in changes:
        changes = {f"secrets__{name}": value for name, value in servers.openbao(changes["role"]).items()}
    product.set(**changes)
    ended = product.run("site", "check")
    assert ended.code == 4
    assert any(each.startswith(said) for each in ended.printed["problems"]), ended.printed["problems"]
