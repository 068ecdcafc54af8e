"""Contracts are read strictly: what is misspelt, doubled or senseless is refused with its place, and nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.demo import declarations
from appliance.ingestion.gates.contract import Contract, load_contracts

HEAD = "table: silver.readings\nversion: 1\nowner: data\n"
GOOD = HEAD + "checks:\n  - {id: enough, kind: rows, minimum: 1}\n"


def check(text: str) -> str:
    return f"{HEAD}checks:\n  - {{{text}}}\n"


REFUSED = {
    "not YAML": (HEAD + "checks: [", "expected the node content"),
    "two documents": (GOOD + "---\n" + GOOD, "expected a single document"),
    "a key twice": (GOOD + "version: 2\n", "stands twice"),
    "an anchor": (check("id: a, kind: complete, columns: &c [x]"), "anchors"),
    "a tag": (check("id: a, kind: complete, columns: !!python/name:os.system [x]"), "tags"),
    "too deep": (HEAD + "checks: " + "[" * 40 + "]" * 40 + "\n", "deeper"),
    "too long": (GOOD + "# " + "x" * 300_000 + "\n", "at most"),
    "not UTF-8": (GOOD + "\udcff", "utf-8"),
    "no checks": (HEAD + "checks: []\n", "length"),
    "an unknown key": (GOOD + "colour: red\n", "colour"),
    "an unknown kind": (check("id: a, kind: guess, column: x"), "guess"),
    "an unknown member": (check("id: a, kind: rows, minimum: 1, column: x"), "column"),
    "an id with a space": (check("id: a b, kind: rows, minimum: 1"), "matching regex"),
    "a table without a namespace": (GOOD.replace("silver.readings", "readings"), "matching regex"),
    "an id twice": (GOOD + "  - {id: enough, kind: rows, maximum: 9}\n", "same id"),
    "no limit": (check("id: a, kind: range, column: x"), "neither a minimum nor a maximum"),
    "limits crossed": (check("id: a, kind: range, column: x, minimum: 2, maximum: 1"), "above the maximum"),
    "a duration without a unit": (check("id: a, kind: fresh, column: x, within: '5'"), "duration"),
    "more columns than they refer to": (check("id: a, kind: refers, columns: [x, z], table: a.b, to: [x]"), "refer to"),
    "a percentage above 100": (check("id: a, kind: complete, columns: [x], minimum_percent: 101"), "<= 100"),
    "a figure in the sink": (check("id: a, kind: fresh, column: x, within: 5h, in_sink: true"), "whole table"),
    "rows in the sink": (check("id: a, kind: rows, minimum: 1, in_sink: true"), "whole table"),
    "uniqueness in the sink": (check("id: a, kind: unique, columns: [x], in_sink: true"), "whole table"),
    "a statistic in the sink": (
        check("id: a, kind: statistic, column: x, of: mean, minimum: 1, in_sink: true"),
        "whole table",
    ),
    "a share in the sink": (
        check("id: a, kind: codes, column: x, allowed: [b], minimum_percent: 99.5, in_sink: true"),
        "must be 100",
    ),
    "a warning in the sink": (
        check("id: a, kind: complete, columns: [x], severity: warn, in_sink: true"),
        "severity warn refuses none",
    ),
    "in the sink of another table": (
        check("id: a, kind: complete, columns: [x], in_sink: true").replace("silver.readings", "silver.ett"),
        "is for silver.readings",
    ),
    "in the sink against itself": (
        check("id: a, kind: refers, columns: [x], table: silver.readings, to: [x], in_sink: true"),
        "cannot refer to the table",
    ),
    "in_sink is no boolean": (check("id: a, kind: complete, columns: [x], in_sink: 'yes'"), "Expected `bool`"),
    "a boolean for a text": (check("id: a, kind: codes, column: x, allowed: [no]"), "Expected `str`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    text, reason = REFUSED[name]
    (tmp_path / "c.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ApplianceError, match=reason) as caught:
        load_contracts(tmp_path)
    assert caught.value.code.id == "APL-CONFIG-004"
    assert caught.value.where == str(tmp_path / "c.yaml")


def test_a_table_has_one_contract(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(GOOD)
    with pytest.raises(ApplianceError, match="two contracts"):
        load_contracts(tmp_path)


def test_the_digest_is_of_what_is_asked_and_not_of_how_it_is_written(tmp_path: Path) -> None:
    spellings = [
        GOOD,
        GOOD.replace("{id: enough, kind: rows, minimum: 1}", "kind: rows\n    minimum: 1\n    id: enough"),
        GOOD.replace("minimum: 1", "minimum: 2"),
    ]
    found = []
    for text in spellings:
        (tmp_path / "c.yaml").write_text(text)
        found.append(load_contracts(tmp_path)[0].digest)
    assert found[0] == found[1] != found[2]


def test_a_contract_from_before_in_sink_keeps_its_digest(tmp_path: Path) -> None:
    path, good = tmp_path / "c.yaml", check("id: a, kind: range, column: x, minimum: 0.5")
    found = []
    for text in (good, good.replace("0.5", "0.5, in_sink: false"), good.replace("0.5", "0.5, in_sink: true")):
        path.write_text(text)
        found.append(load_contracts(tmp_path)[0].digest)
    assert found[0] == found[1] == "sha256:24faaf48a42c57fffd1c1de878f581907f73508fea8336b7737342616545c4d7"
    assert found[2] != found[0]


def test_what_is_judged_where(tmp_path: Path) -> None:
    text = check("id: a, kind: range, column: x, minimum: 0, in_sink: true") + "  - {id: b, kind: rows, minimum: 1}\n"
    (tmp_path / "c.yaml").write_text(text)
    (contract,) = load_contracts(tmp_path)
    judged = [(each.id, stage) for each, stage in contract.judged()]
    assert judged == [("a", "sink"), ("a", "snapshot"), ("b", "snapshot")]


def test_the_contracts_of_the_demo_are_read() -> None:
    found: tuple[Contract, ...] = load_contracts(Path(declarations.__path__[0]) / "contracts")
    assert [each.table for each in found] == ["labels.incidents", "silver.ett", "silver.readings"]


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert load_contracts(tmp_path / "none") == ()
