"""Makes a bucket what it must be, and believes no server that it is.

A server may accept a demand and ignore it, or do it and not say so. So what was set is read back, and where object lock
or encryption is asked for, a small object is written: it must carry the mark of encryption, and deleting it must be
refused. Each preparation of a locked bucket thus leaves one more version of that object; its name is the digest of its
bytes, as of every object here.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

from minio import Minio
from minio.commonconfig import ENABLED
from minio.error import S3Error
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.sseconfig import Rule, SSEConfig
from minio.versioningconfig import VersioningConfig

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.storage import codes
from appliance.storage.s3.connection import REFUSED, Server, connect, errors_named
from appliance.storage.s3.store import check_name, name_of

PROBE = b"appliance: shows what becomes of an object in this bucket\n"
_LOCKED = frozenset({"AccessDenied", "InvalidRequest"})  # S3's answer to a forbidden deletion, and MinIO's


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """What a bucket must be. Versioning is always on: an object that somebody replaces stays to be found.

    Attributes:
        lock_days: for so many days nobody can delete a new object, 0: no object lock.
        lock_mode: COMPLIANCE binds everybody; GOVERNANCE leaves a way for who may bypass it.
        encrypted: the server encrypts what it keeps.
        kms_key: name of the key of the server's key service (SSE-KMS); empty: the server chooses (SSE-S3).
    """

    name: str
    lock_days: int = 0
    lock_mode: Literal["COMPLIANCE", "GOVERNANCE"] = "COMPLIANCE"
    encrypted: bool = False
    kms_key: str = ""


def prepare(server: Server, bucket: Bucket) -> None:
    """Make the bucket where it is missing, set what it must be, and check it. Safe to repeat.

    Raises:
        ApplianceError: APL-STORAGE-008 to 012; APL-STORAGE-013 what the store does not do.
    """
    check_name(bucket.name, server)
    client = connect(server)
    with errors_named(server, bucket.name):
        if not client.bucket_exists(bucket.name):
            try:
                client.make_bucket(bucket.name, object_lock=bucket.lock_days > 0)
            except S3Error as error:
                if error.code != "BucketAlreadyOwnedByYou":  # made by another in between
                    raise
        _set_versioning(client, server, bucket)
        if bucket.lock_days:
            _set_lock(client, server, bucket)
        if bucket.encrypted:
            _set_encryption(client, server, bucket)
        if bucket.lock_days or bucket.encrypted:
            _check_probe(client, server, bucket)


def _set_versioning(client: Minio, server: Server, bucket: Bucket) -> None:
    try:
        if client.get_bucket_versioning(bucket.name).status != ENABLED:
            client.set_bucket_versioning(bucket.name, VersioningConfig(ENABLED))
        found = client.get_bucket_versioning(bucket.name).status
    except S3Error as error:
        raise _lacks(server, bucket, "versioning", f"answered {error.code}: {error.message}", error) from error
    if found != ENABLED:
        raise _lacks(server, bucket, "versioning", f"says {found}")


def _set_lock(client: Minio, server: Server, bucket: Bucket) -> None:
    wanted = ObjectLockConfig(bucket.lock_mode, bucket.lock_days, DAYS)
    try:
        client.set_object_lock_config(bucket.name, wanted)
        found = client.get_object_lock_config(bucket.name)
    except S3Error as error:
        raise _lacks(server, bucket, "object lock", f"answered {error.code}: {error.message}", error) from error
    if found != wanted:
        said = f"was told {wanted.mode} {wanted.duration} days and says {found.mode} {found.duration}"
        raise _lacks(server, bucket, "object lock", said)


def _set_encryption(client: Minio, server: Server, bucket: Bucket) -> None:
    try:
        rule = Rule.new_sse_kms_rule(bucket.kms_key) if bucket.kms_key else Rule.new_sse_s3_rule()
        client.set_bucket_encryption(bucket.name, SSEConfig(rule))
        found = client.get_bucket_encryption(bucket.name)
    except S3Error as error:
        raise _lacks(server, bucket, "encryption", f"answered {error.code}: {error.message}", error) from error
    if found is None:
        raise _lacks(server, bucket, "encryption", "took the setting and has none")


def _check_probe(client: Minio, server: Server, bucket: Bucket) -> None:
    name = name_of(digest_bytes(PROBE))
    version = client.put_object(bucket.name, name, io.BytesIO(PROBE), len(PROBE)).version_id
    headers = client.stat_object(bucket.name, name, version_id=version).metadata or {}
    deleted = _delete(client, bucket, name, version)
    found = headers.get("x-amz-server-side-encryption", "nothing")
    if bucket.encrypted and found != ("aws:kms" if bucket.kms_key else "AES256"):
        raise _lacks(server, bucket, "encryption", f"took the setting and encrypted an object with {found}")
    if bucket.lock_days and deleted:
        raise _lacks(server, bucket, "object lock", "took the setting and deleted an object all the same")


def _delete(client: Minio, bucket: Bucket, name: str, version: str | None) -> bool:
    """Whether the version could be deleted."""
    try:
        client.remove_object(bucket.name, name, version_id=version)
    except S3Error as error:
        if not bucket.lock_days or error.code not in _LOCKED:
            raise
        return False
    return True


def _lacks(server: Server, bucket: Bucket, what: str, found: str, error: S3Error | None = None) -> ApplianceError:
    """The feature is missing, unless the error tells that we may not ask."""
    where = f"https://{server.address}/{bucket.name}"
    if error is not None and error.code in REFUSED:
        return ApplianceError(codes.STORE_REFUSED, f"{what}: the store {found}", where=where)
    return ApplianceError(codes.BUCKET_LACKS, f"{what}: the store {found}", where=where)
