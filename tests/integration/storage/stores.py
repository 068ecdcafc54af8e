"""The stores under test: how each is made, and how somebody else gets at what it keeps."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
from pathlib import Path

from minio.error import S3Error

from appliance.base.digest import hex_of
from appliance.secrets.secret import FileSecret
from appliance.storage.objects import FolderStore
from appliance.storage.s3 import bucket, connection
from appliance.storage.s3.store import S3Store, name_of

_numbers = itertools.count(1)


class Folder:
    """A folder of the site."""

    name = "folder"

    def __init__(self, site):
        self._site = site

    def make(self, **demands):
        """A new place for objects; a folder can meet no demand."""
        return FolderPlace(self._site / f"objects{next(_numbers)}", self._site)


@dataclasses.dataclass(frozen=True)
class FolderPlace:
    folder: Path
    site: Path

    @property
    def store(self):
        return FolderStore(self.folder, self.site)

    @property
    def words(self):
        """For `open_by_words`, in a process of its own."""
        return ["folder", str(self.folder), str(self.site)]

    @property
    def drive(self):
        return self.folder

    def alter(self, digest, data):
        """Put other bytes in the object's place, as a hand on the drive does."""
        path = self.store.path_of(digest)
        path.chmod(0o600)
        path.write_bytes(data)

    def delete(self, digest):
        """Try to delete the object for good; gives whether it is gone."""
        self.store.path_of(digest).unlink()
        return not self.store.holds(digest)

    def versions(self, digest):
        """How many times the object is there."""
        return sum(path.name == hex_of(digest)[2:] for path in self.folder.rglob("*"))

    def names(self):
        """All that a reader can find."""
        return [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(".tmp-")]

    def older_version(self, digest):
        """The bytes that lay there before, None when nobody kept them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class S3:
    """A running S3 server."""

    name: str
    address: str
    secret_file: Path
    authority: Path
    drive: Path
    access_key: str = "appliance"

    def server(self, **changes):
        told = {"address": self.address, "access_key": self.access_key, "secret": FileSecret(self.secret_file)}
        return connection.Server(**{**told, "authority": self.authority, **changes})

    def client(self):
        """Somebody else's client: the library without the product's rules."""
        return connection.connect(self.server())

    def make(self, **demands):
        """A new bucket that meets the demands."""
        name = f"bucket-{os.getpid()}-{next(_numbers)}"
        bucket.prepare(self.server(), bucket.Bucket(name=name, **demands))
        return S3Place(self, name)


@dataclasses.dataclass(frozen=True)
class S3Place:
    kind: S3
    bucket: str

    @property
    def store(self):
        return S3Store(self.kind.server(), self.bucket)

    @property
    def words(self):
        kind = self.kind
        return ["s3", kind.address, kind.access_key, str(kind.secret_file), str(kind.authority), self.bucket]

    @property
    def drive(self):
        return self.kind.drive

    def alter(self, digest, data):
        self.kind.client().put_object(self.bucket, name_of(digest), io.BytesIO(data), len(data))

    def delete(self, digest):
        client, name = self.kind.client(), name_of(digest)
        for version in [each.version_id for each in self._all(client, name)]:
            try:
                client.remove_object(self.bucket, name, version_id=version)
            except S3Error:
                return False
        return not self.store.holds(digest)

    def versions(self, digest):
        return len(self._all(self.kind.client(), name_of(digest)))

    def names(self):
        return [each.object_name for each in self.kind.client().list_objects(self.bucket, recursive=True)]

    def older_version(self, digest):
        client, name = self.kind.client(), name_of(digest)
        older = [each for each in self._all(client, name) if each.is_latest != "true"]
        if not older:
            return None
        answer = client.get_object(self.bucket, name, version_id=older[0].version_id)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()

    def _all(self, client, name):
        listed = client.list_objects(self.bucket, prefix=name, recursive=True, include_version=True)
        return [each for each in listed if each.object_name == name]


def open_by_words(kind, *words):
    """A store from `words` of a place."""
    if kind == "folder":
        return FolderStore(*map(Path, words))
    address, key, secret_file, authority, bucket_name = words
    server = connection.Server(
        address=address, access_key=key, secret=FileSecret(Path(secret_file)), authority=Path(authority)
    )
    return S3Store(server, bucket_name)


def found_on(drive, marker):
    """Files under `drive` in which the marker can be read."""
    return [path for path in drive.rglob("*") if path.is_file() and marker in path.read_bytes()]
