"""Stock clients work, and who has a wrong password, no certificate or another authority is refused."""

import base64
import http.client
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid

import hvac
import kafka
import pytest
from kafka.admin import NewTopic

from appliance.deploy.servers import mosquitto, postgresql
from appliance.deploy.servers.https import NotReadyError, ask
from appliance.deploy.servers.kafka import ADMIN, client_settings
from appliance.deploy.servers.place import HOST

SCHEMA = {"type": "record", "name": "Reading", "fields": [{"name": "value", "type": "double"}]}


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """An authority that has nothing to do with the site: certificate and key."""
    folder = tmp_path_factory.mktemp("stranger")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kafka"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "ca.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, *files], check=True, capture_output=True)
    return folder / "ca.pem", folder / "key.pem"


def get(servers, port, path, *, context, headers=None, data=None):
    """Status and body of one request, by the standard library alone."""
    request = urllib.request.Request(f"https://{servers.place.address(port)}{path}", data=data, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class TestObjectStore:
    def test_mc_writes_and_reads_an_object_that_is_encrypted_on_the_drive(self, servers):
        bucket, secret = f"site/b{uuid.uuid4().hex[:8]}", uuid.uuid4().hex.encode() * 100
        assert servers.mc("mb", "--with-lock", bucket).returncode == 0
        assert servers.mc("pipe", f"{bucket}/object", stdin=secret).returncode == 0
        assert servers.mc("cat", f"{bucket}/object").stdout == secret
        stat = json.loads(servers.mc("stat", f"{bucket}/object").stdout)
        assert "aws:kms" in json.dumps(stat)
        drive = servers.place.folder / "minio" / "data"
        assert [path for path in drive.rglob("*") if path.is_file() and secret[:32] in path.read_bytes()] == []

    def test_a_wrong_password_is_refused(self, servers):
        done = servers.mc("ls", "site", password="wrong-wrong-wrong")
        assert done.returncode != 0
        assert b"signature" in done.stdout.lower() or b"access" in done.stdout.lower(), done.stdout

    def test_a_client_that_does_not_trust_the_site_goes_no_further(self, servers):
        done = servers.mc("ls", "site", trusted=False)
        assert done.returncode != 0
        assert b"certificate" in done.stdout, done.stdout


class TestBroker:
    def test_a_record_comes_back(self, servers):
        settings, topic = client_settings(servers.place, ADMIN), f"t-{uuid.uuid4().hex[:8]}"
        admin = kafka.KafkaAdminClient(**settings)
        admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        admin.close()
        producer = kafka.KafkaProducer(**settings, acks="all", enable_idempotence=True)
        producer.send(topic, b"reading").get(timeout=20)
        producer.close()
        consumer = kafka.KafkaConsumer(topic, **settings, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
        assert next(consumer).value == b"reading"
        consumer.close()

    @pytest.mark.parametrize(
        "change",
        [
            {"sasl_plain_password": "wrong"},
            {"sasl_plain_username": "nobody"},
            {"security_protocol": "SSL"},
            {"security_protocol": "PLAINTEXT"},
            {"security_protocol": "SASL_PLAINTEXT"},
        ],
        ids=["wrong password", "unknown user", "no password", "no TLS", "password without TLS"],
    )
    def test_who_does_not_show_who_he_is_is_refused(self, servers, change):
        with pytest.raises(kafka.errors.KafkaError):
            kafka.KafkaAdminClient(**{**client_settings(servers.place, ADMIN), **change})

    def test_another_authority_is_not_believed(self, servers, stranger):
        with pytest.raises(kafka.errors.KafkaError):
            kafka.KafkaAdminClient(**{**client_settings(servers.place, ADMIN), "ssl_cafile": str(stranger[0])})

    @pytest.mark.parametrize("shown", ["nothing", "another authority's"])
    def test_the_controller_asks_for_a_certificate_of_the_site(self, servers, stranger, shown):
        words = ["openssl", "s_client", "-connect", servers.place.address("kafka-controller"), "-tls1_2"]
        if shown != "nothing":
            words += ["-cert", str(stranger[0]), "-key", str(stranger[1])]
        done = subprocess.run(words, input=b"", capture_output=True, timeout=20)
        assert b"alert" in done.stderr, done.stderr
        own = ["-cert", str(servers.place.certificate("kafka")), "-key", str(servers.place.key("kafka"))]
        done = subprocess.run([*words[:5], *own], input=b"", capture_output=True, timeout=20)
        assert b"alert" not in done.stderr, done.stderr


class TestDatabase:
    def test_psql_works_and_the_connection_is_encrypted(self, servers):
        done = servers.psql("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert (done.returncode, done.stdout.strip()) == (0, "TLSv1.3"), done.stderr

    def test_passwords_are_kept_as_scram(self, servers):
        done = servers.psql("SELECT left(rolpassword, 14) FROM pg_authid WHERE rolcanlogin ORDER BY rolname")
        assert done.stdout.split() == ["SCRAM-SHA-256$"] * (1 + len(postgresql.DATABASES)), done.stderr

    def test_a_wrong_password_is_refused(self, servers):
        done = servers.psql("SELECT 1", password="wrong")
        assert done.returncode != 0
        assert "password authentication failed" in done.stderr

    def test_a_connection_without_tls_is_refused(self, servers):
        done = servers.psql("SELECT 1", mode="disable")
        assert done.returncode != 0
        assert "no encryption" in done.stderr

    def test_another_authority_is_not_believed(self, servers, stranger):
        done = servers.psql("SELECT 1", authority=stranger[0])
        assert done.returncode != 0
        assert "certificate verify failed" in done.stderr


class TestSecrets:
    def client(self, servers, token, authority=None):
        address = f"https://{servers.place.address('openbao')}"
        return hvac.Client(url=address, token=token, verify=str(authority or servers.place.authority))

    def test_hvac_keeps_and_reads_a_secret(self, servers):
        client = self.client(servers, servers.secret("openbao-root-token"))
        mount = f"kv{uuid.uuid4().hex[:6]}"
        client.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
        client.secrets.kv.v2.create_or_update_secret("a", {"b": "c"}, mount_point=mount)
        read = client.secrets.kv.v2.read_secret_version("a", mount_point=mount, raise_on_deleted_version=True)
        assert read["data"]["data"] == {"b": "c"}

    def test_a_wrong_token_is_refused(self, servers):
        with pytest.raises(hvac.exceptions.Forbidden):
            self.client(servers, "wrong").sys.list_mounted_secrets_engines()

    def test_another_authority_is_not_believed(self, servers, stranger):
        with pytest.raises(Exception, match="certificate verify failed"):
            self.client(servers, "wrong", stranger[0]).sys.read_health_status(method="GET")

    def test_requests_are_audited_without_the_token(self, servers):
        text = (servers.place.folder / "openbao" / "audit.log").read_text()
        assert '"type":"request"' in text
        assert servers.secret("openbao-root-token") not in text


class TestSchemas:
    def headers(self, servers, password=None):
        login = base64.b64encode(f"appliance:{password or servers.secret('nginx')}".encode()).decode()
        return {"authorization": f"Basic {login}", "content-type": "application/vnd.schemaregistry.v1+json"}

    def ask(self, servers, path, body=None, **options):
        data = json.dumps(body).encode() if body is not None else None
        status, text = get(
            servers, "nginx", f"/apis/ccompat/v7{path}",
            context=servers.trusting(), headers=self.headers(servers, **options), data=data,
        )  # fmt: skip
        return status, json.loads(text) if status == 200 else text

    def test_a_schema_is_registered_and_an_incompatible_one_is_refused(self, servers):
        subject = f"s-{uuid.uuid4().hex[:8]}"
        status, made = self.ask(servers, f"/subjects/{subject}/versions", {"schema": json.dumps(SCHEMA)})
        assert status == 200
        assert json.loads(self.ask(servers, f"/schemas/ids/{made['id']}")[1]["schema"]) == SCHEMA
        config = urllib.request.Request(
            f"https://{servers.place.address('nginx')}/apis/ccompat/v7/config/{subject}",
            method="PUT", data=b'{"compatibility": "BACKWARD"}', headers=self.headers(servers),
        )  # fmt: skip
        handler = urllib.request.HTTPSHandler(context=servers.trusting())
        urllib.request.build_opener(urllib.request.ProxyHandler({}), handler).open(config, timeout=10).close()
        other = {**SCHEMA, "fields": [{"name": "other", "type": "string"}]}
        status, _ = self.ask(servers, f"/subjects/{subject}/versions", {"schema": json.dumps(other)})
        assert status == 409

    def test_a_wrong_password_is_refused(self, servers):
        assert self.ask(servers, "/subjects", password="wrong")[0] == 401

    def test_other_paths_are_not_there(self, servers):
        assert get(servers, "nginx", "/q/metrics", context=servers.trusting(), headers=self.headers(servers))[0] == 404


@pytest.mark.parametrize(("port", "path"), [("connect", "/"), ("prometheus", "/-/ready"), ("alertmanager", "/-/ready")])
class TestInterfacesByCertificate:
    def test_a_certificate_of_the_site_comes_in(self, servers, port, path):
        assert get(servers, port, path, context=servers.trusting(certificate="operator"))[0] == 200

    def test_without_one_nobody_does(self, servers, port, path):
        with pytest.raises((urllib.error.URLError, OSError)):
            get(servers, port, path, context=servers.trusting())

    def test_nor_with_another_authoritys(self, servers, stranger, port, path):
        context = ssl.create_default_context(cafile=str(servers.place.authority))
        context.load_cert_chain(*stranger)
        with pytest.raises((urllib.error.URLError, OSError)):
            get(servers, port, path, context=context)


def test_connect_has_debezium(servers):
    plugins = ask(servers.place, "connect", "/connector-plugins", client=True).json()
    assert "io.debezium.connector.postgresql.PostgresConnector" in {each["class"] for each in plugins}


def test_prometheus_sees_every_server_that_shows_figures(servers):
    wanted = {"alertmanager", "connect", "minio", "openbao", "prometheus", "registry"}
    end_s, found = time.monotonic() + 60, {}
    while time.monotonic() < end_s and {name for name, value in found.items() if value == "1"} != wanted:
        answer = ask(servers.place, "prometheus", "/api/v1/query?query=up", client=True).json()
        found = {each["metric"]["job"]: each["value"][1] for each in answer["data"]["result"]}
        time.sleep(1)
    assert found == dict.fromkeys(wanted, "1")


def test_prometheus_tells_alertmanager(servers):
    answer = ask(servers.place, "prometheus", "/api/v1/alertmanagers", client=True).json()
    active = [each["url"] for each in answer["data"]["activeAlertmanagers"]]
    assert active == [f"https://{servers.place.address('alertmanager')}/api/v2/alerts"]


class TestMessages:
    def test_user_and_password_come_in(self, servers):
        assert mosquitto.refusal(servers.place, "appliance", servers.secret("mosquitto")) == ""

    @pytest.mark.parametrize(("user", "password"), [("appliance", "wrong"), ("nobody", "wrong")])
    def test_a_wrong_password_is_refused(self, servers, user, password):
        assert mosquitto.refusal(servers.place, user, password) == "Not authorized"

    def test_a_broker_of_another_authority_is_not_believed(self, servers, stranger):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{HOST}:{servers.place.port('mosquitto')}",
             "-CAfile", stranger[0], "-verify_return_error"],
            input=b"", capture_output=True, timeout=20,
        )  # fmt: skip
        assert b"verify error" in done.stderr


def test_no_interface_speaks_without_tls(servers):
    """A request in plain HTTP gets no answer of 200 from any port but the exporter's, which shows figures only."""
    for port in (
        "openbao",
        "minio",
        "registry",
        "registry-management",
        "connect",
        "prometheus",
        "alertmanager",
        "nginx",
    ):
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://{servers.place.address(port)}/", timeout=5) as answer:
                pytest.fail(f"{port} answered {answer.status} in plain HTTP")
        except (urllib.error.URLError, OSError, http.client.HTTPException):
            pass
    with pytest.raises(NotReadyError):
        ask(servers.place, "connect-metrics", "/metrics")
