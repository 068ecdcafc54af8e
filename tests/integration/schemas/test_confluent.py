"""The suite on a real Apicurio, references, a lax server, and errors that name the cause in time."""

import base64
import dataclasses
import json
import ssl
import time
import urllib.request

import pyarrow as pa
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas.compatibility import normal
from appliance.ingestion.schemas.confluent import ConfluentRegistry
from appliance.ingestion.schemas.frame import read_frames, write_frame
from appliance.ingestion.schemas.values import decode_values
from appliance.secrets.secret import FileSecret
from tests.contracts.registry import *  # noqa: F403 - the suite runs here
from tests.contracts.registry import COMPATIBLE, FIRST, INCOMPATIBLE, KINDS
from tests.schemas import avro, record
from tests.sources import certificate

LIMIT_S = 5.0


def ask(connection, method, path, body=None):
    """By the standard library alone."""
    login = base64.b64encode(f"{connection.user}:{connection.password.path.read_text()}".encode()).decode()
    request = urllib.request.Request(
        connection.url + path, method=method, data=json.dumps(body).encode() if body is not None else None,
        headers={"authorization": f"Basic {login}", "content-type": "application/vnd.schemaregistry.v1+json"},
    )  # fmt: skip
    handler = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(connection.authority)))
    with urllib.request.build_opener(urllib.request.ProxyHandler({}), handler).open(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_the_server_gets_the_level_too(registry, connection, subject):
    registry.register(subject, "AVRO", FIRST["AVRO"])
    assert ask(connection, "GET", f"/config/{subject}")["compatibilityLevel"] == "BACKWARD"


def test_our_check_holds_where_the_server_would_take_it(registry, connection, subject):
    registry.register(subject, "AVRO", FIRST["AVRO"])
    ask(connection, "PUT", f"/config/{subject}", {"compatibility": "NONE"})
    with pytest.raises(ApplianceError) as caught:
        registry.register(subject, "AVRO", INCOMPATIBLE["AVRO"])
    assert caught.value.code.id == "APL-SCHEMA-002"
    taken = ask(connection, "POST", f"/subjects/{subject}/versions", {"schema": INCOMPATIBLE["AVRO"]})
    assert taken["id"] > 0, "the server was not lax, so this showed nothing"


REFERRED = {
    "AVRO": (avro(record({"name": "x", "type": "int"}, name="Inner")), "Inner",
             avro(record({"name": "inner", "type": "Inner"}))),
    "PROTOBUF": ('syntax = "proto3"; message Inner { int32 x = 1; }', "plant/inner.proto",
                 'syntax = "proto3"; import "plant/inner.proto"; message Outer { Inner inner = 1; }'),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFERRED)
def test_what_a_schema_refers_to_comes_with_it(registry, connection, subject, kind):
    inner, name, outer = REFERRED[kind]
    registry.register(f"{subject}-inner", kind, inner)
    body = {
        "schema": outer,
        "schemaType": kind,
        "references": [{"name": name, "subject": f"{subject}-inner", "version": 1}],
    }
    id = ask(connection, "POST", f"/subjects/{subject}/versions", body)["id"]
    (reference,) = registry.by_id(id).references
    assert (reference.name, reference.version) == (name, 1)
    assert normal(kind, reference.text) == normal(kind, inner)
    normal(kind, registry.by_id(id).text, registry.by_id(id).references)  # is one, with them


def test_an_id_that_was_told_is_kept_while_the_server_is_away(site, registry, subject):
    id = registry.register(subject, "AVRO", FIRST["AVRO"])
    known = registry.by_id(id)
    site.down("nginx")
    try:
        assert registry.by_id(id) == known
        with pytest.raises(ApplianceError) as caught:
            registry.by_id(id + 1)
        assert caught.value.code.id == "APL-SCHEMA-004"
    finally:
        site.up("nginx")


@pytest.fixture
def stranger(tmp_path):
    certificate(tmp_path / "stranger.pem", "127.0.0.1")
    return tmp_path / "stranger.pem.ca"


@pytest.fixture
def wrong_password(tmp_path):
    path = tmp_path / "wrong"
    path.write_text("wrong\n")
    path.chmod(0o600)
    return path


CASES = {
    "another authority": ("APL-SCHEMA-005", lambda given, stranger, wrong: {"authority": stranger}),
    "a wrong password": ("APL-SCHEMA-006", lambda given, stranger, wrong: {"password": FileSecret(wrong)}),
    "no password": ("APL-SCHEMA-006", lambda given, stranger, wrong: {"user": None, "password": None}),
    "another path": ("APL-SCHEMA-007", lambda given, stranger, wrong: {"url": given.url.replace("/ccompat", "/other")}),
    "the server's root": ("APL-SCHEMA-007", lambda given, stranger, wrong: {"url": given.url.split("/apis")[0]}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_names_its_cause_in_time(connection, stranger, wrong_password, name):
    code, change = CASES[name]
    registry = ConfluentRegistry(
        dataclasses.replace(connection, **change(connection, stranger, wrong_password)), levels={}
    )
    for call in (registry.subjects, lambda: registry.by_id(1), lambda: registry.register("a", "AVRO", FIRST["AVRO"])):
        began = time.monotonic()
        with pytest.raises(ApplianceError) as caught:
            call()
        assert time.monotonic() - began < LIMIT_S
        assert caught.value.code.id == code, str(caught.value)
        assert caught.value.hint


@pytest.fixture
def stock(connection):
    """The client that producers in Python use, confluent-kafka's."""
    login = f"{connection.user}:{connection.password.path.read_text()}"
    settings = {"url": connection.url, "ssl.ca.location": str(connection.authority), "basic.auth.user.info": login}
    with SchemaRegistryClient(settings) as client:
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_the_stock_client_and_we_see_the_same_schemas(registry, stock, subject, kind):
    ours = registry.register(subject, kind, FIRST[kind])
    found = stock.get_schema(ours)
    assert (found.schema_type, normal(kind, found.schema_str)) == (kind, normal(kind, FIRST[kind]))
    theirs = stock.register_schema(subject, Schema(COMPATIBLE[kind], kind))
    assert theirs != ours
    assert normal(kind, registry.by_id(theirs).text) == normal(kind, COMPATIBLE[kind])
    assert [each.schema.id for each in registry.versions(subject)] == [ours, theirs]


def test_what_the_stock_serializer_writes_is_read_and_the_other_way_round(registry, stock, subject):
    topic = subject.removesuffix("-value")
    registry.register(subject, "AVRO", FIRST["AVRO"])
    id = registry.register(subject, "AVRO", COMPATIBLE["AVRO"])
    about = SerializationContext(topic, MessageField.VALUE)
    serializer = AvroSerializer(stock, conf={"auto.register.schemas": False, "use.latest.version": True})
    row = {"at": 2**40, "more": "\u00e4"}
    framed = serializer(row, about)
    frames = read_frames(pa.array([framed]))
    assert (frames.ids.tolist(), frames.faults) == ([id], ())
    schema = registry.by_id(id)
    assert decode_values(frames.payloads([0]), writer=schema, reader=schema).rows.to_pylist() == [row]
    assert AvroDeserializer(stock)(write_frame(id, bytes(frames.payloads([0])[0])), about) == row


def test_the_commands_work_on_it(site, connection, tmp_path):
    folder = site.product.folder
    settings = folder / "site.toml"
    before = settings.read_text()
    settings.write_text(
        f'{before}\n[schemas]\nregistry = "{connection.url}"\nca_file = "servers/certificates/ca.pem"\n'
        'user = "appliance"\npassword_file = "servers/secrets/nginx"\n'
    )
    try:
        (tmp_path / "1.avsc").write_text(FIRST["AVRO"])
        (tmp_path / "2.avsc").write_text(INCOMPATIBLE["AVRO"])
        id = site.product.do("schema", "register", "commands-value", tmp_path / "1.avsc")["id"]
        assert site.product.do("schema", "show", "commands-value")["id"] == id
        assert "commands-value" in [each["subject"] for each in site.product.do("schema", "list")["subjects"]]
        assert site.product.run("schema", "check", "commands-value", tmp_path / "2.avsc").code == 1
        assert not (folder / "schemas").exists()
    finally:
        settings.write_text(before)
