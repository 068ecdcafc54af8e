"""The store of inputs: a file is there under its digest or not at all."""

import os
import stat

import pytest

from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.bundle.store import Store
from tests.bundle_checkout import a_lock, an_input

DATA = b"an input"
DIGEST = digest_bytes(DATA)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "came"
    path.write_bytes(DATA)
    return path


def files(store):
    return sorted(str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if not path.is_dir())


def test_a_put_file_is_read_only_under_its_digest_whatever_the_umask(store, source):
    before = os.umask(0o077)
    try:
        store.put(source, DIGEST)
    finally:
        os.umask(before)
    path = store.path(DIGEST)
    assert path.relative_to(store.folder).as_posix() == f"sha256/{hex_of(DIGEST)[:2]}/{hex_of(DIGEST)}"
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert source.exists()
    store.put(source, DIGEST)
    assert store.check() == []
    assert store.has(DIGEST, len(DATA))
    assert not store.has(DIGEST, len(DATA) + 1)


def test_another_digest_is_refused_and_nothing_is_left(store, source):
    other = digest_bytes(b"another")
    with pytest.raises(ApplianceError) as caught:
        store.put(source, other)
    assert caught.value.code.id == "APL-BUNDLE-004"
    assert DIGEST in caught.value.message
    assert other in caught.value.message
    assert files(store) == []


def test_missing_are_the_absent_and_those_of_another_size_each_once(store, source):
    here = an_input("wheels/here.whl", DATA)
    lock = a_lock(here, an_input("wheels/a.whl", b"absent"), an_input("wheels/b.whl", b"absent"))
    store.put(source, DIGEST)
    assert [each.path for each in store.missing(lock)] == ["wheels/a.whl"]
    cut = store.path(DIGEST)
    cut.chmod(0o644)
    cut.write_bytes(DATA[:-1])
    assert [each.path for each in store.missing(lock)] == ["wheels/a.whl", "wheels/here.whl"]


def test_check_names_what_is_not_what_it_is_called(store, source):
    store.put(source, DIGEST)
    good = files(store)
    path = store.path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(b"an 1nput")
    (path.parent / ".tmp-left").write_bytes(b"by a kill")
    (store.folder / "sha256/zz").mkdir()
    (store.folder / "sha256/zz/notes.txt").write_bytes(b"")
    (store.folder / "sha256/link").symlink_to(path.parent)
    assert store.check() == [*good, "sha256/link", "sha256/zz/notes.txt"]


def test_prune_keeps_what_any_lock_names(store, tmp_path):
    kept, gone = an_input("wheels/kept.whl", b"kept"), an_input("wheels/gone.whl", b"gone!")
    for each, data in ((kept, b"kept"), (gone, b"gone!")):
        path = tmp_path / "came"
        path.write_bytes(data)
        store.put(path, each.digest)
    (store.path(kept.digest).parent / ".tmp-left").write_bytes(b"123")
    (store.incoming("wheels") / "half").write_bytes(b"")
    assert store.prune([a_lock(kept), a_lock()]) == (2, 8)
    assert files(store) == [str(store.path(kept.digest).relative_to(store.folder))]
    assert store.prune([a_lock(kept)]) == (0, 0)
    assert Store(tmp_path / "none").prune([]) == (0, 0)


@pytest.mark.parametrize("level", ["sha256", "shard", "file"])
def test_nothing_is_read_or_written_through_a_link(store, source, tmp_path, level):
    """A file of the right digest lies outside; a link of the store names it."""
    name = hex_of(DIGEST)
    outside = tmp_path / "outside"
    (outside / name[:2]).mkdir(parents=True)
    (outside / name[:2] / name).write_bytes(DATA)
    target, link = {
        "sha256": (outside, store.folder / "sha256"),
        "shard": (outside / name[:2], store.folder / "sha256" / name[:2]),
        "file": (outside / name[:2] / name, store.folder / "sha256" / name[:2] / name),
    }[level]
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    for work in (lambda: store.path(DIGEST), lambda: store.has(DIGEST), lambda: store.put(source, DIGEST)):
        with pytest.raises(ApplianceError) as caught:
            work()
        assert caught.value.code.id == "APL-BUNDLE-006"
    store.prune([])
    assert (outside / name[:2] / name).read_bytes() == DATA


def test_a_digest_is_a_digest(store):
    for text in ("sha256:..", "sha256:" + "A" * 64, "../../etc/passwd", "md5:" + "0" * 32):
        with pytest.raises(ValueError, match="sha256"):
            store.path(text)


def test_two_writers_exclude_each_other(store):
    with store.exclusive(), pytest.raises(ApplianceError) as caught, Store(store.folder).exclusive():
        pass
    assert caught.value.code.id == "APL-BASE-006"
