"""The commands of a build machine, where no source is asked."""

import json

import pytest

from appliance.bundle import lock as locks
from appliance.bundle.store import Store
from appliance.cli.main import run
from tests.bundle_checkout import a_lock, an_input, make_checkout


@pytest.fixture
def checkout(tmp_path):
    return make_checkout(tmp_path, 'name = "small"\nenvironments = ["nothing"]\n')


def ask(capsys, checkout, *words):
    code = run(["bundle", *words, "--checkout", str(checkout.root), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("verb", ["lock", "outdated"])
def test_a_declaration_with_a_fault_changes_nothing(checkout, capsys, verb):
    before = sorted(checkout.root.rglob("*"))
    code, told = ask(capsys, checkout, verb, "small")
    assert (code, told["error"]["code"]) == (2, "APL-BUNDLE-001")
    assert "offline_wheels/nothing.lock" in told["error"]["message"]
    assert sorted(checkout.root.rglob("*")) == before


def test_a_fetch_needs_a_lock(checkout, capsys):
    code, told = ask(capsys, checkout, "fetch", "small")
    assert (code, told["error"]["code"]) == (1, "APL-BUNDLE-002")


def test_what_no_lock_names_is_pruned_and_what_is_damaged_is_told(checkout, capsys):
    store, source = Store(checkout.root / "build/bundle-store"), checkout.root / "came"
    kept, gone = an_input("wheels/kept.whl", b"kept"), an_input("wheels/gone.whl", b"gone!")
    for each, data in ((kept, b"kept"), (gone, b"gone!")):
        source.write_bytes(data)
        store.put(source, each.digest)
    checkout.lock("small").write_bytes(locks.render(a_lock(kept)))
    assert ask(capsys, checkout, "prune") == (0, {"removed": 1, "bytes": 5, "damaged": []})
    path = store.path(kept.digest)
    path.chmod(0o644)
    path.write_bytes(b"kepT")
    code, told = ask(capsys, checkout, "prune")
    assert (code, told["damaged"]) == (1, [path.relative_to(store.folder).as_posix()])
    checkout.lock("small").write_bytes(b"{}")  # an unreadable lock may name anything
    assert ask(capsys, checkout, "prune")[1]["error"]["code"] == "APL-BUNDLE-002"
    assert path.exists()


def test_two_commands_do_not_work_in_one_store(checkout, capsys):
    checkout.lock("small").write_bytes(locks.render(a_lock()))
    with Store(checkout.root / "build/bundle-store").exclusive():
        for words in (("fetch", "small"), ("prune",)):
            assert ask(capsys, checkout, *words)[1]["error"]["code"] == "APL-BASE-006"


def test_a_fetch_of_what_is_not_built_tells_each_and_ends_with_1(checkout, capsys):
    tools = (an_input(f"servers/tool/{name}", name.encode(), kind="server", name="tool") for name in "ab")
    lock = a_lock(*tools, an_input("models/large.onnx", b"model", kind="model"))
    checkout.lock("small").write_bytes(locks.render(lock))
    code, told = ask(capsys, checkout, "fetch", "small")
    assert (code, told["fetched"]) == (1, 0)
    assert [(each["path"], each["code"]) for each in told["failures"]] == [
        ("models/large.onnx", "APL-BUNDLE-003"),
        ("servers/tool/a", "APL-BUNDLE-008"),
        ("servers/tool/b", "APL-BUNDLE-008"),
    ]
    tool = checkout.built_server("tool")
    tool.mkdir(parents=True)
    (tool / "a").write_bytes(b"a")
    (tool / "b").write_bytes(b"not b")
    code, told = ask(capsys, checkout, "fetch", "small")
    assert (code, told["fetched"], [each["code"] for each in told["failures"]]) == (
        1,
        1,
        ["APL-BUNDLE-003", "APL-BUNDLE-004"],
    )
