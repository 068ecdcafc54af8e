"""The noun connector over a real site and a real source: exit codes, what --json holds, and the rows in the lake."""

import json

import pytest

from appliance.cli.main import run
from appliance.config.site import open_site
from tests.small_site import MEASURES
from tests.sources import Source

MAPPING = """
table = "silver.pulled"
format = "jsonl"
[time]
column = "t"
[[column]]
from = "reading.n"
name = "n"
type = "long"
"""
CONNECTOR = """
kind = "rest"
mapping = "pulled"
description = "Numbers"
batch_rows = 4
[rest]
url = "URL"
items = "items"
timeout = "2s"
attempts = 1
poll = "1s"
[rest.pages]
style = "page"
parameter = "page"
size_parameter = "size"
size = 3
"""


@pytest.fixture
def source():
    made = Source()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path, source):
    folder = tmp_path / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    (folder / "declarations" / "measures.toml").write_text(MEASURES)
    for name, text in (("drops/pulled", MAPPING), ("connectors/numbers", CONNECTOR.replace("URL", source.url))):
        path = folder / "declarations" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def call(site, capsys):
    def of(*arguments):
        capsys.readouterr()
        code = run([*arguments, "--site", str(site), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return of


def page(*numbers):
    items = [{"t": "2026-01-01T00:00:00Z", "reading": {"n": number}} for number in numbers]
    return 200, {}, json.dumps({"items": items}).encode()


def test_from_a_source_to_the_lake(call, site, source, capsys):
    source.script = [page(1, 2, 3), page(4, "five", 6), page(7)]
    assert call("connector", "run", "numbers") == (
        0, {"name": "numbers", "files": 2, "rows": 7, "duplicates": 0, "ended": "empty"},
    )  # fmt: skip
    code, found = call("connector", "status", "numbers")
    assert (code, found) == (
        0,
        {
            "name": "numbers", "kind": "rest", "mapping": "pulled", "description": "Numbers", "paused": False,
            "files": 2, "rows": 7, "pending": False, "cursor": {"at": 3, "skip": 1}, "last_error": None,
        },
    )  # fmt: skip
    drops = call("ingest", "run")[1]["drops"]
    assert (drops["files"], drops["accepted"], drops["refused"]) == (2, 6, {"TYPE": 1})
    source.script = [page(7)]
    assert call("connector", "run", "numbers", "--until-empty")[1]["rows"] == 0
    assert run(["connector", "list", "--site", str(site)]) == 0
    assert "numbers" in capsys.readouterr().out
    assert run(["connector", "status", "numbers", "--site", str(site)]) == 0
    assert '{"at": 3, "skip": 1}' in capsys.readouterr().out


def test_an_error_is_told_and_kept_and_what_came_before_it_is_delivered(call, source):
    source.script = [page(1, 2, 3), (403, {}, b"")]
    code, found = call("connector", "run", "numbers")
    assert (code, found["error"]["code"]) == (1, "APL-CONN-009")
    (listed,) = call("connector", "list")[1]["connectors"]
    assert (listed["rows"], listed["cursor"], listed["last_error"]["code"]) == (3, {"at": 2, "skip": 0}, "APL-CONN-009")
    source.script = [page(4)]
    assert call("connector", "run", "numbers")[1]["rows"] == 1
    assert call("connector", "status", "numbers")[1]["last_error"] is None


def test_a_paused_one_is_not_run(call, source):
    assert call("connector", "pause", "numbers") == (0, {"name": "numbers", "paused": True})
    code, found = call("connector", "run", "numbers")
    assert (code, found["error"]["code"], source.asked) == (1, "APL-CONN-003", [])
    assert call("connector", "list")[1]["connectors"][0]["paused"] is True
    assert call("connector", "resume", "numbers") == (0, {"name": "numbers", "paused": False})
    assert call("connector", "run", "numbers")[0] == 0


def test_a_run_for_a_time_looks_again(call, source):
    source.script = [page(1), page(1, 2), page(1, 2)]
    code, found = call("connector", "run", "numbers", "--seconds", "2.5")
    assert (code, found["rows"], found["ended"]) == (0, 2, "time")
    assert len(source.asked) == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("status", "other"), "APL-CONN-002"),
        (("run", "other"), "APL-CONN-002"),
        (("pause", "other"), "APL-CONN-002"),
    ],
)
def test_an_undeclared_one_is_not_found(call, site, arguments, code):
    exit_code, found = call("connector", *arguments)
    assert (exit_code, found["error"]["code"]) == (2, code)
    assert not open_site(site).connectors.exists()


def test_the_mapping_must_be_of_json_lines(call, site, source):
    path = site / "declarations" / "drops" / "pulled.toml"
    path.write_text(MAPPING.replace("jsonl", "csv"))
    code, found = call("connector", "run", "numbers")
    assert (code, found["error"]["code"], source.asked) == (2, "APL-CONN-001", [])
    assert "'pulled' is of format csv, not jsonl" in found["error"]["message"]
    path.unlink()
    assert call("connector", "run", "numbers")[1]["error"]["code"] == "APL-INGEST-006"


def test_until_empty_and_seconds_exclude_each_other(site):
    assert run(["connector", "run", "numbers", "--until-empty", "--seconds", "1", "--site", str(site)]) == 2
