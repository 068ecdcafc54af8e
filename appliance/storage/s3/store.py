"""Objects by their digest in one bucket of an S3 server.

Rules
1. An object's name is ``ab/cdef…`` of the SHA-256 of its bytes, as in a folder, and it is never replaced: the server is
   told to write only where nothing is. Who comes second has nothing to do, once the object was seen to be there.
2. Bytes are hashed as they are sent. A file that changes meanwhile is not kept under a name that is not its own.
3. The server checks each part against its MD5 (the client sends it), and shows no object before its last part is
   there. An upload that dies leaves parts that no reader sees; the server removes them in its own time.
4. Memory is bounded by `PART_BYTES`, whatever an object's size.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from minio.error import S3Error

from appliance.base.digest import digest_bytes, digest_file, hex_of
from appliance.base.errors import ApplianceError
from appliance.storage import codes
from appliance.storage.checked_file import CheckedFile
from appliance.storage.files import OBJECTS
from appliance.storage.s3.connection import Server, connect, errors_named

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PART_BYTES = 8 << 20  # S3 takes 10,000 parts: objects up to 80 GiB
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class S3Store:
    """Objects in a bucket that exists; see `bucket.prepare`."""

    def __init__(self, server: Server, bucket: str) -> None:
        """Raises ApplianceError: APL-STORAGE-009 no bucket can have this name, 010, 014."""
        check_name(bucket, server)
        self._server = server
        self._bucket = bucket
        self._client = connect(server, write_once=True)

    def put(self, data: bytes) -> str:
        """Raises ApplianceError: APL-STORAGE-008 to 012."""
        digest = digest_bytes(data)
        self._write(digest, io.BytesIO(data), len(data))
        return digest

    def put_file(self, path: Path) -> str:
        """Raises ApplianceError: APL-STORAGE-004 the file changes meanwhile, 008 to 012; OSError: it cannot be read."""
        digest = digest_file(path)
        if not self.holds(digest):  # the condition alone would tell it only after all bytes were sent
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._write(digest, cast(BinaryIO, CheckedFile(file, digest, size)), size)
        return digest

    def open(self, digest: str) -> BinaryIO:
        """The bytes as they come. APL-STORAGE-004 when they are not there, 008 to 012 now or while reading."""
        name = name_of(digest)
        with errors_named(self._server, self._bucket):
            try:
                response = self._client.get_object(self._bucket, name)
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise
                raise ApplianceError(
                    codes.OBJECT_DAMAGED, f"object {digest} is not there", where=self._where(name)
                ) from error
        return cast(BinaryIO, io.BufferedReader(_Body(response, self._server, self._bucket), 1 << 16))

    def read(self, digest: str) -> bytes:
        """The bytes, checked against their digest.

        Raises:
            ApplianceError: APL-STORAGE-004, 008 to 012.
        """
        with self.open(digest) as file:
            data = file.read()
        found = digest_bytes(data)
        if found != digest:
            where = self._where(name_of(digest))
            raise ApplianceError(codes.OBJECT_DAMAGED, f"expected {digest}, the bytes have {found}", where=where)
        return data

    def holds(self, digest: str) -> bool:
        """Raises ApplianceError: APL-STORAGE-008 to 012."""
        name = name_of(digest)
        with errors_named(self._server, self._bucket):
            try:
                self._client.stat_object(self._bucket, name)
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise
                # An answer to HEAD has no body, so a missing bucket looks the same; this question tells them apart.
                listed = self._client.list_objects(self._bucket, prefix=name)
                return any(each.object_name == name for each in listed)
        return True

    def site_name(self, digest: str) -> str:
        return f"{OBJECTS}/{name_of(digest)}"

    def _write(self, digest: str, stream: BinaryIO, size: int) -> None:
        with errors_named(self._server, self._bucket):
            try:
                self._client.put_object(
                    self._bucket, name_of(digest), stream, size, part_size=PART_BYTES, num_parallel_uploads=1
                )
            except S3Error as error:
                if error.code != "PreconditionFailed":
                    raise
                # It is there already; or somebody deleted it, and the server takes the mark of that for an object.
                if not self.holds(digest):
                    raise ApplianceError(
                        codes.STORE_FAILED,
                        f"the store says that object {digest} is there, and does not give it",
                        where=self._where(name_of(digest)),
                        hint="Somebody deleted the object: remove the deletion marker at the store, not the versions.",
                    ) from error

    def _where(self, name: str) -> str:
        return f"https://{self._server.address}/{self._bucket}/{name}"


def check_name(bucket: str, server: Server) -> None:
    """Raises ApplianceError: APL-STORAGE-009 no bucket can have this name."""
    if not _NAME.fullmatch(bucket):
        raise ApplianceError(codes.BUCKET_MISSING, f"no bucket can be named {bucket!r}", where=server.address)


def name_of(digest: str) -> str:
    """The object's name in its bucket; ValueError for what is no digest."""
    value = hex_of(digest)
    return f"{value[:2]}/{value[2:]}"


class _Body(io.RawIOBase):
    """The body of an answer."""

    def __init__(self, response: Any, server: Server, bucket: str) -> None:
        self._response = response
        self._server = server
        self._bucket = bucket

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        with errors_named(self._server, self._bucket):
            data = self._response.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._response.close()
            self._response.release_conn()
        super().close()
