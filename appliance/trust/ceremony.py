"""The signing ceremony: makes a site's keys, certificates, trust config, policy and empty log, once.

Layout of the trust folder::

    trust-config.json         for every verifier; may be given to anybody
    trust-policy.json         who may sign what, and when each key counts
    tlog-policy               which witnesses count
    log.vkey                  the log's key in C2SP form
    certificates/*.pem        root, issuing, timestamp; later generations root-2, ...
    tuf/, custody/*.pem       the first three for verifiers elsewhere, and who signs them (`appliance.trust.custody`)
    enclave/*.pem             private keys, mode 0600: root, issuing, ct, timestamp, log; later generations log-2, ...
    log/                      the transparency log
    bundles/                  signed statements

Rules
1. All or nothing: everything is made in a folder beside and renamed into place.
2. The log begins with the root key and the role keys. A record or signature counts only by an enrolled key
   (`appliance.trust.enrollment`).
3. The root key is used here and by `appliance.trust.rotation` only. `Enclave` never reads it: a site may keep it in a
   safe between.
4. Root and issuing authority are P-384, CT and timestamp keys P-256, the log key Ed25519.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import certificates, codes, custody, enrollment, keys, statements, trust_config, witness_policy
from appliance.trust import policy as policies
from appliance.trust.keys import Algorithm, FileKeys, KeyStore, SigningKey
from appliance.trust.policy import Approvals, Signers, TrustPolicy, Use, Window
from appliance.trust.tlog import TransparencyLog
from appliance.trust.trust_config import TrustedKeys

T = TypeVar("T")

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


def domain(site_name: str) -> str:
    return f"https://{site_name}.appliance.internal"


def role_identity(site_name: str, actor: str) -> str:
    """The SAN of what a role signs, or of what a person in a role signs (``approver/alice``)."""
    role, slash, name = actor.partition("/")
    return f"{domain(site_name)}/{role}s/{name}" if slash else f"{domain(site_name)}/roles/{role}"


def identity_issuer(site_name: str) -> str:
    """The identity provider that leaves name."""
    return f"https://idp.{site_name}.appliance.internal"


@dataclass(frozen=True, kw_only=True)
class Enclave:
    """What signs: the open trust folder of a site, with the newest key of each use."""

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


def init_trust(
    folder: Path, site_name: str, clock: Clock, roles: Mapping[str, bytes], store: KeyStore | None = None
) -> Enclave:
    """Make the trust folder of a site; `roles` maps each role to its public key (DER SubjectPublicKeyInfo).

    Args:
        store: where the private keys are made; the folder ``enclave`` by default. Keys in a store elsewhere outlast a
            ceremony that failed: they are never taken over, somebody removes them.

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
        _make(made, site_name, now, roles, store or FileKeys(made / "enclave"))
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
    return open_enclave(folder, store)


def open_enclave(folder: Path, store: KeyStore | None = None) -> Enclave:
    """Open the trust folder for signing; `store` holds the keys (the folder ``enclave`` by default).

    Raises:
        ApplianceError: APL-TRUST-008 there is none, APL-TRUST-004 or -005 a key cannot be used, APL-TRUST-012.
    """
    store = store or FileKeys(folder / "enclave")
    config = load_trust_config(folder)
    trusted = trust_config.parse(config)
    authority, timestamper = trusted.authorities[0][0], trusted.timestampers[0][0]
    return Enclave(
        folder=folder,
        site_name=site_of(trusted.log.origin),
        trust_config=config,
        authority=authority,
        timestamper=timestamper,
        authority_key=load_newest(store, "issuing", certificates.public_of(authority)),
        ct_key=load_newest(store, "ct", trusted.cts[0]),
        timestamp_key=load_newest(store, "timestamp", certificates.public_of(timestamper)),
        log_signer=load_newest(store, "log", trusted.log.public),
    )


def generation_names(use: str) -> tuple[str, ...]:
    """Names of the keys of a use: the first, its successor, and so on; a site rotates less often than this."""
    return (use, *(f"{use}-{number}" for number in range(2, 100)))


def load_newest(store: KeyStore, use: str, public: keys.PublicKey) -> SigningKey:
    """The key of `use` whose public half the trust config names as the newest.

    Raises:
        ApplianceError: APL-TRUST-005 the store has no such key, APL-TRUST-004.
    """
    held: list[str] = []
    for name in generation_names(use):
        if store.holds(name):
            held.append(name)
        elif held:
            break  # generations follow each other; a key server is not asked for a hundred names
    for name in reversed(held):
        key = store.load(name)
        if keys.spki(key.public) == keys.spki(public):
            return key
    if not held:
        store.load(use)  # says what is missing, and where
    raise ApplianceError(codes.KEY_UNUSABLE, f"no key {use} of the store is {keys.key_id(public)}")


def load_trust_config(folder: Path) -> bytes:
    """Raises:
    ApplianceError: APL-TRUST-008, there is none.
    """
    return _load(folder / trust_config.FILE_NAME)


def load_policy(folder: Path) -> TrustPolicy:
    """Raises:
    ApplianceError: APL-TRUST-008 there is none, APL-TRUST-016 it is not valid.
    """
    return _parsed(folder / policies.FILE_NAME, policies.parse_policy)


def load_witness_policy(folder: Path) -> witness_policy.WitnessPolicy:
    """Raises:
    ApplianceError: APL-TRUST-008 there is none, APL-TRUST-016 or -005 it is not valid.
    """
    return _parsed(folder / witness_policy.FILE_NAME, witness_policy.parse_witness_policy)


def _parsed(path: Path, parse: Callable[[bytes], T]) -> T:
    data = _load(path)
    try:
        return parse(data)
    except ApplianceError as error:
        raise ApplianceError(error.code, error.message, where=str(path)) from error


def _load(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ApplianceError(codes.TRUST_MISSING, f"cannot be read: {error.strerror}", where=str(path)) from error


def first_policy(site_name: str, trusted: TrustedKeys, start: dt.datetime) -> TrustPolicy:
    """What a new site allows: each kind of statement by its roles, one approval, every key from `start` on."""
    roles = {
        statements.TRAINING_SET: ("roles/data-scientist",),
        statements.MODEL: ("roles/data-scientist", "roles/operator"),
        statements.MODEL_SIGNING: ("roles/data-scientist", "roles/operator"),
        statements.APPROVAL: ("roles/approver", "approvers/*"),
        statements.RELEASE: ("roles/release-engineer", "builders/*"),
        statements.DEPLOYMENT: ("roles/operator", "nodes/*"),
        statements.VERIFICATION_SUMMARY: ("roles/auditor", "roles/release-engineer", "auditors/*"),
        statements.REVOCATION: ("roles/operator", "custodians/*"),
        statements.CEREMONY: ("roles/operator", "custodians/*"),
    }
    whole = {kind: tuple(f"{domain(site_name)}/{each}" for each in listed) for kind, listed in roles.items()}
    return TrustPolicy(
        version=1,
        site=site_name,
        origin=trusted.log.origin,
        issuer=identity_issuer(site_name),
        signers=tuple(Signers(predicate_type=kind, identities=listed) for kind, listed in whole.items()),
        approvals=(Approvals(scope="live", threshold=1, approvers=whole[statements.APPROVAL]),),
        windows=tuple(open_window(use, id, 0, start) for use, id in used_keys(trusted).items()),
    )


def used_keys(trusted: TrustedKeys) -> dict[Use, str]:
    """Use -> id of the newest key, as the policy names it."""
    return {
        "log": keys.key_id(trusted.log.public),
        "ct": keys.key_id(trusted.cts[0]),
        "issuing": digest_bytes(trusted.authorities[0][0].public_bytes(Encoding.DER)),
        "timestamp": digest_bytes(trusted.timestampers[0][0].public_bytes(Encoding.DER)),
    }


def open_window(use: Use, id: str, first_index: int, start: dt.datetime) -> Window:
    return Window(use=use, id=id, first_index=first_index, last_index=None, start=rfc3339(start), until=None)


def _make(folder: Path, site_name: str, now: dt.datetime, roles: Mapping[str, bytes], store: KeyStore) -> None:
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
    log.append(enrollment.head(made["root"].public, roles, now))
    trusted = TrustedKeys(
        logs=(log.key,),
        cts=(made["ct"].public,),
        authorities=((authority, root),),
        timestampers=((timestamper, root),),
    )
    (folder / "bundles").mkdir()
    atomic.write_bytes(folder / "log.vkey", log.key.text().encode() + b"\n")
    targets = {
        witness_policy.FILE_NAME: witness_policy.make_policy(log.key, {}, 0),
        policies.FILE_NAME: first_policy(site_name, trusted, start).encode(),
        trust_config.FILE_NAME: trust_config.build(site_name, trusted),
    }
    custody.create(folder, custody.custody_of(folder), targets, now)
    custody.settle(folder)
