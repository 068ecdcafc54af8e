"""What a scripted server is asked and how its answers are taken; a real OpenBao is in tests/integration/servers."""

import json
import time

import pytest

from appliance.base.errors import ApplianceError
from appliance.secrets import openbao
from appliance.secrets.openbao import OpenBao
from appliance.secrets.secret import Server
from tests.sources import Source, certificate

LIMIT_S = 5.0
SLACK_S = 5.0  # of a machine that does other things


def answer(body, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def login(life_s, token="token"):
    return answer({"auth": {"client_token": token, "lease_duration": life_s}})


ENTRY = answer({"data": {"data": {"value": "content"}, "metadata": {"version": 1}}})
DENIED = answer({"errors": ["permission denied"]}, 403)
SECRET_ID = "the-secret-id"


@pytest.fixture
def source(tmp_path):
    made = Source(tls=certificate(tmp_path / "server", "127.0.0.1"))
    yield made
    made.close()


@pytest.fixture
def server(source, tmp_path):
    for name in ("role", "secret"):
        (tmp_path / name).write_text("the-role-id" if name == "role" else SECRET_ID)
        (tmp_path / name).chmod(0o600)
    return Server(
        address=f"https://127.0.0.1:{source.port}",
        mount="site",
        authority=tmp_path / "server.ca",
        role_id_file=tmp_path / "role",
        secret_id_file=tmp_path / "secret",
    )


def asked(source):
    return [path for path, _ in source.asked]


LOGIN, DATA = "/v1/auth/approle/login", "/v1/site/data/kafka/ingest"


def test_a_token_is_used_until_it_ends_and_each_reading_asks_for_the_entry(source, server):
    source.script = [login(900), ENTRY]
    bao = OpenBao(server)
    assert [bao.field("kafka/ingest", "value") for _ in range(3)] == ["content"] * 3
    assert asked(source) == [LOGIN, DATA, DATA, DATA]
    assert source.asked[-1][1]["X-Vault-Token"] == "token"


def test_a_token_that_ends_soon_is_not_used_again(source, server):
    source.script = [login(29), ENTRY, login(900, "another"), ENTRY]
    bao = OpenBao(server)
    bao.field("kafka/ingest", "value")
    bao.field("kafka/ingest", "value")
    assert asked(source) == [LOGIN, DATA, LOGIN, DATA]
    assert source.asked[-1][1]["X-Vault-Token"] == "another"


def test_a_token_that_was_revoked_is_replaced_once(source, server):
    bao = OpenBao(server)
    source.script = [login(900), ENTRY, DENIED, login(900, "another"), ENTRY]
    bao.field("kafka/ingest", "value")
    assert bao.field("kafka/ingest", "value") == "content"
    assert asked(source) == [LOGIN, DATA, DATA, LOGIN, DATA]
    source.script = [DENIED, login(900), DENIED]
    with pytest.raises(ApplianceError, match="APL-SECRETS-006"):
        bao.field("kafka/ingest", "value")
    assert asked(source)[5:] == [DATA, LOGIN, DATA]


def hang(handler):
    time.sleep(openbao.LIMIT_S + 1)


def slowly(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    for _ in range(70):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


# case -> what the server answers, the code
ANSWERS = {
    "a login that is no JSON": ([(200, {}, b"<html>")], "APL-SECRETS-008"),
    "a login without a token": ([answer({"auth": {"lease_duration": 900}})], "APL-SECRETS-008"),
    "a token without its time": ([answer({"auth": {"client_token": "token"}})], "APL-SECRETS-008"),
    "a login that is a list": ([answer(["token"])], "APL-SECRETS-008"),
    "a login that is somewhere else": ([(307, {"Location": "https://127.0.0.1:9/"}, b"")], "APL-SECRETS-008"),
    "errors that are no texts": ([answer({"errors": [{"a": 1}]}, 400)], "APL-SECRETS-008"),
    "an error that is a list": ([answer(["a"], 400)], "APL-SECRETS-008"),
    "no OpenBao that refuses": ([(403, {}, b"Forbidden")], "APL-SECRETS-008"),
    "no OpenBao that is overloaded": ([(503, {}, b"busy")], "APL-SECRETS-008"),
    "no AppRole there": ([answer({"errors": ["no handler for route"]}, 404)], "APL-SECRETS-005"),
    "one that is sealed": ([answer({"errors": ["Vault is sealed"]}, 503)], "APL-SECRETS-004"),
    "one that was never initialised": ([answer({"errors": ["not initialised"]}, 501)], "APL-SECRETS-004"),
    "one that is sealed after the login": (
        [login(900), answer({"errors": ["Vault is sealed"]}, 503)],
        "APL-SECRETS-004",
    ),
    "an error of its own": ([login(900), answer({"errors": ["disk full"]}, 500)], "APL-SECRETS-008"),
    "an entry of KV version 1": ([login(900), answer({"data": {"value": "content"}})], "APL-SECRETS-008"),
    "an entry that is empty": ([login(900), answer({"data": {"data": None}})], "APL-SECRETS-008"),
    "silence after the login": ([login(900), hang], "APL-SECRETS-002"),
    "an answer byte by byte": ([login(900), slowly], "APL-SECRETS-002"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_every_other_answer_has_its_code_in_time_and_tells_no_secret(source, server, case):
    source.script, code = ANSWERS[case]
    began = time.monotonic()
    with pytest.raises(ApplianceError, match=code) as caught:
        OpenBao(server).field("kafka/ingest", "value")
    assert time.monotonic() - began < LIMIT_S + SLACK_S
    assert SECRET_ID not in str(caught.value)
    assert "site/kafka/ingest" in str(caught.value)


def test_a_proxy_of_the_environment_is_not_asked(source, server, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    source.script = [login(900), ENTRY]
    assert OpenBao(server).field("kafka/ingest", "value") == "content"
