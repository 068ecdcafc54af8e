"""Who may do what with a site's buckets: a key for each role, which has one job.

The site writes new files and removes those of the lake; raw bytes it can neither replace nor remove. The auditor reads.
The server's own administrator makes buckets and keys, and is nobody's key for the daily work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minio import MinioAdmin
from minio.error import MinioAdminException

from appliance.base.errors import ApplianceError
from appliance.storage import codes
from appliance.storage.files import LAKE, OBJECTS
from appliance.storage.s3.connection import Server, errors_named, login_of, pool_of

SITE, AUDITOR = "site", "auditor"
ROLES = (SITE, AUDITOR)
_READ = ("s3:GetObject", "s3:GetObjectVersion")
_LIST = ("s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation")
_ACTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    SITE: {
        LAKE: (*_READ, "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"),
        OBJECTS: (*_READ, "s3:PutObject", "s3:AbortMultipartUpload"),
    },
    AUDITOR: {LAKE: _READ, OBJECTS: _READ},
}


def allow(administrator: Server, role: str, secret: str, buckets: Mapping[str, str]) -> None:
    """Make the key of a role, with its secret, or renew the secret. Safe to repeat.

    Args:
        buckets: `LAKE` and `OBJECTS` -> name of the bucket.

    Raises:
        ApplianceError: APL-STORAGE-008 to 012.
    """
    client = MinioAdmin(
        endpoint=administrator.address,
        credentials=login_of(administrator),
        region=administrator.region,
        http_client=pool_of(administrator),
    )
    name = f"appliance-{role}"
    with errors_named(administrator, ""):
        try:
            client.policy_add(name, policy=_policy(_ACTIONS[role], buckets))
            client.user_add(role, secret)
            if name not in client.user_info(role):
                client.policy_set(name, user=role)
        except MinioAdminException as error:
            raise ApplianceError(
                codes.STORE_FAILED, f"the key of {role} could not be made: {error}", where=administrator.address
            ) from error


def _policy(actions: Mapping[str, tuple[str, ...]], buckets: Mapping[str, str]) -> dict[str, Any]:
    statements: list[dict[str, Any]] = []
    for first, allowed in actions.items():
        resource = f"arn:aws:s3:::{buckets[first]}"
        statements += [
            {"Effect": "Allow", "Action": list(_LIST), "Resource": [resource]},
            {"Effect": "Allow", "Action": list(allowed), "Resource": [f"{resource}/*"]},
        ]
    return {"Version": "2012-10-17", "Statement": statements}
