"""Whatever a file or a page holds, reading it ends with rows, refusals or an error of ours; nothing else."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.base.errors import ApplianceError
from appliance.ingestion import drop_rows, mapping
from appliance.ingestion.connectors.declaration import Pages, Rest
from appliance.ingestion.connectors.pages import Position, read_page

MAPPING = """
table = "silver.x"
format = "jsonl"
[time]
column = "t"
[[column]]
from = "a.v"
name = "v"
type = "double"
max = 1.0
[[column]]
from = "n"
name = "n"
type = "long"
required = false
min = 0
"""
RESTS = [
    Rest(url="https://h/a", items="items", pages=Pages(style="cursor", parameter="after", path="next")),
    Rest(url="https://h/a", items="items", pages=Pages(style="link", path="next")),
    Rest(url="https://h/a", pages=Pages(style="page", parameter="p", size_parameter="s", size=2)),
]
NAMES = st.sampled_from(["t", "a", "v", "n", "items", "next", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2025-01-01"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
TOKENS = st.sampled_from(
    [*'{}[],:"\\ \n', '"t"', '"a"', '"v"', '"n"', "1", "-", "1e999", "null", "NaN", "\\ud800", "\ufeff"]
)
HOSTILE = (
    st.binary(max_size=200)
    | st.lists(TOKENS, max_size=60).map(lambda tokens: "".join(tokens).encode())
    | st.lists(VALUES, max_size=4).map(lambda values: "\n".join(map(json.dumps, values)).encode())
)


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    path = Path(tmp_path_factory.mktemp("mapping")) / "x.toml"
    path.write_text(MAPPING)
    return mapping.load(path)


@settings(max_examples=400, deadline=None)
@given(data=HOSTILE)
def test_every_line_of_a_file_is_a_row_or_refused(declared, data):
    found = drop_rows.read(data, declared, 1_767_225_600_000_000, max_expansion=50)
    if [each.line for each in found.refusals] == [None]:
        assert (found.refusals[0].code, found.table.num_rows) == ("ENCODING", 0)
        return
    numbers = {*found.table["line"].to_pylist(), *(each.line for each in found.refusals)}
    text = data.removeprefix("\ufeff".encode())
    assert numbers == {number for number, line in enumerate(text.split(b"\n"), start=1) if line.strip()}
    assert found.lines == len(numbers) == found.table.num_rows + len(found.refusals)


@settings(max_examples=400, deadline=None)
@given(data=HOSTILE, rest=st.sampled_from(RESTS), skip=st.integers(0, 2))
def test_a_page_is_rows_on_one_line_each_or_an_error_of_ours(data, rest, skip):
    code, rows = "", []
    try:
        rows = read_page(data, None, rest, Position(skip=skip)).rows
    except ApplianceError as error:
        code = error.code.id
    assert code in ("", "APL-CONN-013", "APL-CONN-014")
    assert all(b"\n" not in row for row in rows)
