"""Answers that a registry must not give: each has a code that names the cause, within five seconds."""

import base64
import dataclasses
import json
import socket
import time

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import confluent
from appliance.ingestion.schemas.confluent import ConfluentRegistry, Connection
from appliance.secrets.secret import FileSecret
from tests.schemas import avro, record
from tests.sources import Source, certificate

LIMIT_S = 5.0
SCHEMA = json.dumps({"schema": avro(record())}).encode()


@pytest.fixture
def source():
    made = Source()
    yield made
    made.close()


def registry(url, **more):
    return ConfluentRegistry(Connection(url=url, **more), levels={})


def refused(call):
    began = time.monotonic()
    with pytest.raises(ApplianceError) as caught:
        call()
    assert time.monotonic() - began < LIMIT_S
    return caught.value


def mute(handler):
    time.sleep(6)


def slowly(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    for _ in range(60):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def nothing(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


ANSWERS = {
    "no answer": (mute, "APL-SCHEMA-004"),
    "an answer byte by byte": (slowly, "APL-SCHEMA-004"),
    "an end without an answer": (nothing, "APL-SCHEMA-007"),
    "no password": ((401, {}, b""), "APL-SCHEMA-006"),
    "no right": ((403, {}, b"{}"), "APL-SCHEMA-006"),
    "another page": ((404, {}, b"<html>"), "APL-SCHEMA-007"),
    "another API": ((404, {}, b'{"detail":"Not Found"}'), "APL-SCHEMA-007"),
    "another place": ((302, {"Location": "http://127.0.0.1:1/"}, b""), "APL-SCHEMA-007"),
    "an error of its own": ((500, {}, b'{"error_code":50001,"message":"database"}'), "APL-SCHEMA-009"),
    "a code that was not asked for": ((404, {}, b'{"error_code":40401,"message":"x"}'), "APL-SCHEMA-009"),
    "a page": ((200, {}, b"<html>"), "APL-SCHEMA-008"),
    "no schema": ((200, {}, b"{}"), "APL-SCHEMA-008"),
    "a schema that is a number": ((200, {}, b'{"schema":7}'), "APL-SCHEMA-008"),
    "an unknown kind": ((200, {}, b'{"schema":"","schemaType":"THRIFT"}'), "APL-SCHEMA-008"),
    "a list": ((200, {}, b"[]"), "APL-SCHEMA-008"),
    "deep nesting": ((200, {}, b"[" * 100_000), "APL-SCHEMA-008"),
    "too much": ((200, {}, b" " * (confluent.MAX_ANSWER_BYTES + 1)), "APL-SCHEMA-008"),
    "references that are none": ((200, {}, b'{"schema":"","references":7}'), "APL-SCHEMA-008"),
    "damaged encoding": ((200, {"Content-Encoding": "gzip"}, b"no"), "APL-SCHEMA-008"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_cannot_be_used_has_its_code(source, name):
    answer, code = ANSWERS[name]
    source.script = [answer]
    found = refused(lambda: registry(source.url).by_id(7))
    assert found.code.id == code, str(found)
    assert "127.0.0.1" in found.where or "schema 7" in found.where


def test_a_schema_that_refers_to_itself_ends(source):
    body = {"schema": avro(record()), "references": [{"name": "a", "subject": "s", "version": 1}]}
    source.script = [(200, {}, json.dumps(body).encode())]
    assert [each.subject for each in registry(source.url).by_id(7).references] == ["s"]


def test_references_without_end_are_refused(source):
    def more(handler):
        number = int(handler.path.rsplit("/", 1)[1]) + 1
        body = {"schema": "x", "references": [{"name": "a", "subject": "s", "version": number}]}
        data = json.dumps(body).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    source.script = [more]
    assert refused(lambda: registry(source.url).by_id(7)).code.id == "APL-SCHEMA-008"


def test_an_error_that_passes_is_not_seen(source):
    source.script = [(503, {}, b""), nothing, (200, {}, SCHEMA)]
    assert registry(source.url).by_id(7).kind == "AVRO"
    assert len(source.asked) == 3


def test_what_an_id_stands_for_is_asked_once_and_that_it_is_unknown_each_time(source):
    unknown = (404, {}, b'{"error_code":40403,"message":"x"}')
    source.script = [unknown, unknown, (200, {}, SCHEMA), (500, {}, b"")]
    asking = registry(source.url)
    assert [asking.by_id(7) for _ in range(2)] == [None, None]
    assert asking.by_id(7) == asking.by_id(7)
    assert len(source.asked) == 3


def test_a_renewed_password_counts_at_the_next_question_and_one_that_is_gone_is_told(tmp_path):
    source = Source(tls=certificate(tmp_path / "server", "127.0.0.1"))
    source.script = [(200, {}, b'{"schema":"\\"int\\""}')]
    password = tmp_path / "password"
    password.write_text("first")
    password.chmod(0o600)
    try:
        asking = registry(source.url, authority=tmp_path / "server.ca", user="a", password=FileSecret(password))
        asking.by_id(7)
        password.write_text("second")
        asking.by_id(8)
        logins = [base64.b64decode(headers["Authorization"].removeprefix("Basic ")) for _, headers in source.asked]
        assert logins == [b"a:first", b"a:second"]
        password.unlink()
        assert refused(lambda: asking.by_id(9)).code.id == "APL-SCHEMA-011"
        assert len(source.asked) == 2
    finally:
        source.close()


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert refused(lambda: registry(f"http://127.0.0.1:{port}").by_id(7)).code.id == "APL-SCHEMA-004"


@pytest.mark.parametrize(
    ("name", "days", "trusted"),
    [("127.0.0.2", 1, True), ("127.0.0.1", -1, True), ("127.0.0.1", 1, False)],
    ids=["for another host", "expired", "of a stranger"],
)
def test_a_certificate_that_does_not_hold_is_not_talked_to(tmp_path, name, days, trusted):
    shown = certificate(tmp_path / "server.pem", name, days=days)
    own = certificate(tmp_path / "own.pem", "127.0.0.1")
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    source = Source(tls=shown)
    try:
        asking = registry(
            source.url,
            authority=tmp_path / f"{(shown if trusted else own).name}.ca",
            user="a",
            password=FileSecret(password),
        )
        assert refused(lambda: asking.by_id(7)).code.id == "APL-SCHEMA-005"
        assert source.asked == []
    finally:
        source.close()


GOOD = Connection(url="https://registry:8443/apis/ccompat/v7")
SETTINGS = {
    "no scheme": {"url": "registry:8443"},
    "another scheme": {"url": "ftp://registry/"},
    "no host": {"url": "https:///x"},
    "a password in the address": {"url": "https://a:b@registry/"},
    "a query": {"url": "https://registry/?a"},
    "a port that is none": {"url": "https://registry:99999/"},
    "a user without a password": {"user": "a"},
    "no such password file": {"user": "a", "password": "none"},
    "a password over plain HTTP": {"url": "http://registry", "user": "a", "password": "x"},
    "no such authority": {"authority": "none"},
    "an authority that is none": {"authority": "x"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_do_not_hold_together_are_refused(tmp_path, name):
    (tmp_path / "x").write_text("x")
    (tmp_path / "x").chmod(0o600)
    kinds = {"authority": lambda value: tmp_path / value, "password": lambda value: FileSecret(tmp_path / value)}
    change = {key: kinds.get(key, str)(value) for key, value in SETTINGS[name].items()}
    with pytest.raises(ApplianceError) as caught:
        ConfluentRegistry(dataclasses.replace(GOOD, **change), levels={})
    assert caught.value.code.id == "APL-SCHEMA-011"
