"""Objects are named by their bytes, and a changed one is noticed."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.storage.objects import FolderStore


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "objects", tmp_path)


def test_put_is_the_same_from_bytes_and_from_a_file(store, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    digest = store.put(b"content")
    assert digest == store.put_file(tmp_path / "file") == digest_bytes(b"content")
    assert store.site_name(digest) == f"objects/{digest[7:9]}/{digest[9:]}"
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == [store.path_of(digest)]
    assert store.holds(digest)
    with store.open(digest) as file:
        assert file.read() == b"content"


def test_an_altered_or_missing_object_is_refused(store):
    digest = store.put(b"content")
    store.path_of(digest).chmod(0o600)
    store.path_of(digest).write_bytes(b"c0ntent")
    for case in (digest, digest_bytes(b"never put")):
        with pytest.raises(ApplianceError) as caught:
            store.read(case)
        assert caught.value.code.id == "APL-STORAGE-004"


@pytest.mark.parametrize("digest", ["", "sha256:12", "sha256:" + "g" * 64, "../../etc/passwd", "md5:" + "0" * 64])
def test_a_name_that_is_no_digest_reaches_no_path(store, digest):
    with pytest.raises(ValueError, match="is not sha256"):
        store.path_of(digest)


def test_writers_of_the_same_object_at_once_do_not_meet(store, tmp_path):
    """They would share its temporary file: one could take it away, or cut it short, under the other."""
    data = bytes(1 << 20)
    (tmp_path / "file").write_bytes(data)
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(call, given) for call, given in [(store.put, data), (store.put_file, tmp_path / "file")] * 8
        ]
    assert {each.result() for each in done} == {digest_bytes(data)}
    assert [path.name for path in (tmp_path / "objects").rglob("*") if path.is_file()] == [digest_bytes(data)[9:]]
