"""Files of a site in one bucket of an S3 server.

Rules
1. A file is never replaced: the server is told to write only where nothing is. Who writes the same bytes again has
   nothing to do; other bytes under a name that is taken are an error.
2. A file is there as a whole or not at all; it is durable when `writing` ends.
3. Removing takes all versions away. What may be removed is decided before (docs/adr/0012-data-files-may-be-removed.md);
   a version that stayed would keep the space, and the mark of the deletion would stand in the way of a later writer.
4. A file of up to `WHOLE_BYTES` is read by one request; of a larger one, that is what it holds in memory at most.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, cast

from minio.error import S3Error

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.storage import codes
from appliance.storage.files import StoredFile
from appliance.storage.s3.connection import Server, connect, errors_named
from appliance.storage.s3.store import PART_BYTES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

WHOLE_BYTES = 8 << 20
AHEAD_BYTES = 1 << 20  # of a larger file, for each request of a reader that goes on and on


class BucketFiles:
    """Files in a bucket that exists; see `bucket.prepare`."""

    def __init__(self, server: Server, bucket: str) -> None:
        """Raises ApplianceError: APL-STORAGE-010, 014."""
        self._server = server
        self._bucket = bucket
        self._reading = connect(server)
        self._writing = connect(server, write_once=True)

    @classmethod
    @lru_cache  # its connections are kept open: Iceberg makes a reader of its own for each table
    def of(cls, server: Server, bucket: str) -> BucketFiles:
        """The one of this process. Raises: see `__init__`."""
        return cls(server, bucket)

    def open(self, key: str) -> BinaryIO:
        data, size = self._get(key, 0, WHOLE_BYTES)
        if size == len(data):
            return io.BytesIO(data)
        rest = _Ranges(lambda start, count: self._get(key, start, count)[0], size, data)
        return cast(BinaryIO, io.BufferedReader(rest, AHEAD_BYTES))

    def size(self, key: str) -> int:
        # Not by HEAD: its answer has no body, so that a missing bucket would look like a missing file.
        return self._get(key, 0, 1)[1]

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[BinaryIO]:
        """Raises ApplianceError: APL-STORAGE-008 to 012."""
        buffer = io.BytesIO()
        yield buffer
        data = buffer.getbuffer()
        with errors_named(self._server, self._bucket):
            try:
                self._writing.put_object(
                    self._bucket, key, io.BytesIO(data), len(data), part_size=PART_BYTES, num_parallel_uploads=1
                )
            except S3Error as error:
                if error.code != "PreconditionFailed":
                    raise
                self._check_same(key, data, error)

    def stored(self, prefix: str) -> Iterator[StoredFile]:
        """Raises ApplianceError: APL-STORAGE-008 to 012."""
        with errors_named(self._server, self._bucket):
            for each in self._reading.list_objects(self._bucket, prefix=f"{prefix}/", recursive=True):
                if each.object_name is None or each.size is None or each.last_modified is None:
                    continue  # a prefix; not among what is listed recursively
                yield StoredFile(path=each.object_name, size=each.size, modified=each.last_modified)

    def remove(self, key: str) -> None:
        """Raises ApplianceError: APL-STORAGE-008 to 012."""
        with errors_named(self._server, self._bucket):
            for version in self._versions(key):
                self._reading.remove_object(self._bucket, key, version_id=version)

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _versions(self, key: str) -> list[str | None]:
        """All that the server keeps under the key, the marks of deletions too."""
        try:
            found = list(self._reading.list_objects(self._bucket, prefix=key, include_version=True))
        except ValueError as error:  # of the client library; versitygw dates a mark with more digits than it reads
            message = f"its list of versions cannot be read: {error}"
            raise ApplianceError(codes.STORE_FAILED, message, where=self._where(key)) from error
        return [each.version_id for each in found if each.object_name == key]

    def _get(self, key: str, start: int, count: int) -> tuple[bytes, int]:
        """So many bytes from `start` on, and the size of the whole."""
        with errors_named(self._server, self._bucket):
            try:
                response = self._reading.get_object(self._bucket, key, offset=start, length=count)
            except S3Error as error:
                if error.code == "InvalidRange":
                    return b"", 0
                if error.code == "NoSuchKey":
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._where(key)) from error
                raise
            try:
                data = response.read()
                said = response.headers.get("Content-Range", "")  # not of an empty file, by some servers
                return data, int(said.rpartition("/")[2]) if said else len(data)
            finally:
                response.close()
                response.release_conn()

    def _check_same(self, key: str, data: memoryview, error: S3Error) -> None:
        """What is there must be what was to be written."""
        with self.open(key) as there:
            same = digest_bytes(there.read()) == digest_bytes(data)
        if not same:
            raise ApplianceError(
                codes.STORE_FAILED, "another file has this name already; it was left as it is", where=self._where(key)
            ) from error

    def _where(self, key: str) -> str:
        return f"https://{self._server.address}/{self._bucket}/{key}"


class _Ranges(io.RawIOBase):
    """A file of which parts are asked for as they are read; its beginning is there already."""

    def __init__(self, get: Callable[[int, int], bytes], size: int, beginning: bytes) -> None:
        self._get = get
        self._size = size
        self._beginning = beginning
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        count = max(min(len(view), self._size - self._position), 0)
        if count:
            start, end = self._position, self._position + count
            view[:count] = self._beginning[start:end] if end <= len(self._beginning) else self._get(start, count)
            self._position = end
        return count
