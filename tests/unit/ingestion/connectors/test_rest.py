"""The connector `rest` against a real HTTP and HTTPS server: what it delivers, what it asks, and how it fails."""

import contextlib
import gzip
import json
import time

import msgspec
import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors.declaration import Pages, Rest, Secret
from appliance.ingestion.connectors.http import retry_after
from appliance.ingestion.connectors.rest import RestSource
from appliance.secrets.secret import FileSecret
from tests.sources import Source, certificate

PAGES = Pages(style="page", parameter="page", size_parameter="size", size=2)


@pytest.fixture
def source():
    made = Source()
    yield made
    made.close()


def rest(source, **changes):
    base = {"url": source.url, "items": "items", "pages": PAGES, "attempts": 3, "timeout": "2s", "longest_pause": "1s"}
    return Rest(**{**base, **changes})


def pull(declared, folder, cursor=None):
    """All rows from `cursor` on, and the cursor after them."""
    secret = FileSecret(folder / declared.secret.file) if declared.secret else None
    connector, rows = RestSource(declared, folder, secret), []
    with connector.session():
        while True:
            fetched = connector.fetch(cursor, wait_s=0)
            rows += [json.loads(row) for row in fetched.rows]
            cursor = fetched.cursor
            if fetched.exhausted:
                return rows, cursor


def page(*numbers, **more):
    return 200, {}, json.dumps({"items": list(numbers), **more}).encode()


def refused(declared, folder, code, match):
    with pytest.raises(ApplianceError, match=match) as caught:
        pull(declared, folder)
    assert caught.value.code.id == code
    return caught.value


def test_pages_are_pulled_and_gone_on_from(tmp_path, source):
    source.script = [page(1, 2), page(3, 4), page(5)]
    rows, cursor = pull(rest(source, query={"site": "n"}), tmp_path)
    assert (rows, cursor) == ([1, 2, 3, 4, 5], {"at": 3, "skip": 1})
    assert source.asked[1][0] == "/api?site=n&page=2&size=2"
    source.script = [page(5, 6), page(7)]
    assert pull(rest(source), tmp_path, cursor) == ([6, 7], {"at": 4, "skip": 1})


def test_links_are_followed_on_the_same_host_only(tmp_path, source):
    linked = rest(source, pages=Pages(style="link", path="next"))
    source.script = [page(1, next="/api?after=1"), page(2)]
    assert pull(linked, tmp_path)[0] == [1, 2]
    assert source.asked[1][0] == "/api?after=1"
    for elsewhere in ("http://127.0.0.2/api", f"https://127.0.0.1:{source.port}/api", "//127.0.0.1:1/api", "file:///x"):
        source.script = [page(1, next=elsewhere)]
        refused(linked, tmp_path, "APL-CONN-012", f"expected http://127.0.0.1:{source.port}, it points to ")


def test_a_link_in_the_header(tmp_path, source):
    source.script = [(200, {"Link": '</api?p=2>; rel="next"'}, b"[1]"), (200, {}, b"[2]")]
    assert pull(rest(source, items="", pages=Pages(style="link")), tmp_path)[0] == [1, 2]


def test_a_circle_of_links_ends(tmp_path, source):
    source.script = [page(1, next="/api?a"), page(2, next="/api?b"), page(3, next="/api?a")]
    linked = rest(source, pages=Pages(style="link", path="next"))
    refused(linked, tmp_path, "APL-CONN-014", "one that was read in this run")


def test_redirects_stay_on_the_host(tmp_path, source):
    other = Source()
    try:
        source.script = [(302, {"Location": "/moved?page=1"}, b""), page(1)]
        assert pull(rest(source), tmp_path)[0] == [1]
        source.script = [(302, {"Location": other.url}, b"")]
        refused(rest(source), tmp_path, "APL-CONN-012", f"it points to http://127.0.0.1:{other.port}")
        assert other.asked == []
        source.script = [(302, {"Location": "/api"}, b"")]
        refused(rest(source), tmp_path, "APL-CONN-010", "more than 3 redirects")
    finally:
        other.close()


def test_the_secret_is_in_its_header_and_nowhere_else(tmp_path, source, caplog):
    caplog.set_level("DEBUG")
    (tmp_path / "secret").write_text("t0psecret\n")
    (tmp_path / "secret").chmod(0o600)
    declared = rest(source, secret=Secret(header="Authorization", prefix="Bearer ", file="secret"))
    source.script = [page(1), (403, {}, b"t0psecret")]
    pull(declared, tmp_path)
    path, headers = source.asked[0]
    assert headers["Authorization"] == "Bearer t0psecret"
    error = refused(declared, tmp_path, "APL-CONN-009", "status 403")
    for text in (path, str(error), error.where, caplog.text):
        assert "t0psecret" not in text


STATUSES = [
    (401, "APL-CONN-009", 1),
    (403, "APL-CONN-009", 1),
    (404, "APL-CONN-010", 1),
    (400, "APL-CONN-010", 1),
    (204, "APL-CONN-010", 1),
    (429, "APL-CONN-011", 3),
    (500, "APL-CONN-010", 3),
    (503, "APL-CONN-010", 3),
]


@pytest.mark.parametrize(("status", "code", "asked"), STATUSES)
def test_a_status_is_tried_again_where_that_may_help(tmp_path, source, status, code, asked):
    source.script = [(status, {"Retry-After": "0"}, b"")]
    error = refused(rest(source), tmp_path, code, f"status {status}")
    assert len(source.asked) == asked
    assert error.where == source.url


def test_a_source_that_comes_back_is_gone_on_with(tmp_path, source):
    source.script = [(503, {}, b""), (429, {"Retry-After": "1"}, b""), page(1)]
    began = time.monotonic()
    assert pull(rest(source), tmp_path)[0] == [1]
    assert time.monotonic() - began >= 1.0


def test_a_longer_pause_than_declared_is_not_waited_for(tmp_path, source):
    source.script = [(429, {"Retry-After": "3600"}, b"")]
    refused(rest(source), tmp_path, "APL-CONN-011", "come back in 3600 s, we wait at most 1 s")
    assert len(source.asked) == 1


def test_bodies_are_bounded(tmp_path, source):
    source.script = [(200, {}, b'{"items":["' + b"x" * 5000 + b'"]}')]
    refused(rest(source, max_page_bytes=4096), tmp_path, "APL-CONN-013", "more than 4096 bytes")
    bomb = gzip.compress(b" " * 50_000_000)
    source.script = [(200, {"Content-Encoding": "gzip"}, bomb)]
    refused(rest(source, max_page_bytes=1_000_000), tmp_path, "APL-CONN-013", "more than 1000000 bytes")
    source.script = [(200, {"Content-Encoding": "gzip"}, b"no gzip")]
    refused(rest(source), tmp_path, "APL-CONN-013", "content encoding")


def drip(handler):
    """Sends a byte now and then for forty seconds, so that no single wait is long."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(400):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)


def silent(handler):
    time.sleep(2)


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"items":')


def babbling(handler):
    handler.wfile.write(b"220 mail.example ESMTP\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (babbling, "illegal status line"),
        (drip, "not complete within 1 s"),
        (silent, "no answer within 1 s"),
        (cut, "peer closed connection"),
    ],
    ids=["speaks something else", "drips", "silent", "cut"],
)
def test_an_answer_that_does_not_come_has_its_time(tmp_path, source, answer, message):
    source.script = [answer]
    refused(rest(source, timeout="1s", attempts=1), tmp_path, "APL-CONN-007", message)


def test_nobody_listens(tmp_path, source):
    source.close()
    refused(rest(source, attempts=2), tmp_path, "APL-CONN-007", "refused")


def test_an_answer_with_less_than_before(tmp_path, source):
    source.script = [page()]
    with pytest.raises(ApplianceError) as caught:
        pull(rest(source), tmp_path, {"at": 3, "skip": 1})
    assert (caught.value.code.id, caught.value.where) == ("APL-CONN-014", source.url)


@pytest.mark.parametrize(
    ("name", "days", "ca", "message"),
    [
        ("127.0.0.1", 1, "own", None),
        ("127.0.0.1", 1, "other", "self.signed"),
        ("127.0.0.1", 1, "", "self.signed"),
        ("127.0.0.1", -1, "own", "expired"),
        ("127.0.0.9", 1, "own", "IP address mismatch"),
    ],
    ids=["trusted", "another authority", "the system's authorities", "expired", "another name"],
)
def test_only_the_declared_authority_is_trusted(tmp_path, name, days, ca, message):
    certificate(tmp_path / "own", name, days=days)
    certificate(tmp_path / "other", "127.0.0.1")
    source = Source(tls=tmp_path / "own")
    try:
        source.script = [page(1)]
        declared = rest(source, ca_file=f"{ca}.ca" if ca else "")
        if message is None:
            assert pull(declared, tmp_path)[0] == [1]
        else:
            refused(declared, tmp_path, "APL-CONN-008", message)
            assert source.asked == []
    finally:
        source.close()


def test_a_ca_file_without_certificates_is_a_wrong_declaration(tmp_path, source):
    (tmp_path / "ca").write_text("nothing")
    refused(rest(source, ca_file="ca"), tmp_path, "APL-CONN-001", "ca_file holds no certificates")
    refused(rest(source, ca_file="none"), tmp_path, "APL-CONN-001", "No such file")


def test_the_environment_does_not_choose_a_proxy(tmp_path, source, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert pull(rest(source), tmp_path)[0] == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None), ("0", 0.0), ("120", 120.0), ("-1", None), ("1.5", None), ("soon", None),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("9" * 400, 999_999_999.0),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date(value, expected):
    assert retry_after(value, 10.0) == expected


def test_every_option_can_be_left_out_but_the_address_and_the_pages():
    required = {
        name for name, field in zip(Rest.__struct_fields__, msgspec.structs.fields(Rest), strict=True) if field.required
    }
    assert required == {"url", "pages"}
