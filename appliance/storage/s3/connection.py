"""The way to an S3 server: TLS by the site's authority alone, time limits, and errors with codes.

Rules
1. Only the site's authority is trusted; the secret is sent to nobody else, and redirects are not followed.
2. Nothing is tried twice. A retry could hide what went wrong: a server whose drive was emptied formats it anew in the
   meantime, and a refused write then looks like a slow success. Callers may repeat; every write is harmless twice.
3. A server that cannot be reached or that does not greet is given up after `CONNECT_S`. One that falls silent within
   a request is given up after `ANSWER_S`; it may be waiting for its drive.
4. A writing client never replaces an object (``If-None-Match: *`` on what makes an object visible).
"""

from __future__ import annotations

import contextlib
import math
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider
from minio.error import InvalidResponseError, MinioException, S3Error
from urllib3.exceptions import HTTPError, SSLError

from appliance.base.errors import ApplianceError, Code
from appliance.secrets.secret import Secret
from appliance.storage import codes

CONNECT_S = 3.0  # TCP and TLS; leaves two of the five seconds in which an error must be told
KEPT_S = 5.0  # a secret; a lake makes many requests in a second, and each would ask OpenBao
ANSWER_S = 30.0  # a part of `store.PART_BYTES` onto a busy drive, with room
# S3's codes, and versitygw's own for an access key that it does not know.
REFUSED = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "XAdminUserNotFound"}
)


@dataclass(frozen=True, kw_only=True)
class Server:
    """An S3 server and who we are to it.

    Attributes:
        address: ``host:port``; always TLS.
        secret: of `access_key`.
        authority: PEM file of the authority that issued the server's certificate.
        region: what requests are signed for; one-site servers keep the default.
    """

    address: str
    access_key: str
    secret: Secret
    authority: Path
    region: str = "us-east-1"


def connect(server: Server, *, write_once: bool = False) -> Minio:
    """A client; no request is sent yet. With `write_once` it cannot replace an object.

    Raises:
        ApplianceError: APL-STORAGE-010 the authority's file cannot be used, APL-STORAGE-014.
    """
    pool = pool_of(server, _WriteOnce if write_once else urllib3.PoolManager)
    # With the region given, the client does not ask for it: many policies forbid that question.
    return Minio(server.address, credentials=login_of(server), region=server.region, http_client=pool)


def pool_of(server: Server, kind: type[urllib3.PoolManager] = urllib3.PoolManager) -> urllib3.PoolManager:
    """Connections as the rules above want them. Raises ApplianceError APL-STORAGE-010."""
    try:
        context = ssl.create_default_context(cafile=str(server.authority))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ApplianceError(
            codes.STORE_UNTRUSTED, f"the authority's file cannot be used: {reason}", where=str(server.authority)
        ) from error
    return kind(
        ssl_context=context,
        timeout=urllib3.Timeout(connect=CONNECT_S, read=ANSWER_S),
        retries=False,
        maxsize=10,
    )


def login_of(server: Server) -> Provider:
    """Who we are to the server. Raises ApplianceError APL-STORAGE-014, APL-SECRETS-002 to 009."""
    login = _Login(server)
    login.retrieve()
    return login


class _Login(Provider):
    """Asked for each request. Reads the secret again after `KEPT_S`, so that a renewed one counts without a restart."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._read = Credentials(server.access_key, "-")  # replaced before it is used
        self._read_at = -math.inf

    def retrieve(self) -> Credentials:
        """Raises ApplianceError APL-STORAGE-014, APL-SECRETS-002 to 009."""
        if time.monotonic() - self._read_at >= KEPT_S:
            secret = self._server.secret.read(code=codes.SECRET_UNREADABLE)
            self._read, self._read_at = Credentials(self._server.access_key, secret), time.monotonic()
        return self._read


class _WriteOnce(urllib3.PoolManager):
    """Adds the condition to requests that make an object visible; the client library has no argument for it.

    The header is not among the signed ones; TLS guards it as it guards the body.
    """

    def urlopen(  # type: ignore[override]  # as urllib3's own pool manager differs from its base
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        makes_visible = method == "PUT" and "partNumber=" not in url
        completes = method == "POST" and "uploadId=" in url
        if makes_visible or completes:
            options["headers"].add("If-None-Match", "*")
        return super().urlopen(method, url, redirect=redirect, **options)


@contextlib.contextmanager
def errors_named(server: Server, bucket: str) -> Iterator[None]:
    """Turn what the client library raises into errors with codes that name cause and fix.

    Raises:
        ApplianceError: APL-STORAGE-008 to 012.
    """
    where = f"https://{server.address}/{bucket}"
    try:
        yield
    except S3Error as error:
        code, message = _named(error, server, bucket)
        raise ApplianceError(code, message, where=where) from error
    except (MinioException, SSLError, HTTPError) as error:
        code, message = _failed(error, server)
        raise ApplianceError(code, message, where=where) from error


def _named(error: S3Error, server: Server, bucket: str) -> tuple[Code, str]:
    if error.code == "NoSuchBucket":
        return codes.BUCKET_MISSING, f"the store has no bucket {bucket!r}"
    said = f"the store answered {error.code}" + (f": {error.message}" if error.message else "")
    if error.code in REFUSED:
        return codes.STORE_REFUSED, f"access key {server.access_key!r}: {said}"
    return codes.STORE_FAILED, said


def _failed(error: Exception, server: Server) -> tuple[Code, str]:
    if isinstance(error, InvalidResponseError):
        return codes.STORE_FAILED, f"{server.address} does not answer as S3: {error}"
    if isinstance(error, MinioException):
        return codes.STORE_FAILED, str(error)
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "CertificateError" in text:
        reason = text.rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return codes.STORE_UNTRUSTED, f"{server.address}: {reason}, trusting {server.authority}"
    return codes.STORE_AWAY, f"{server.address}: {text}"
