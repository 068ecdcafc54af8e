"""What a site's settings say about its S3 server and its buckets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from appliance.config.model import StorageSection
from appliance.secrets.secret import from_text, to_text
from appliance.secrets.settings import Secrets
from appliance.storage.files import OBJECTS
from appliance.storage.s3.bucket import Bucket
from appliance.storage.s3.connection import Server


def server_of(settings: StorageSection, site_folder: Path, secrets: Secrets) -> Server:
    """The server that `settings.store` names, and who we are to it. Raises ApplianceError APL-SECRETS-001."""
    key = settings.store_access_key
    return Server(
        address=settings.store,
        access_key=key,
        secret=secrets.password_of("store", key, settings.store_secret_file),
        authority=site_folder / (settings.store_ca_file or "servers/certificates/ca.pem"),
    )


def properties_of(server: Server) -> dict[str, str]:
    """For Iceberg's way to files (`durable_io`); of the secret they have the place."""
    return {
        "appliance.store": server.address,
        "appliance.store-access-key": server.access_key,
        "appliance.store-secret": to_text(server.secret),
        "appliance.store-authority": str(server.authority),
    }


def server_from(properties: Mapping[str, str]) -> Server:
    """The server that `properties_of` described."""
    return Server(
        address=properties["appliance.store"],
        access_key=properties["appliance.store-access-key"],
        secret=from_text(properties["appliance.store-secret"]),
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
