"""MinIO: TLS, one drive, everything encrypted with the static KMS key; no browser, no look for updates."""

from __future__ import annotations

import base64
import json
import secrets

from appliance.base import atomic
from appliance.deploy.servers.https import ask, expect_ok
from appliance.deploy.servers.place import Place, Program, damaged

NAME = "minio"
ROOT_USER = "appliance"
KMS_KEY = "minio-kms-key"  # name of the secret; the key's own name is the site's


def check(place: Place) -> None:
    identity = place.folder / NAME / "data" / ".minio.sys" / "format.json"
    if identity.parent.exists():
        try:
            json.loads(identity.read_bytes())
        except (OSError, ValueError) as error:
            raise damaged(identity, f"the drive's identity cannot be read: {error}") from error
    key = place.secret_file(KMS_KEY)
    if identity.parent.exists() and not key.exists():
        raise damaged(key, "without it no object can be decrypted")


def prepare(place: Place) -> None:
    home = place.home(NAME)
    (home / "data").mkdir(exist_ok=True, mode=0o700)
    certificates = home / "certificates"
    for source, name in (
        (place.certificate(NAME), "public.crt"),
        (place.key(NAME), "private.key"),
        (place.authority, "CAs/ca.crt"),
    ):
        atomic.write_bytes(certificates / name, source.read_bytes(), mode=0o600)
    if not place.secret_file(KMS_KEY).exists():
        place.keep_secret(KMS_KEY, "site-1:" + base64.b64encode(secrets.token_bytes(32)).decode())


def program(place: Place) -> Program:
    home = place.folder / NAME
    return Program(
        command=(
            *(str(place.built(NAME)), "server"),
            *("--address", place.address(NAME)),
            *("--certs-dir", f"{home}/certificates"),
            f"{home}/data",
        ),
        environment=(
            ("MINIO_ROOT_USER", ROOT_USER),
            ("MINIO_ROOT_PASSWORD", place.secret(NAME)),
            ("MINIO_KMS_SECRET_KEY", place.secret(KMS_KEY)),
            ("MINIO_KMS_AUTO_ENCRYPTION", "on"),
            ("MINIO_BROWSER", "off"),
            ("MINIO_UPDATE", "off"),
            ("MINIO_PROMETHEUS_AUTH_TYPE", "public"),  # figures only, on loopback
            ("GOMEMLIMIT", "768MiB"),
            ("HOME", str(home)),
        ),
    )


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    """The drive is online and takes writes."""
    expect_ok(ask(place, NAME, "/minio/health/cluster"))


def settle(place: Place) -> None:
    """The buckets of the site and a key for each role; a secret that was renewed becomes the key's."""
    # Imported here: only `up` needs the client, and it is slow to load.
    from appliance.secrets.secret import FileSecret
    from appliance.storage.files import LAKE, OBJECTS
    from appliance.storage.s3 import access, bucket
    from appliance.storage.s3.connection import Server
    from appliance.storage.s3.site import wanted

    administrator = Server(
        address=place.address(NAME),
        access_key=ROOT_USER,
        secret=FileSecret(place.secret_file(NAME)),
        authority=place.authority,
    )
    buckets = {each: wanted(place.storage, each) for each in (LAKE, OBJECTS)}
    for each in buckets.values():
        bucket.prepare(administrator, each)
    for role in access.ROLES:
        secret = place.secret(f"{NAME}-{role}")
        access.allow(administrator, role, secret, {first: each.name for first, each in buckets.items()})
