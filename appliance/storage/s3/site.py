"""What a site's settings say about its S3 server and its buckets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from appliance.config.model import StorageSection
from appliance.storage.files import OBJECTS
from appliance.storage.s3.bucket import Bucket
from appliance.storage.s3.connection import Server


def server_of(settings: StorageSection, site_folder: Path) -> Server:
    """The server that `settings.store` names, and who we are to it."""
    key = settings.store_access_key
    return Server(
        address=settings.store,
        access_key=key,
        secret_file=site_folder / (settings.store_secret_file or f"servers/secrets/minio-{key}"),
        authority=site_folder / (settings.store_ca_file or "servers/certificates/ca.pem"),
    )


def properties_of(server: Server) -> dict[str, str]:
    """For Iceberg's way to files (`durable_io`); no secret is among them."""
    return {
        "appliance.store": server.address,
        "appliance.store-access-key": server.access_key,
        "appliance.store-secret-file": str(server.secret_file),
        "appliance.store-authority": str(server.authority),
    }


def server_from(properties: Mapping[str, str]) -> Server:
    """The server that `properties_of` described."""
    return Server(
        address=properties["appliance.store"],
        access_key=properties["appliance.store-access-key"],
        secret_file=Path(properties["appliance.store-secret-file"]),
        authority=Path(properties["appliance.store-authority"]),
    )


def bucket_of(settings: StorageSection, first: str) -> str:
    """Name of the bucket with the files whose names begin so."""
    return f"{settings.store_buckets}-{first}"


def wanted(settings: StorageSection, first: str) -> Bucket:
    """What the bucket must be. Raw bytes are locked: nothing rests on anything but them.

    The lake is not: its metadata expires, and upkeep removes files that others stand in for.
    """
    return Bucket(
        name=bucket_of(settings, first),
        lock_days=settings.lock_days if first == OBJECTS else 0,
        encrypted=True,
    )
