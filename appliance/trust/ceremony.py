"""The signing ceremony: makes a site's keys, certificates, trust config and empty log, once.

Layout of the trust folder::

    trust-config.json         for every verifier; may be given to anybody
    log.vkey                  the log's key in C2SP form
    certificates/*.pem        root, issuing, timestamp
    enclave/*.pem             private keys, mode 0600: root, issuing, ct, timestamp, log
    log/                      the transparency log
    bundles/                  signed statements

Rules
1. All or nothing: everything is made in a folder beside and renamed into place.
2. The first entries of the log enroll the role keys. A record or signature counts only by an enrolled key.
3. The root key is used here only. `Enclave` never reads it: a site may move it to a safe afterwards.
4. Root and issuing authority are P-384, CT and timestamp keys P-256, the log key Ed25519.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.canonical import canonical
from appliance.base.clock import Clock, rfc3339
from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, keys, notes, trust_config
from appliance.trust.keys import Algorithm, FileKeys, KeyStore, SigningKey
from appliance.trust.tlog import TransparencyLog

ALGORITHMS: Mapping[str, Algorithm] = {
    "root": "p384",
    "issuing": "p384",
    "ct": "p256",
    "timestamp": "p256",
    "log": "ed25519",
}
ROOT_LIFETIME = dt.timedelta(days=20 * 365)
ISSUING_LIFETIME = dt.timedelta(days=10 * 365)
BACKDATING = dt.timedelta(days=1)  # the clocks of a site may differ so much on the first day


def log_origin(site_name: str) -> str:
    return f"log.{site_name}.appliance.internal"


def site_of(origin: str) -> str:
    """The site whose log has this origin."""
    return origin.removeprefix("log.").removesuffix(".appliance.internal")


def role_identity(site_name: str, role: str) -> str:
    """The SAN of what a role signs."""
    return f"https://{site_name}.appliance.internal/roles/{role}"


def identity_issuer(site_name: str) -> str:
    """The identity provider that leaves name."""
    return f"https://idp.{site_name}.appliance.internal"


@dataclass(frozen=True, kw_only=True)
class Enclave:
    """What signs: the open trust folder of a site."""

    folder: Path
    site_name: str
    trust_config: bytes
    authority: x509.Certificate
    timestamper: x509.Certificate
    authority_key: SigningKey
    ct_key: SigningKey
    timestamp_key: SigningKey
    log_signer: SigningKey

    @property
    def bundles(self) -> Path:
        return self.folder / "bundles"

    def identity(self, role: str) -> str:
        return role_identity(self.site_name, role)

    @property
    def issuer(self) -> str:
        return identity_issuer(self.site_name)

    def log(self) -> TransparencyLog:
        return TransparencyLog(self.folder / "log", log_origin(self.site_name), self.log_signer)

    def check_clock(self, now: dt.datetime) -> None:
        """Raises:
        ApplianceError: APL-TRUST-013, a signature made now could never verify.
        """
        start, end = self.authority.not_valid_before_utc, self.authority.not_valid_after_utc
        if not start + certificates.CLOCK_SLACK <= now <= end - certificates.LEAF_LIFETIME:
            raise ApplianceError(
                codes.CLOCK_REFUSED,
                f"the clock says {rfc3339(now)}, the authority lives from {rfc3339(start)} to {rfc3339(end)}",
            )


def init_trust(folder: Path, site_name: str, clock: Clock, roles: Mapping[str, bytes]) -> Enclave:
    """Make the trust folder of a site; `roles` maps each role to its public key (DER SubjectPublicKeyInfo).

    Raises:
        ApplianceError: APL-TRUST-007 there is one, APL-TRUST-005 two roles share a key, APL-BASE-002 it cannot be
            written; nothing was left behind.
    """
    if folder.exists():
        raise ApplianceError(codes.TRUST_EXISTS, f"{folder} exists", where=str(folder))
    if len(set(roles.values())) != len(roles):
        raise ApplianceError(codes.KEY_UNUSABLE, "two roles have the same key")
    now = clock.now().replace(microsecond=0)
    made = folder.with_name(f".tmp-{folder.name}")  # where the work lies that a failure must remove
    try:
        atomic.remove_tree(made)
        _make(made, site_name, now, roles)
        for path in (made, *(path for path in made.rglob("*") if path.is_dir())):
            atomic.fsync_folder(path)
        made = made.rename(folder)
        atomic.fsync_folder(folder.parent)
    except OSError as error:
        atomic.remove_tree(made)
        raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(folder)) from error
    except ApplianceError:
        atomic.remove_tree(made)
        raise
    return open_enclave(folder)


def open_enclave(folder: Path, store: KeyStore | None = None) -> Enclave:
    """Open the trust folder for signing; `store` holds the keys (the folder ``enclave`` by default).

    Raises:
        ApplianceError: APL-TRUST-008 there is none, APL-TRUST-004 or -005 a key cannot be used, APL-TRUST-012.
    """
    store = store or FileKeys(folder / "enclave")
    config = load_trust_config(folder)
    origin = trust_config.log_of(config).origin
    return Enclave(
        folder=folder,
        site_name=site_of(origin),
        trust_config=config,
        authority=_load_certificate(folder, "issuing"),
        timestamper=_load_certificate(folder, "timestamp"),
        authority_key=store.load("issuing"),
        ct_key=store.load("ct"),
        timestamp_key=store.load("timestamp"),
        log_signer=store.load("log"),
    )


def load_trust_config(folder: Path) -> bytes:
    """Raises:
    ApplianceError: APL-TRUST-008, there is none.
    """
    path = folder / "trust-config.json"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ApplianceError(codes.TRUST_MISSING, f"no trust config: {error.strerror}", where=str(path)) from error


def enrollment(role: str, public: bytes, when: dt.datetime) -> bytes:
    """The log entry that binds a key to a role."""
    return canonical(
        {
            "kind": "role-key",
            "role": role,
            "key_id": keys.key_id(keys.parse_public(public)),
            "public": base64.b64encode(public).decode(),
            "time": rfc3339(when),
        }
    )


def _make(folder: Path, site_name: str, now: dt.datetime, roles: Mapping[str, bytes]) -> None:
    store = FileKeys(folder / "enclave")
    made = {name: store.create(name, algorithm) for name, algorithm in ALGORITHMS.items()}
    start = now - BACKDATING
    root = certificates.issue_root(made["root"], name=f"{site_name} root R1", start=start, end=start + ROOT_LIFETIME)
    authority = certificates.issue_authority(
        made["issuing"],
        name=f"{site_name} signing S1",
        root=root,
        root_key=made["root"],
        start=start,
        end=start + ISSUING_LIFETIME,
    )
    timestamper = certificates.issue_timestamper(
        made["timestamp"],
        name=f"{site_name} time T1",
        root=root,
        root_key=made["root"],
        start=start,
        end=start + ISSUING_LIFETIME,
    )
    for name, certificate in (("root", root), ("issuing", authority), ("timestamp", timestamper)):
        atomic.write_bytes(folder / "certificates" / f"{name}.pem", certificates.to_pem(certificate))
    log = TransparencyLog(folder / "log", log_origin(site_name), made["log"])
    log.create()
    log.append([enrollment(role, public, now) for role, public in sorted(roles.items())])
    config = trust_config.build(
        site_name=site_name,
        log=notes.log_key(log_origin(site_name), made["log"].public),
        root=root,
        authority=authority,
        timestamper=timestamper,
        ct_public=made["ct"].public,
    )
    atomic.write_bytes(folder / "log.vkey", log.key.text().encode() + b"\n")
    (folder / "bundles").mkdir()
    atomic.write_bytes(folder / "trust-config.json", config)


def _load_certificate(folder: Path, name: str) -> x509.Certificate:
    path = folder / "certificates" / f"{name}.pem"
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ApplianceError(
            codes.TRUST_MISSING, f"no certificate {name}: {error.strerror}", where=str(path)
        ) from error
    except ValueError as error:
        raise ApplianceError(codes.KEY_UNUSABLE, f"not a certificate: {error}", where=str(path)) from error
