"""Headers of every response, the host allow-list, methods, and failures that nobody foresaw."""

import pytest

from appliance.portal import protection
from appliance.portal.pages import home
from appliance.portal.protection import HEADERS, POLICY, host_is_allowed
from tests.unit.portal.markup import Markup

EXACT = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def static_of(client):
    return Markup(client.get("/").text).of("link")[0]["href"]


@pytest.mark.parametrize(
    "address",
    ["/", "/data", "/models", "/models/thermal/1", "/predictions", "/trust", "/readyz", "/none", "/data?alerts=x"],
)
def test_every_response_carries_the_headers(client, address):
    check_headers(client.get(address), "no-store")


def check_headers(answer, cache):
    assert POLICY == EXACT
    assert answer.headers["content-security-policy"] == EXACT
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == cache
    assert "server" not in answer.headers
    assert "set-cookie" not in answer.headers


def test_static_files_are_named_by_their_digest_and_kept(client):
    answer = client.get(static_of(client))
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    check_headers(answer, protection.KEPT)
    check_headers(client.get("/static/portal.css"), "no-store")


def test_an_unforeseen_failure_is_a_page_too(client, monkeypatch):
    def fail(data):
        raise ZeroDivisionError("not foreseen")

    monkeypatch.setattr(home, "page", fail)
    answer = client.get("/")
    assert answer.status_code == 500
    check_headers(answer, "no-store")
    assert "APL-PORTAL-005" in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(client, method):
    answer = client.request(method, "/models")
    assert answer.status_code == 405
    assert "APL-PORTAL-006" in answer.text
    check_headers(answer, "no-store")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8480", "localhost:9", "LOCALHOST", "[::1]", "[::1]:8480"])
def test_loopback_names_are_answered(client, host):
    assert client.get("/readyz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8480",
        "127.0.0.1.evil.example",
        "localhost:x",
        "127.0.0.1:",
        "",
        "[::1",
        "::1",
        "a@localhost",
    ],
)
def test_other_hosts_are_refused_before_anything_else(client, host):
    assert not host_is_allowed(host)
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 400
    assert "APL-PORTAL-003" in answer.text
    check_headers(answer, "no-store")
