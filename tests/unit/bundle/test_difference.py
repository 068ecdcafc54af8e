"""What a reviewer of a renewed lock is told."""

import msgspec

from appliance.bundle.difference import difference
from appliance.bundle.lock import Package
from tests.bundle_checkout import a_lock, an_input


def told(before, after):
    return [
        (each.what, each.kind, each.name, each.before, each.after, each.licence)
        for each in difference(before, after).changes
    ]


def test_every_kind_of_change_is_told_once_for_each_package():
    before = a_lock(
        an_input("servers/engine/a.jar", b"a", kind="server", name="engine", version="1"),
        an_input("servers/engine/b.jar", b"b", kind="server", name="engine", version="1"),
        an_input("wheels/gone.whl", b"gone", name="gone"),
        an_input("wheels/one-1.whl", b"one", name="one", licence="MIT"),
        an_input("wheels/same.whl", b"same", name="same", licence="MIT"),
        an_input("wheels/two-1.whl", b"two", name="two", licence="MIT"),
        base=(Package(name="libc6", version="1"),),
    )
    after = a_lock(
        an_input("servers/engine/a.jar", b"A", kind="server", name="engine", version="1"),
        an_input("servers/engine/b.jar", b"b", kind="server", name="engine", version="1"),
        an_input("apt/pool/jq.deb", b"jq", kind="deb", name="jq", version="1.6"),
        an_input("wheels/one-2.whl", b"one!", name="one", version="2", licence="BSL-1.1"),
        an_input("wheels/same.whl", b"same", name="same", licence="MIT", wanted_by=["environment:other"]),
        an_input("wheels/two-1.whl", b"two", name="two", licence=""),
        base=(Package(name="libc6", version="2"),),
    )
    assert told(before, after) == [
        ("version", "base", "libc6", "1", "2", ""),
        ("added", "deb", "jq", "", "1.6", ""),
        ("files", "server", "engine", "1", "1", ""),
        ("removed", "wheel", "gone", "1", "", ""),
        ("version", "wheel", "one", "1", "2", "MIT -> BSL-1.1"),
        ("licence", "wheel", "two", "1", "1", "MIT -> none told"),
    ]
    assert (difference(before, after).bytes_before, difference(before, after).bytes_after) == (16, 15)


def test_an_executable_bit_and_a_name_are_changes_of_files():
    one = an_input("servers/tool/tool", b"x", kind="server", name="tool")
    assert told(a_lock(one), a_lock(msgspec.structs.replace(one, executable=True))) == [
        ("files", "server", "tool", "1", "1", "")
    ]
    assert told(a_lock(one), a_lock(msgspec.structs.replace(one, path="servers/tool/other"))) == [
        ("files", "server", "tool", "1", "1", "")
    ]


def test_the_first_lock_adds_everything_and_the_same_one_nothing():
    lock = a_lock(an_input("wheels/one.whl", b"one", name="one"), base=(Package(name="libc6", version="1"),))
    assert [each[0] for each in told(None, lock)] == ["added", "added"]
    assert told(lock, msgspec.structs.replace(lock, made_at="2026-01-06T00:00:00Z")) == []
