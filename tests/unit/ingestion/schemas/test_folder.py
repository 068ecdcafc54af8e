"""The registry in a folder: the suite, crashes, two processes at once, and a damaged folder."""

import json
import multiprocessing
import os
import signal

import pytest

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas.folder import FolderRegistry
from tests.contracts.registry import *  # noqa: F403 - the suite runs here
from tests.contracts.registry import FIRST, levels
from tests.schemas import avro, record


@pytest.fixture
def run():
    return "folder"


@pytest.fixture
def open_registry(tmp_path, run):
    return lambda: FolderRegistry(tmp_path / "schemas", levels=levels(run))


@pytest.fixture
def registry(open_registry):
    return open_registry()


def numbered(number):
    return avro(record({"name": f"f{number}", "type": "int", "default": 0}))


def _register(folder, writer, count):
    registry = FolderRegistry(folder, levels={})
    for number in range(count):
        registry.register(f"subject-{writer}", "AVRO", numbered(f"{writer}_{number}"))
        registry.register("shared", "AVRO", numbered(f"{number}"))


def test_processes_at_once_give_no_id_twice_and_share_equal_schemas(tmp_path):
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_register, args=(tmp_path, writer, 5)) for writer in range(2)]
    for each in children:
        each.start()
    for each in children:
        each.join(120)
    assert [each.exitcode for each in children] == [0, 0]
    registry = FolderRegistry(tmp_path, levels={})
    by_id = {}
    for name in registry.subjects():
        versions = registry.versions(name)
        assert [each.version for each in versions] == list(range(1, len(versions) + 1))
        assert len({each.schema.text for each in versions}) == len(versions)
        for each in versions:
            assert by_id.setdefault(each.schema.id, each.schema.text) == each.schema.text
    assert len(by_id) == len(set(by_id.values())) == 15


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("write", [1, 2], ids=["before the number is kept", "before the registration"])
def test_a_crash_gives_no_id_twice_and_the_next_registration_goes_on(registry, open_registry, monkeypatch, write):
    first = registry.register("a", "AVRO", numbered(1))
    real, done = atomic.write_bytes, []

    def crash(path, data, **options):
        done.append(path)
        if len(done) == write:
            raise _Killed
        real(path, data, **options)

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "write_bytes", crash)
        with pytest.raises(_Killed):
            registry.register("b", "AVRO", numbered(2))
    again = open_registry()
    assert again.subjects() == ("a",)
    id = again.register("b", "AVRO", numbered(2))
    assert id > first
    assert (again.by_id(first).text, again.by_id(id).text) == (numbered(1), numbered(2))


def _register_for_ever(folder):
    registry, number = FolderRegistry(folder, levels={}), 0
    while True:
        number += 1
        print(registry.register("killed", "AVRO", numbered(f"{os.getpid()}_{number}")), flush=True)


def test_killed_at_any_moment_the_folder_is_whole(tmp_path):
    context = multiprocessing.get_context("spawn")
    for wait_s in (1.5, 1.7, 1.9):
        child = context.Process(target=_register_for_ever, args=(tmp_path,))
        child.start()
        child.join(wait_s)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        registry = FolderRegistry(tmp_path, levels={})
        ids = [each.schema.id for each in registry.versions("killed")]
        assert sorted(set(ids)) == ids


def test_the_number_of_a_removed_schema_is_not_given_again(registry, open_registry, tmp_path):
    registry.register("a", "AVRO", numbered(1))
    removed = registry.register("a", "AVRO", numbered(2))
    (tmp_path / "schemas" / f"{removed:010d}.json").unlink()
    again = open_registry()
    assert again.by_id(removed) is None
    assert again.register("a", "AVRO", numbered(3)) > removed


def test_the_versions_that_are_left_keep_their_numbers(registry, open_registry, tmp_path):
    ids = [registry.register("a", "AVRO", numbered(number)) for number in range(3)]
    (tmp_path / "schemas" / f"{ids[1]:010d}.json").unlink()
    again = open_registry()
    again.register("a", "AVRO", numbered(3))
    assert [each.version for each in again.versions("a")] == [1, 3, 4]


def alter(change):
    def damage(folder):
        path = folder / "0000000001.json"
        content = change(json.loads(path.read_text()))
        path.chmod(0o644)
        path.write_text(json.dumps(content))

    return damage


DAMAGE = {
    "another text": alter(lambda found: {**found, "text": found["text"].replace("int", "long")}),
    "an id from the future": alter(lambda found: {**found, "id": 7}),
    "another kind of file": alter(lambda found: []),
    "an unknown key": alter(lambda found: {**found, "more": 1}),
    "half a file": lambda folder: (
        (folder / "0000000001.json").chmod(0o644),
        (folder / "0000000001.json").write_text("{"),
    ),
    "a foreign name": lambda folder: (folder / "2.json").write_text("{}"),
    "no highest number": lambda folder: (folder / "last").write_text("x"),
    "a highest number gone back": lambda folder: (folder / "last").write_text("0"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_refused(registry, open_registry, tmp_path, name):
    registry.register("a", "AVRO", FIRST["AVRO"])
    DAMAGE[name](tmp_path / "schemas")
    with pytest.raises(ApplianceError) as caught:
        open_registry().register("b", "AVRO", numbered(2))
    assert caught.value.code.id == "APL-SCHEMA-010"
    assert str(tmp_path) in caught.value.where
