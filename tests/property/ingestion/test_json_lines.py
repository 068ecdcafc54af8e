"""The same rows as CSV and as JSON lines make the same table and the same refusals."""

import csv
import io
import json
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion import drop_rows, mapping

TYPES = {"s": "string", "n": "long", "x": "double", "b": "boolean", "u": "timestamp"}
COLUMNS = "".join(
    f'[[column]]\nfrom = "{name}"\nname = "{name}"\ntype = "{type}"\nrequired = {str(name != "s").lower()}\n'
    + ("min = -1e6\nmax = 1e6\n" if type in ("long", "double") else "")
    for name, type in TYPES.items()
)
HEAD = 'table = "silver.x"\nformat = "csv"\n[time]\ncolumn = "t"\nzone = "Europe/Berlin"\n'
ARRIVED_US = 1_767_225_600_000_000  # 2026-01-01

PLAIN_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters='"'), min_size=1)
TIMES = st.datetimes().map(lambda at: at.isoformat()) | st.sampled_from(
    ["2025-10-26T02:30:00", "2025-03-30T02:30:00", "2025-06-01", "2025-06-01T12:00Z", "2025-02-30", "noon"]
)
ROW = st.fixed_dictionaries(
    {
        "t": st.none() | TIMES,
        "s": st.none() | PLAIN_TEXT,
        "n": st.none() | st.integers(-(10**7), 10**7) | st.integers(),
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**7), 10**7),
        "b": st.none() | st.booleans(),
        "u": st.none() | TIMES,
    }
)


def read(tmp, form, data):
    tmp.write_text(HEAD + COLUMNS)
    declared = msgspec.structs.replace(mapping.load(tmp), format=form)
    return drop_rows.read(data, declared, ARRIVED_US, max_expansion=50)


def as_csv(rows):
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(["t", *TYPES])
    for row in rows:
        values = [row[name] for name in ("t", *TYPES)]
        values = [str(value).lower() if isinstance(value, bool) else value for value in values]
        writer.writerow(["" if value is None else str(value) for value in values])
    return out.getvalue().encode()


def as_json_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_csv_and_json_lines_of_the_same_rows_are_the_same(tmp_path_factory, rows):
    path = Path(tmp_path_factory.getbasetemp()) / "both.toml"
    one, other = read(path, "csv", as_csv(rows)), read(path, "jsonl", as_json_lines(rows))
    assert other.table.equals(one.table)
    assert other.lines == one.lines == len(rows)
    assert [each.line for each in other.refusals] == [each.line for each in one.refusals]


GOOD = st.fixed_dictionaries(
    {
        "t": st.just("2025-06-01T12:00:00"),
        "s": st.none() | PLAIN_TEXT,
        "n": st.integers(-(10**6), 10**6),
        "x": st.floats(-1e6, 1e6),
        "b": st.booleans(),
        "u": st.just("2025-06-01"),
    }
)


@settings(max_examples=50, deadline=None)
@given(st.lists(GOOD, min_size=1, max_size=8))
def test_every_good_row_comes_in(tmp_path_factory, rows):
    found = read(Path(tmp_path_factory.getbasetemp()) / "good.toml", "jsonl", as_json_lines(rows))
    assert (found.table.num_rows, found.refusals) == (len(rows), ())
    assert found.table["x"].to_pylist() == [row["x"] for row in rows]
    assert found.table["s"].to_pylist() == [row["s"] for row in rows]
