"""Publishes what verifiers are to believe: trust config, policy, witness policy and verifiers, as TUF targets.

Layout: ``tuf/`` the repository that is copied to media, ``custody/*.pem`` the keys that sign it. A site that lets its
custodians take their keys away splits the signing over machines (`appliance.trust.tuf.signing`).

Rules
1. The repository is the truth. The files of the same name in the trust folder are copies: `settle` makes them so, and
   runs before and after every change, so that a crash between the two is mended by the next command.
2. Custodians sign root and targets; the publisher signs snapshot and timestamp. They are not keys of the enclave.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.trust import codes, keys, trust_config, witness_policy
from appliance.trust import policy as policies
from appliance.trust.keys import Algorithm, FileKeys, KeyStore, SigningKey

CUSTODIANS: Mapping[str, Algorithm] = {
    "custodian-1": "ed25519",
    "custodian-2": "ed25519",
    "custodian-3": "ed25519",
    "custodian-lattice": "mldsa65",
}
PUBLISHER = "publisher"
VERIFIERS = ("verify.py", "verify.pyz", "verify.sh")
COPIES = (trust_config.FILE_NAME, policies.FILE_NAME, witness_policy.FILE_NAME)


class Publication(Protocol):
    """How a change of what verifiers believe is signed: at once (`Custody`) or elsewhere (`drafts.Drafting`)."""

    def publish(self, trust: Path, changes: Mapping[str, bytes], now: dt.datetime) -> None:
        """Replace the targets named in `changes`, renew the verifiers, keep the others."""


@dataclass(frozen=True, kw_only=True)
class Custody:
    """The keys at hand that sign the repository."""

    custodians: Sequence[SigningKey]
    publisher: SigningKey

    def publish(self, trust: Path, changes: Mapping[str, bytes], now: dt.datetime) -> None:
        """Publish, and settle the copies.

        Raises:
            ApplianceError: see `tuf.repository.publish`; the copies are as before.
        """
        from appliance.trust.tuf import repository

        folder = trust / "tuf"
        repository.update(
            folder,
            custodians=self.custodians,
            publisher=self.publisher,
            targets={**repository.contents(folder), **verifiers(), **changes},
            now=now,
        )
        settle(trust)


def create(trust: Path, store: KeyStore, targets: Mapping[str, bytes], now: dt.datetime) -> str:
    """Make custody keys and the repository; gives the digest of its first root, which is written down.

    Raises:
        ApplianceError: APL-TRUST-006 a key is there, APL-BASE-002.
    """
    from appliance.trust.tuf import repository  # 0.2 s, which commands that publish nothing need not pay

    custodians = [store.create(name, algorithm) for name, algorithm in CUSTODIANS.items()]
    publisher = store.create(PUBLISHER, "ed25519")
    return repository.create(
        trust / "tuf", custodians=custodians, publisher=publisher, targets={**verifiers(), **targets}, now=now
    )


def verifiers() -> dict[str, bytes]:
    """The verifiers of this version of the product, which travel as targets."""
    from appliance.trust import standalone

    made = (standalone.build_verify_py(), standalone.build_pyz(), standalone.read_verify_sh())
    return dict(zip(VERIFIERS, made, strict=True))


def custody_of(trust: Path) -> KeyStore:
    """The store of the custody keys of a site that keeps them itself."""
    return FileKeys(trust / "custody")


def open_custody(trust: Path, store: KeyStore | None = None) -> Custody:
    """The keys that the newest root names and that are at hand.

    Raises:
        ApplianceError: APL-TRUST-032, too few are at hand; APL-TRUST-004 or -005.
    """
    from appliance.trust.tuf import repository, signing

    store = store or custody_of(trust)
    root = repository.newest_root(trust / "tuf")
    wanted = signing.keys_of(root) if root is not None else {}
    held = [store.load(name) for name in key_names(store)]
    custodians = [key for key in held if keys.key_id(key.public) in wanted.get("targets", ())]
    publishers = [key for key in held if keys.key_id(key.public) in wanted.get("timestamp", ())]
    if len(custodians) < signing.THRESHOLD or not publishers:
        raise ApplianceError(
            codes.CUSTODY_AWAY,
            f"expected {signing.THRESHOLD} custodian keys and the publisher's, found {len(custodians)} and "
            f"{len(publishers)}",
            where=str(trust / "custody"),
        )
    return Custody(custodians=custodians, publisher=publishers[0])


def open_publisher(trust: Path, *, root: bytes | None = None) -> SigningKey:
    """The publisher's key at hand, of the newest root or of `root`, which is about to be published.

    Raises:
        ApplianceError: APL-TRUST-032, none is; APL-TRUST-004 or -005.
    """
    from appliance.trust.tuf import repository, signing

    store = custody_of(trust)
    judge = root if root is not None else repository.newest_root(trust / "tuf")
    wanted = signing.keys_of(judge)["timestamp"] if judge is not None else frozenset()
    for name in key_names(store):
        key = store.load(name)
        if keys.key_id(key.public) in wanted:
            return key
    raise ApplianceError(codes.CUSTODY_AWAY, "the publisher's key is not here", where=str(trust / "custody"))


def key_names(store: KeyStore) -> list[str]:
    """Names of all custody keys of a store, first generations first."""
    names = (*CUSTODIANS, PUBLISHER)
    every = [name if number == 1 else f"{name}-{number}" for number in range(1, 100) for name in names]
    return [name for name in every if store.holds(name)]


def settle(trust: Path) -> None:
    """Make the copies equal to the targets.

    Raises:
        ApplianceError: APL-BASE-002.
    """
    from appliance.trust.tuf import repository

    contents = repository.contents(trust / "tuf")
    for name in COPIES:
        path = trust / name
        if name in contents and (not path.is_file() or path.read_bytes() != contents[name]):
            atomic.write_bytes(path, contents[name])


def copy_repository(trust: Path, target: Path) -> int:
    """Bring a medium up to date; gives the number of files. ``timestamp.json`` is written last (TUF section 6.2).

    Raises:
        ApplianceError: APL-BASE-002; a reader of the medium sees what it held before.
    """
    source = trust / "tuf"
    paths = [path for place in ("targets", "metadata") for path in sorted((source / place).rglob("*"))]
    files = [path for path in paths if path.is_file() and not path.name.startswith(".")]
    for path in sorted(files, key=lambda path: path.name == "timestamp.json"):
        copy = target / path.relative_to(source)
        if not copy.is_file() or copy.read_bytes() != path.read_bytes():
            atomic.write_bytes(copy, path.read_bytes())
    return len(files)


def root_digest(trust: Path) -> str:
    """Digest of the first root of the repository: what auditors pin.

    Raises:
        ApplianceError: APL-TRUST-008, there is no repository.
    """
    from appliance.base.digest import digest_file

    path = trust / "tuf" / "metadata" / "1.root.json"
    try:
        return digest_file(path)
    except OSError as error:
        raise ApplianceError(codes.TRUST_MISSING, f"cannot be read: {error.strerror}", where=str(path)) from error
