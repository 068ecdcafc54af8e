"""Locks that are refused, each with the key or input that is wrong."""

import json
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle import lock as locks
from tests.bundle_checkout import a_lock, an_input

ROOT = Path(__file__).parents[3]
GOOD = locks.render(a_lock(an_input("wheels/a.whl", b"a"), an_input("wheels/b.whl", b"b")))


def _set(document, value, *keys):
    *above, last = keys
    for key in above:
        document = document[key]
    document[last] = value


def _swap(document):
    document["inputs"].reverse()


def _twice(document):
    document["inputs"].append(document["inputs"][1])


def _clash(document):
    document["inputs"][1]["path"] = "wheels/A.whl"
    document["inputs"].reverse()


REFUSED = {
    "another form": lambda it: _set(it, "appliance-bundle-lock/2", "format"),
    "another architecture": lambda it: _set(it, "arm64", "architecture"),
    "an unknown key": lambda it: _set(it, 1, "colour"),
    "an unknown key of an input": lambda it: _set(it, 1, "inputs", 0, "colour"),
    "no instant": lambda it: _set(it, "2026-01-05", "made_at"),
    "an instant of another zone": lambda it: _set(it, "2026-01-05T18:00:00+01:00", "made_at"),
    "no digest": lambda it: _set(it, "sha256:00", "inputs", 0, "digest"),
    "a digest in capitals": lambda it: _set(it, "sha256:" + "A" * 64, "inputs", 0, "digest"),
    "no reason": lambda it: _set(it, [], "inputs", 0, "wanted_by"),
    "a negative size": lambda it: _set(it, -1, "inputs", 0, "size_bytes"),
    "a size that is text": lambda it: _set(it, "1", "inputs", 0, "size_bytes"),
    "an unknown kind": lambda it: _set(it, "rpm", "inputs", 0, "kind"),
    "a name above": lambda it: _set(it, "../a.whl", "inputs", 0, "path"),
    "a name from the root": lambda it: _set(it, "/a.whl", "inputs", 0, "path"),
    "a hidden name": lambda it: _set(it, "a/.b", "inputs", 0, "path"),
    "a name of a bundle that leaves the folder": lambda it: _set(it, "../core", "bundle"),
    "another order": _swap,
    "a path twice": _twice,
    "names that differ in case only": _clash,
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    document = json.loads(GOOD)
    REFUSED[case](document)
    with pytest.raises(ApplianceError) as caught:
        locks.parse(json.dumps(document).encode(), where="here")
    assert (caught.value.code.id, caught.value.where) == ("APL-BUNDLE-002", "here")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", GOOD + b"x"], ids=["empty", "cut", "list", "text", "more"])
def test_no_json_of_a_lock(data):
    with pytest.raises(ApplianceError) as caught:
        locks.parse(data, where="here")
    assert caught.value.code.id == "APL-BUNDLE-002"


def test_an_absent_lock_is_told_with_its_path(tmp_path):
    with pytest.raises(ApplianceError) as caught:
        locks.load(tmp_path / "core.lock.json")
    assert (caught.value.code.id, caught.value.where) == ("APL-BUNDLE-002", str(tmp_path / "core.lock.json"))


@pytest.mark.parametrize("name", ["core", "demo"])
def test_the_locks_of_this_repository_tell_why_and_name_no_host(name):
    path = ROOT / "bundles" / f"{name}.lock.json"
    lock = locks.load(path)
    assert locks.render(lock) == path.read_bytes()
    assert lock.bundle == name
    assert "//" not in path.read_text()
    declared = ("bundle", "environment", "role", "server")
    reached = {each.name for each in lock.inputs if any(why.split(":")[0] in declared for why in each.wanted_by)}
    while True:  # every chain of reasons ends at the declaration
        parents = {f"deb:{each}" for each in reached}
        more = {each.name for each in lock.inputs if parents.intersection(each.wanted_by)} - reached
        if not more:
            break
        reached |= more
    assert reached == {each.name for each in lock.inputs}
    versions = {(each.name, each.version) for each in lock.base}
    assert not [each.path for each in lock.inputs if (each.name, each.version) in versions and each.kind == "deb"]
