"""What is asked of a source of pages and what its answers mean, without any network."""

import json

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors.declaration import Pages, Rest
from appliance.ingestion.connectors.pages import Position, position_of, read_page, request_of

NUMBERED = Rest(
    url="https://h/api", items="d.items", query={"site": "n"},
    pages=Pages(style="page", parameter="p", size_parameter="s", size=2),
)  # fmt: skip
LINKED = Rest(url="https://h/api", items="items", query={"site": "n"}, pages=Pages(style="link", path="links.next"))
HEADER = Rest(url="https://h/api", pages=Pages(style="link"))
CURSOR = Rest(url="https://h/api", items="items", pages=Pages(style="cursor", parameter="after", path="next"))
HERE = "https://h/api"


REQUESTS = [
    ("first numbered page", NUMBERED, Position(), (HERE, {"site": "n", "p": "1", "s": "2"})),
    ("third numbered page", NUMBERED, Position(at=3, skip=1), (HERE, {"site": "n", "p": "3", "s": "2"})),
    ("first of links", LINKED, Position(), (HERE, {"site": "n"})),
    ("a link as it stands", LINKED, Position(at="https://h/api?x=1"), ("https://h/api?x=1", {})),
    ("first of cursors", CURSOR, Position(), (HERE, {})),
    ("a cursor", CURSOR, Position(at="a b"), (HERE, {"after": "a b"})),
]


@pytest.mark.parametrize(
    ("rest", "position", "expected"), [case[1:] for case in REQUESTS], ids=[case[0] for case in REQUESTS]
)
def test_what_is_asked(rest, position, expected):
    assert request_of(rest, position) == expected


def items(*numbers, **more):
    return json.dumps({"items": [{"n": number} for number in numbers], "d": {"items": numbers}, **more}).encode()


ANSWERS = [
    ("a full page", NUMBERED, Position(), items(1, 2), None, [b"1", b"2"], Position(at=2), False),
    ("the last page", NUMBERED, Position(at=4), items(7), None, [b"7"], Position(at=4, skip=1), True),
    ("it has grown", NUMBERED, Position(at=4, skip=1), items(7, 8), None, [b"8"], Position(at=5), False),
    ("it has not grown", NUMBERED, Position(at=4, skip=1), items(7), None, [], Position(at=4, skip=1), True),
    ("nothing yet", NUMBERED, Position(), items(), None, [], Position(skip=0), True),
    (
        "a link", LINKED, Position(), items(1, links={"next": "/api?x=2"}), None, [b'{"n": 1}'],
        Position(at="https://h/api?x=2"), False,
    ),
    ("no link", LINKED, Position(at="u"), items(1), None, [b'{"n": 1}'], Position(at="u", skip=1), True),
    ("a null link", LINKED, Position(), items(links={"next": None}), None, [], Position(), True),
    ("a header", HEADER, Position(), b"[1]", "?p=2", [b"1"], Position(at="https://h/api?p=2"), False),
    ("no header", HEADER, Position(), b"[1]", None, [b"1"], Position(skip=1), True),
    ("a cursor", CURSOR, Position(), items(1, next="abc"), None, [b'{"n": 1}'], Position(at="abc"), False),
    ("a number as cursor", CURSOR, Position(), items(next=12345678901234567890), None, [],
     Position(at="12345678901234567890"), False),
    ("the same cursor", CURSOR, Position(at="abc"), items(next="abc"), None, [], Position(at="abc"), True),
    ("the end", CURSOR, Position(at="abc"), items(1, next=""), None, [b'{"n": 1}'], Position(at="abc", skip=1), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rest", "position", "body", "link", "rows", "following", "last"),
    [case[1:] for case in ANSWERS],
    ids=[case[0] for case in ANSWERS],
)
def test_what_an_answer_means(rest, position, body, link, rows, following, last):
    page = read_page(body, link, rest, position)
    assert (page.rows, page.next, page.last) == (rows, following, last)


def test_an_item_keeps_its_text_and_becomes_one_line():
    page = read_page(b'{"items":[\n{"v":\r\n1.10,"big":123456789012345678901}\n]}', None, CURSOR, Position())
    assert page.rows == [b'{"v":  1.10,"big":123456789012345678901}']


REFUSED = [
    ("not JSON", b"<html>", "APL-CONN-013", "malformed"),
    ("not UTF-8", b'{"items":["\xff"]}', "APL-CONN-013", "byte 11 is not UTF-8"),
    ("cut short", b'{"items":[1,', "APL-CONN-013", "truncated"),
    ("no items", b'{"data":[]}', "APL-CONN-013", "nothing at items 'items'"),
    ("items are null", b'{"items":null}', "APL-CONN-013", "items 'items'"),
    ("items are an object", b'{"items":{}}', "APL-CONN-013", "items 'items'"),
    ("a list where an object should be", b"[1]", "APL-CONN-013", "'items'"),
    ("too deep", b'{"items":[' + b"[" * 40 + b"]" * 40 + b"]}", "APL-CONN-013", "nested deeper than 32"),
    ("far too deep", b"[" * 1_000_000, "APL-CONN-013", "nested deeper than 32"),
    ("cursor is an object", b'{"items":[1],"next":{}}', "APL-CONN-013", "pages.path 'next'"),
    ("cursor is endless", b'{"items":[1],"next":"' + b"x" * 5000 + b'"}', "APL-CONN-013", "5000 characters"),
    ("fewer than before", b'{"items":[]}', "APL-CONN-014", "of which 1 items were delivered has 0 now"),
]


@pytest.mark.parametrize(("body", "code", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_an_answer_that_is_not_as_declared_is_refused(body, code, message):
    with pytest.raises(ApplianceError, match=message) as caught:
        read_page(body, None, CURSOR, Position(at="abc", skip=1))
    assert caught.value.code.id == code


def test_a_numbered_page_with_too_many_items_is_refused():
    with pytest.raises(ApplianceError, match="expected at most 2 items, got 3"):
        read_page(items(1, 2, 3), None, NUMBERED, Position())


@pytest.mark.parametrize("cursor", [7, {"at": 1.5}, {"skip": "1"}, ["a"]])
def test_a_cursor_of_something_else_is_refused(cursor):
    with pytest.raises(ApplianceError) as caught:
        position_of(cursor)
    assert caught.value.code.id == "APL-CONN-004"


@pytest.mark.parametrize(
    ("rest", "at"), [(NUMBERED, "https://h/api"), (LINKED, 3), (CURSOR, 3)], ids=["page", "link", "cursor"]
)
def test_a_cursor_of_another_style_is_refused(rest, at):
    with pytest.raises(ApplianceError, match="is not of style") as caught:
        request_of(rest, Position(at=at))
    assert caught.value.code.id == "APL-CONN-004"


@pytest.mark.parametrize("position", [Position(), Position(at=4, skip=2), Position(at="https://h/api?x=1")])
def test_a_position_comes_back_from_its_cursor(position):
    assert position_of(position.cursor()) == position
