"""Files of a site by their names, in a folder and on real S3 servers: the same answers, and nothing half there."""

import datetime as dt
import hashlib
import os
import random

import pytest

from appliance.base.errors import ApplianceError
from appliance.storage.files import FolderFiles, SiteFiles
from appliance.storage.s3 import files as bucket_files
from appliance.storage.s3.files import BucketFiles

pytestmark = pytest.mark.integration


@pytest.fixture
def place(kind, tmp_path):
    """Each kind of place in turn."""
    return FolderFiles(tmp_path / "files") if kind.name == "folder" else BucketFiles(kind.server(), kind.make().bucket)


def put(place, key, data):
    with place.writing(key) as file:
        file.write(data)


SIZES = {"empty": 0, "one byte": 1, "whole": 70_000, "in ranges": bucket_files.WHOLE_BYTES + 70_000}


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read_from_any_position(place, size, seed):
    rng = random.Random(seed)
    data = rng.randbytes(SIZES[size])
    put(place, "a/b/c d.parquet", data)
    assert place.size("a/b/c d.parquet") == len(data)
    with place.open("a/b/c d.parquet") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == hashlib.sha256(data).hexdigest()
        for _ in range(12):
            start, count = rng.randint(0, len(data)), rng.choice([0, 1, 8, 100_000])
            assert file.seek(start) == start
            assert file.read(count) == data[start : start + count], f"seed {seed}: {count} from {start}"
        assert file.seek(-min(len(data), 8), os.SEEK_END) == len(data) - min(len(data), 8)
        assert file.read() == data[len(data) - min(len(data), 8) :]
        assert file.read() == b""


def test_a_file_that_is_not_there(place):
    put(place, "a/b", b"x")
    for key in ("a/c", "a", "a/b/c"):
        for call in (place.size, place.open):
            with pytest.raises((FileNotFoundError, NotADirectoryError, IsADirectoryError)) as caught:
                call(key).read()
            assert os.strerror(caught.value.errno) == caught.value.strerror
    place.remove("a/c")


def test_a_block_that_fails_leaves_nothing(place):
    with pytest.raises(ZeroDivisionError), place.writing("a/b") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert list(place.stored("a")) == []


def test_files_of_a_folder_are_listed_in_order_with_their_sizes(place):
    for key in ("t/data/b", "t/data/a", "t/data.old/c", "t/metadata/d"):
        put(place, key, key.encode())
    found = list(place.stored("t/data"))
    assert [(each.path, each.size) for each in found] == [("t/data/a", 8), ("t/data/b", 8)]
    now = dt.datetime.now(dt.UTC)
    assert all(abs(now - each.modified) < dt.timedelta(minutes=1) for each in found)
    assert list(place.stored("none")) == []


def test_what_is_removed_is_gone_and_its_name_is_free(place):
    for data in (b"first", b"second"):
        put(place, "a/b", data)
        with place.open("a/b") as file:
            assert file.read() == data
        place.remove("a/b")
        with pytest.raises(FileNotFoundError):
            place.size("a/b")
        assert list(place.stored("a")) == []


class TestOnlyInABucket:
    @pytest.fixture
    def made(self, s3):
        return s3.make()

    @pytest.fixture
    def place(self, s3, made):
        return BucketFiles(s3.server(), made.bucket)

    def test_the_same_bytes_again_are_fine_and_others_are_refused(self, place, made):
        put(place, "a/b", b"bytes")
        put(place, "a/b", b"bytes")
        with pytest.raises(ApplianceError, match="another file has this name") as caught:
            put(place, "a/b", b"others")
        assert caught.value.code.id == "APL-STORAGE-012"
        with place.open("a/b") as file:
            assert file.read() == b"bytes"

    def test_a_bucket_that_is_missing_is_not_a_file_that_is_missing(self, s3):
        for call in (lambda place: place.size("a"), lambda place: place.open("a"), lambda place: put(place, "a", b"x")):
            with pytest.raises(ApplianceError) as caught:
                call(BucketFiles(s3.server(), "no-such-bucket"))
            assert caught.value.code.id == "APL-STORAGE-009"


def test_removing_leaves_no_version_behind(minio):
    """Not on versitygw: it dates the mark of a deletion with more digits than the client library reads."""
    made, client = minio.make(), minio.client()
    place = BucketFiles(minio.server(), made.bucket)
    put(place, "a/b", b"bytes")
    client.remove_object(made.bucket, "a/b")  # leaves the bytes, and a mark
    place.remove("a/b")
    assert list(client.list_objects(made.bucket, recursive=True, include_version=True)) == []


def test_names_and_uris_belong_to_one_site(tmp_path, minio):
    place = minio.make()
    site = SiteFiles(tmp_path, {"lake": BucketFiles(minio.server(), place.bucket)})
    assert site.uri("lake/a/b.parquet") == f"s3://{place.bucket}/a/b.parquet"
    assert site.uri("objects/ab/cd") == f"file://{tmp_path}/objects/ab/cd"
    for name in ("lake/a/b.parquet", "objects/ab/cd"):
        assert site.name_of(site.uri(name)) == name
    for other in (f"s3://{place.bucket}x/a", "s3://other/a", "file:///elsewhere/a"):
        with pytest.raises(ValueError, match=r"not (of this site|in the subpath)"):
            site.name_of(other)
