"""One suite for every object store. What a store lacks stands in `LACKS`, and is shown to be lacking."""

import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from minio.sse import SseS3

from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.storage.s3.store import PART_BYTES, name_of
from tests.integration.storage.stores import found_on
from tests.product import ENVIRONMENT, ROOT

MEMORY_LIMIT = 48 << 20  # four parts of 8 MiB and room for the interpreter; the object has 64 MiB
LARGE = 64 << 20
# store -> what it cannot do, and how that shows.
LACKS = {
    "folder": {
        "encryption": "plain text on the drive: hosts encrypt the drive below it",
        "lock": "whoever owns the folder can delete an object",
        "versions": "bytes that were overwritten on the drive are gone",
    },
    "minio": {},
    "versitygw": {
        "encryption": "it writes plain text on the drive, whatever it is asked",
        "putting again": "it takes a deletion marker for an object; put says so, until the marker is removed",
    },
}


def shown(kind, feature, works):
    """A store does what it should, or really does not do what the table says that it does not."""
    lack = LACKS[kind.name].get(feature)
    print(f"{kind.name}: {feature}: {'works' if works else f'LACKS ({lack})'}")
    assert works is (lack is None)


def code_of(call, *arguments):
    with pytest.raises(ApplianceError) as caught:
        call(*arguments)
    return caught.value.code.id


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "large"
    path.write_bytes(os.urandom(LARGE))
    return path


@pytest.fixture
def place(kind):
    return kind.make()


def child(action, path, place):
    words = [sys.executable, "-m", "tests.integration.storage.child", action, str(path), *place.words]
    return subprocess.Popen(words, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


SIZES = {"one byte": 1, "empty": 0, "one part": PART_BYTES, "one part and a byte": PART_BYTES + 1}


@pytest.mark.parametrize("case", sorted(SIZES))
def test_what_was_put_comes_back(place, tmp_path, case):
    data = os.urandom(SIZES[case])
    (tmp_path / "file").write_bytes(data)
    store = place.store
    digest = store.put_file(tmp_path / "file")
    assert digest == digest_bytes(data)
    assert store.holds(digest)
    assert store.read(digest) == data
    with store.open(digest) as file:
        assert (file.read(1), file.read()) == (data[:1], data[1:])


def test_writing_twice_leaves_one_object(place, tmp_path):
    store = place.store
    for size in (100, PART_BYTES + 1):
        data = os.urandom(size)
        (tmp_path / "file").write_bytes(data)
        digests = {store.put(data), store.put(data), store.put_file(tmp_path / "file"), place.store.put(data)}
        assert digests == {digest_bytes(data)}
        assert place.versions(digests.pop()) == 1


def test_an_object_that_is_there_is_never_replaced(place):
    """Not even a damaged one: its bytes are evidence."""
    digest = place.store.put(b"content")
    place.alter(digest, b"c0ntent")
    before = place.versions(digest)
    assert place.store.put(b"content") == digest
    assert place.versions(digest) == before
    assert code_of(place.store.read, digest) == "APL-STORAGE-004"


@pytest.mark.parametrize("altered", [b"c0ntent", b"", b"content and more"], ids=["a bit", "emptied", "longer"])
def test_altered_bytes_are_noticed(kind, place, altered):
    digest = place.store.put(b"content")
    place.alter(digest, altered)
    assert code_of(place.store.read, digest) == "APL-STORAGE-004"
    shown(kind, "versions", place.older_version(digest) == b"content")


def test_a_missing_object_is_told_apart_from_an_empty_one(place):
    empty, missing = place.store.put(b""), digest_bytes(b"never put")
    assert place.store.read(empty) == b""
    assert not place.store.holds(missing)
    assert code_of(place.store.read, missing) == code_of(place.store.open, missing) == "APL-STORAGE-004"


@pytest.mark.parametrize("digest", ["", "sha256:12", "sha256:" + "g" * 64, "../../etc/passwd", "md5:" + "0" * 64])
def test_a_name_that_is_no_digest_reaches_no_object(place, digest):
    for call in (place.store.holds, place.store.open, place.store.read):
        with pytest.raises(ValueError, match="is not sha256"):
            call(digest)


def test_a_large_object_passes_in_bounded_memory(kind, place, large):
    process = child("memory", large, place)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    print(f"{kind.name}: {LARGE >> 20} MiB put and read with {int(output) / 2**20:.0f} MiB of memory")
    assert int(output) < MEMORY_LIMIT


@pytest.mark.parametrize("size", [1000, PART_BYTES + 1], ids=["small", "large"])
def test_writers_of_the_same_object_meet_without_harm(place, tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    writers = [lambda: place.store.put(data), lambda: place.store.put_file(tmp_path / "file")] * 4
    with ThreadPoolExecutor(len(writers)) as pool:
        digests = {each.result() for each in [pool.submit(writer) for writer in writers]}
    assert digests == {digest_bytes(data)}
    assert place.versions(digest_bytes(data)) == 1
    assert place.store.read(digest_bytes(data)) == data


def test_a_writer_killed_in_the_middle_leaves_no_object(place, large):
    process = child("stall", large, place)
    said = process.stdout.readline()
    process.kill()
    assert (said, process.wait(timeout=20)) == ("middle\n", -signal.SIGKILL)
    assert place.names() == []
    digest = place.store.put_file(large)
    assert place.versions(digest) == 1
    assert hex_of(digest)[2:] in str(place.names())


class Changed(type(Path())):
    """A file that has other bytes when it is opened for the second time."""

    opened = 0

    def open(self, *arguments, **options):
        self.opened += 1
        if self.opened == 2:
            self.write_bytes(self.read_bytes()[:-1] + b"?")
        return super().open(*arguments, **options)

    def write_bytes(self, data):
        Path(self).write_bytes(data)

    def read_bytes(self):
        return Path(self).read_bytes()


@pytest.mark.parametrize("size", [1000, PART_BYTES + 1000], ids=["small", "large"])
def test_a_file_that_changes_meanwhile_is_not_kept_under_the_old_name(place, tmp_path, size):
    file = Changed(tmp_path / "file")
    file.write_bytes(bytes(size))
    assert code_of(place.store.put_file, file) == "APL-STORAGE-004"
    assert place.names() == []


def test_object_lock_forbids_deletion(kind):
    locked = kind.make(lock_days=1)
    digest = locked.store.put(os.urandom(100))
    deleted = locked.delete(digest)
    shown(kind, "lock", not deleted)
    assert locked.store.holds(digest) is not deleted


def test_without_a_lock_an_object_can_be_deleted(place):
    """The control of the test above."""
    digest = place.store.put(os.urandom(100))
    assert place.delete(digest)


def test_an_object_that_somebody_hid_is_missing(s3):
    """A deletion in a bucket with versions writes a marker; under a lock as well, and the bytes stay below it."""
    place = s3.make(lock_days=1)
    digest = place.store.put(b"content")
    s3.client().remove_object(place.bucket, name_of(digest))
    assert not place.store.holds(digest)
    assert code_of(place.store.read, digest) == "APL-STORAGE-004"
    try:
        place.store.put(b"content")
        works = place.store.read(digest) == b"content"
    except ApplianceError as error:  # what must never be: that it says yes, and the object is not there
        works = "deletion marker" not in error.hint
    shown(s3, "putting again", works)


def test_what_is_encrypted_cannot_be_read_on_the_drive(kind):
    """Looked for on the drive even where the store owned up: what it lacks must really be lacking."""
    marker = os.urandom(16).hex().encode()
    if "encryption" in LACKS[kind.name] and kind.name != "folder":
        assert code_of(lambda: kind.make(encrypted=True)) == "APL-STORAGE-013"
    place = kind.make(encrypted="encryption" not in LACKS[kind.name])
    digest = place.store.put(marker * 1000)
    assert place.store.read(digest) == marker * 1000
    shown(kind, "encryption", found_on(place.drive, marker) == [])


def test_versitygw_takes_the_order_to_encrypt_and_ignores_it(versitygw):
    """Why no answer of a store is believed: the header of SSE-S3 is accepted, and the bytes lie there as they are."""
    marker, place, client = os.urandom(16).hex().encode(), versitygw.make(), versitygw.client()
    client.put_object(place.bucket, "ordered", io.BytesIO(marker * 1000), len(marker) * 1000, sse=SseS3())
    assert "x-amz-server-side-encryption" not in client.stat_object(place.bucket, "ordered").metadata
    assert len(found_on(place.drive, marker)) == 1
