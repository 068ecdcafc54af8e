"""JSON lines as drops: what a line must be, and that one bad line costs no other."""

import json

import pytest

from appliance.base.clock import to_us
from appliance.base.errors import ApplianceError
from appliance.ingestion import drop_rows, json_lines, mapping
from tests.small_site import NOW, SmallSite

MAPPING = """
table = "silver.plain"
format = "jsonl"

[time]
column = "at.t"

[[column]]
from = "v"
name = "v"
type = "double"
min = 0.0
max = 10.0

[[column]]
from = "n"
name = "n"
type = "long"
required = false

[[column]]
from = "who.name"
name = "who"
type = "string"
required = false

[[column]]
from = "on"
name = "on"
type = "boolean"
required = false
"""
TIME = '"at":{"t":"2026-01-01T00:00:00Z"}'


def deep(levels):
    return "[" * levels + "]" * levels


LINES = [
    ("plain", f'{{{TIME},"v":5,"n":7,"who":{{"name":"a"}},"on":true}}', None),
    ("spaces and order", f' {{ "v" : 5.0e0 , {TIME} }} ', None),
    ("undeclared keys", f'{{{TIME},"v":5,"more":[{{"v":1}}]}}', None),
    ("null where it may be", f'{{{TIME},"v":5,"n":null,"who":null}}', None),
    ("escaped text", f'{{{TIME},"v":5,"who":{{"name":"\\u00fc\\n{{["}}}}', None),
    ("as deep as it may be", f'{{{TIME},"v":5,"more":{deep(15)}}}', None),
    ("brackets in a string", f'{{{TIME},"v":5,"more":"{deep(40)}"}}', None),
    ("required one missing", f"{{{TIME}}}", "MISSING"),
    ("null where it may not be", f'{{{TIME},"v":null}}', "MISSING"),
    ("no time", '{"v":5}', "MISSING"),
    ("time is no object", '{"at":"2026-01-01","v":5}', "TYPE"),
    ("time is a number", '{"at":{"t":1767225600},"v":5}', "TYPE"),
    ("empty time", '{"at":{"t":""},"v":5}', "TYPE"),
    ("31 February", '{"at":{"t":"2026-02-31T00:00:00Z"},"v":5}', "TYPE"),
    ("number as text", f'{{{TIME},"v":"5"}}', "TYPE"),
    ("fraction for a long", f'{{{TIME},"v":5,"n":7.0}}', "TYPE"),
    ("exponent for a long", f'{{{TIME},"v":5,"n":1e2}}', "TYPE"),
    ("long too long", f'{{{TIME},"v":5,"n":1234567890123456789}}', "TYPE"),
    ("true for a number", f'{{{TIME},"v":true}}', "TYPE"),
    ("one for true", f'{{{TIME},"v":5,"on":1}}', "TYPE"),
    ("number for text", f'{{{TIME},"v":5,"who":{{"name":7}}}}', "TYPE"),
    ("list for text", f'{{{TIME},"v":5,"who":{{"name":["a"]}}}}', "TYPE"),
    ("NaN", f'{{{TIME},"v":NaN}}', "DECODE"),
    ("beyond a double", f'{{{TIME},"v":1e400}}', "NAN"),
    ("too large", f'{{{TIME},"v":10.5}}', "RANGE"),
    ("the future", '{"at":{"t":"2027-01-01T00:00:00Z"},"v":5}', "EVENT_TIME"),
    ("key twice", f'{{{TIME},"v":5,"v":6}}', "COLUMNS"),
    ("key twice below", f'{{{TIME},"v":5,"more":{{"a":1,"a":1}}}}', "COLUMNS"),
    ("half a surrogate pair", f'{{{TIME},"v":5,"who":{{"name":"\\ud800"}}}}', "ENCODING"),
    ("too deep", f'{{{TIME},"v":5,"more":{deep(16)}}}', "SIZE"),
    ("far too deep", f'{{{TIME},"v":5,"more":{deep(100_000)}}}', "SIZE"),
    ("cut short", f"{{{TIME}", "DECODE"),
    ("two objects", f'{{{TIME},"v":5}}{{}}', "DECODE"),
    ("a list", "[1]", "DECODE"),
    ("a string", '"v"', "DECODE"),
    ("single quotes", "{'v':5}", "DECODE"),
]


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    path = tmp_path_factory.mktemp("mapping") / "plain.toml"
    path.write_text(MAPPING)
    return mapping.load(path)


@pytest.mark.parametrize(("line", "code"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_a_bad_line_is_kept_with_its_code_and_costs_no_other(declared, line, code):
    good = f'{{{TIME},"v":1}}'
    data = f"{good}\n{line}\n\n{good}".encode()
    found = drop_rows.read(data, declared, to_us(NOW), max_expansion=50)
    assert found.lines == 3
    assert found.table["line"].to_pylist() == ([1, 2, 4] if code is None else [1, 4])
    assert [(each.line, each.code, each.text) for each in found.refusals] == (
        [] if code is None else [(2, code, line[:2000])]
    )


def test_a_refused_line_is_in_quarantine_with_its_text(tmp_path):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("plain", MAPPING)
    (spool.incoming / "a.jsonl").write_text(f'{{{TIME},"v":5}}\n{{{TIME},"v":"5"}}\n')
    assert site.drops.run().refused == {"TYPE": 1}
    (row,) = site.rows("quarantine.drops")
    assert (row["line"], row["code"], row["text"]) == (2, "TYPE", f'{{{TIME},"v":"5"}}')
    assert row["detail"] == "v is not a double"
    assert site.objects.holds(row["raw_digest"])


def test_values_come_through_as_they_are_written(tmp_path):
    site = SmallSite(tmp_path)
    spool = site.declare_drop("plain", MAPPING)
    line = f'{{{TIME},"v":0.1,"n":-123456789012345678,"who":{{"name":"Süd \\"1\\"\\u0000"}},"on":false}}'
    (spool.incoming / "a.jsonl").write_text("\ufeff" + line + "\r\n", encoding="utf-8")
    site.drops.run()
    (row,) = site.rows("silver.plain", ("v", "n", "who", "on", "line"))
    assert row == {"v": 0.1, "n": -123456789012345678, "who": 'Süd "1"\0', "on": False, "line": 1}


def test_one_value_may_become_two_columns_if_it_fits_both(tmp_path):
    site = SmallSite(tmp_path)
    more = '\n[[column]]\nfrom = "n"\nname = "again"\ntype = "double"\n'
    spool = site.declare_drop("plain", MAPPING + more)
    (spool.incoming / "a.jsonl").write_text(f'{{{TIME},"v":5,"n":7}}\n{{{TIME},"v":5,"n":7.5}}\n')
    assert site.drops.run().refused == {"TYPE": 1}
    assert site.rows("silver.plain", ("n", "again")) == [{"n": 7, "again": 7.0}]


FILES = [
    ("another encoding", f'{{{TIME},"v":5,"who":{{"name":"Süd"}}}}\n'.encode("latin-1"), "ENCODING"),
    ("a long line", b'{"v":"' + b"x" * json_lines.MAX_LINE_BYTES + b'"}\n', "SIZE"),
    ("nothing", b"", None),
    ("empty lines", b"\n\n \n", None),
]


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_odd_files(declared, data, code):
    found = drop_rows.read(data, declared, to_us(NOW), max_expansion=50)
    assert found.table.num_rows == 0
    assert [each.code for each in found.refusals] == ([] if code is None else [code])


def test_json_lines_are_utf_8(tmp_path):
    path = tmp_path / "plain.toml"
    path.write_text('encoding = "latin-1"\n' + MAPPING)
    with pytest.raises(ApplianceError, match="JSON lines are utf-8") as caught:
        mapping.load(path)
    assert caught.value.code.id == "APL-INGEST-005"


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 0), ("{}", 1), ('{"a":[[]],"b":{}}', 3), ('"[[["', 0), ('{"\\"[":"\\\\"}', 1)]
)
def test_depth_counts_brackets_outside_strings(text, expected):
    json.loads(text)
    assert json_lines.depth(text) == expected
