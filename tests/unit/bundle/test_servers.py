"""Built servers as inputs: what goes in, under which name, and what is refused."""

import hashlib

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle.declaration import load
from appliance.bundle.servers import file_of, inputs
from tests.bundle_checkout import make_checkout, recipe, sha256_of_folder

FILES = {"bin/run": b"#!/bin/sh\n", "lib/a-1.0.jar": b"jar", "lib/b.jar": b"other"}


@pytest.fixture
def checkout(tmp_path):
    servers = {
        "engine": recipe("engine", "runtime", sha256_of_folder(FILES)),
        "tool": recipe("tool", "tool", hashlib.sha256(b"program").hexdigest()),
    }
    made = make_checkout(tmp_path / "here", 'name = "small"\nservers = ["engine", "tool"]\n', servers=servers)
    runtime = tmp_path / "environment/runtime"  # a wheel's files are installed elsewhere, and linked
    for name, data in FILES.items():
        path = runtime / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (runtime / "bin/run").chmod(0o755)
    for name in ("engine", "tool"):
        made.built_server(name).mkdir(parents=True)
        (made.built_server(name) / "built.json").write_text("{}")
    (made.built_server("engine") / "runtime").symlink_to(runtime)
    (made.built_server("tool") / "tool").write_bytes(b"program")
    (made.built_server("tool") / "tool").chmod(0o755)
    return made


def read(checkout):
    return inputs(load("small", checkout).servers, checkout, NoProgress())


def test_every_file_of_what_is_provided_and_nothing_else(checkout):
    found = read(checkout)
    assert [(each.path, each.executable, each.size_bytes) for each in found] == [
        ("servers/engine/runtime/bin/run", True, 10),
        ("servers/engine/runtime/lib/a-1.0.jar", False, 3),
        ("servers/engine/runtime/lib/b.jar", False, 5),
        ("servers/tool/tool", True, 7),
    ]
    assert {(each.kind, each.version, each.licence) for each in found} == {("server", "1.2", "MIT")}
    assert [each.wanted_by for each in found] == [["server:engine"]] * 3 + [["server:tool"]]
    assert [file_of(each, checkout).read_bytes() for each in found] == [*FILES.values(), b"program"]


def altered(checkout):
    (checkout.built_server("engine") / "runtime/lib/b.jar").write_bytes(b"0ther")


def one_more(checkout):
    (checkout.built_server("engine") / "runtime/lib/c.jar").write_bytes(b"")


def linked(checkout):
    (checkout.built_server("engine") / "runtime/lib/link.jar").symlink_to("a-1.0.jar")


def linked_folder(checkout):
    (checkout.built_server("engine") / "runtime/more").symlink_to("lib")


def absent(checkout):
    (checkout.built_server("tool") / "tool").unlink()


@pytest.mark.parametrize("damage", [altered, one_more, linked, linked_folder, absent])
def test_refused_when_it_is_not_what_the_recipe_says(checkout, damage):
    damage(checkout)
    with pytest.raises(ApplianceError) as caught:
        read(checkout)
    assert caught.value.code.id == "APL-BUNDLE-008"


def test_a_name_that_no_medium_takes_is_refused(tmp_path):
    name = "a file"
    made = make_checkout(
        tmp_path, 'name = "small"\nservers = ["tool"]\n',
        servers={"tool": recipe("tool", "lib", sha256_of_folder({name: b"x"}))},
    )  # fmt: skip
    (made.built_server("tool") / "lib").mkdir(parents=True)
    (made.built_server("tool") / "lib" / name).write_bytes(b"x")
    with pytest.raises(ApplianceError, match="a file") as caught:
        read(made)
    assert caught.value.code.id == "APL-BUNDLE-008"
