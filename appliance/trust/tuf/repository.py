"""A TUF 1.0 repository in a folder that is copied to media.

    metadata/<N>.root.json  <N>.targets.json  <N>.snapshot.json  timestamp.json
    targets/<sha256>.<name>

Rules
1. Consistent snapshots (TUF section 6.2): nothing that a client may be reading is overwritten but ``timestamp.json``.
2. ``timestamp.json`` is written last. After a crash clients see the state before; run the command again. Only a new
   root counts at once: that is what takes trust away from a replaced key.
3. Nothing is published that our own client would refuse: signatures, versions and files are checked first.
4. `draft_targets` stores the files, under the digests of their content: nothing refers to them before `publish`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from appliance.base import atomic
from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.tuf import codes, metadata, signing
from appliance.trust.tuf.signing import LIFETIME, ROOT_LIFETIME


@dataclass(frozen=True, kw_only=True)
class Published:
    """Versions that a client finds now."""

    root: int
    timestamp: int
    snapshot: int
    targets: int


def create(
    folder: Path,
    *,
    custodians: Sequence[keys.SigningKey],
    publisher: keys.SigningKey,
    targets: Mapping[str, bytes],
    now: dt.datetime,
    root_lifetime: dt.timedelta = ROOT_LIFETIME,
    lifetime: dt.timedelta = LIFETIME,
) -> str:
    """Make a repository where all keys are at hand; gives the digest of its first root, which clients pin.

    Raises:
        ApplianceError: APL-TUF-009 there is one, APL-TUF-013 keys or names are not allowed, APL-BASE-002.
    """
    if newest_root(folder) is not None:
        raise ApplianceError(codes.REPOSITORY_EXISTS, f"{folder} holds a repository", where=str(folder))
    draft = signing.draft_root(
        custodians=[key.public for key in custodians], publisher=publisher.public, now=now, lifetime=root_lifetime
    )
    root = _sign(draft, custodians, root=None)
    listed = _sign(draft_targets(folder, targets, now=now, lifetime=lifetime), custodians, root=root)
    publish(folder, root=root, targets=listed, publisher=publisher, now=now, lifetime=lifetime)
    return digest_bytes(root)


def update(
    folder: Path,
    *,
    custodians: Sequence[keys.SigningKey],
    publisher: keys.SigningKey,
    targets: Mapping[str, bytes],
    now: dt.datetime,
    lifetime: dt.timedelta = LIFETIME,
) -> Published:
    """Replace the targets by `targets` where all keys are at hand.

    Raises:
        ApplianceError: see `publish`.
    """
    draft = draft_targets(folder, targets, now=now, lifetime=lifetime)
    listed = _sign(draft, custodians, root=newest_root(folder), previous=newest_targets(folder))
    return publish(folder, targets=listed, publisher=publisher, now=now, lifetime=lifetime)


def rotate(
    folder: Path,
    *,
    signers: Sequence[keys.SigningKey],
    custodians: Sequence[keys.PublicKey],
    publisher: keys.SigningKey,
    now: dt.datetime,
    root_lifetime: dt.timedelta = ROOT_LIFETIME,
    lifetime: dt.timedelta = LIFETIME,
) -> Published:
    """The next root, with these custodians and this publisher (TUF section 6.1), and the same targets signed anew.

    `signers` are all keys at hand, old and new: the root before and the new one must both be satisfied. The targets are
    signed again because a replaced key's signature under them no longer counts.

    Raises:
        ApplianceError: see `publish`.
    """
    before = newest_root(folder)
    draft = signing.draft_root(
        custodians=custodians, publisher=publisher.public, now=now, previous=before, lifetime=root_lifetime
    )
    root = _sign(draft, signers, root=before)
    again = draft_targets(folder, contents(folder), now=now, lifetime=lifetime)
    listed = _sign(again, signers, root=root, previous=newest_targets(folder))
    return publish(folder, root=root, targets=listed, publisher=publisher, now=now, lifetime=lifetime)


def draft_targets(
    folder: Path, targets: Mapping[str, bytes], *, now: dt.datetime, lifetime: dt.timedelta = LIFETIME
) -> bytes:
    """Store the files and draft the next list of them; the list is complete: what it lacks is withdrawn.

    Raises:
        ApplianceError: APL-TUF-013 a name is not allowed, APL-BASE-002.
    """
    current = newest_targets(folder)
    version = metadata.parse(Targets, current, "targets").signed.version if current is not None else 0
    draft = signing.draft_of_targets(targets, version=version + 1, now=now, lifetime=lifetime)
    for name, data in targets.items():
        path = folder / "targets" / target_path(name, digest_bytes(data))
        if not path.is_file() or path.read_bytes() != data:
            atomic.write_bytes(path, data)
    return draft


def publish(
    folder: Path,
    *,
    publisher: keys.SigningKey,
    now: dt.datetime,
    root: bytes | None = None,
    targets: bytes | None = None,
    lifetime: dt.timedelta = LIFETIME,
) -> Published:
    """Let clients see a signed root, signed targets, or, without either, the same for a longer time.

    Raises:
        ApplianceError: APL-TUF-003 there are too few signatures, APL-TUF-011 `publisher` is not the publisher of the
            root, APL-TUF-013 versions do not follow or a file is missing, APL-BASE-002; `timestamp.json` is as before.
    """
    with atomic.exclusive(folder / "lock"):
        believed = _checked_root(folder, root)
        listed = _checked_targets(folder, targets, believed.signed)
        key_id = metadata.library_key(publisher.public).keyid
        for role in signing.PUBLISHER_ROLES:
            if key_id not in believed.signed.roles[role].keyids:
                raise ApplianceError(
                    codes.KEY_NOT_IN_ROLE, f"{key_id} is not the {role} key of root version {believed.signed.version}"
                )
        stamp, snap = _current(folder)
        expires = (now + lifetime).replace(microsecond=0)
        snapshot = Snapshot(
            version=(snap.version if snap else 0) + 1,
            expires=expires,
            meta={"targets.json": MetaFile(listed.signed.version)},
        )
        timestamp = Timestamp(
            version=(stamp.version if stamp else 0) + 1, expires=expires, snapshot_meta=MetaFile(snapshot.version)
        )
        place = folder / "metadata"
        if root is not None:
            atomic.write_bytes(place / f"{believed.signed.version}.root.json", root)
        if targets is not None:
            atomic.write_bytes(place / f"{listed.signed.version}.targets.json", targets)
        atomic.write_bytes(place / f"{snapshot.version}.snapshot.json", _signed_online(Metadata(snapshot), publisher))
        atomic.write_bytes(place / "timestamp.json", _signed_online(Metadata(timestamp), publisher))
    return Published(
        root=believed.signed.version,
        timestamp=timestamp.version,
        snapshot=snapshot.version,
        targets=listed.signed.version,
    )


def newest_root(folder: Path) -> bytes | None:
    """The signed root of the greatest version; none before the first `publish`."""
    found = None
    version = 1
    while (path := folder / "metadata" / f"{version}.root.json").is_file():
        found = path.read_bytes()
        version += 1
    return found


def newest_targets(folder: Path) -> bytes | None:
    """The signed list of targets that clients see; none before the first `publish`."""
    _, snapshot = _current(folder)
    if snapshot is None:
        return None
    return (folder / "metadata" / f"{snapshot.meta['targets.json'].version}.targets.json").read_bytes()


def contents(folder: Path, targets: bytes | None = None) -> dict[str, bytes]:
    """Target name -> content, of the list `targets`, or of the one that clients see.

    Raises:
        ApplianceError: APL-TUF-013, a file is missing.
    """
    listed = newest_targets(folder) if targets is None else targets
    if listed is None:
        return {}
    found = {}
    for name, digest in signing.target_digests(metadata.parse(Targets, listed, "targets").signed).items():
        path = folder / "targets" / target_path(name, digest)
        try:
            found[name] = path.read_bytes()
        except OSError as error:
            raise ApplianceError(
                codes.DRAFT_REFUSED, f"target {name} with {digest} is not here", where=str(path)
            ) from error
    return found


def target_path(name: str, digest: str) -> str:
    """Where a target lies below ``targets/``: the digest stands before the last part of its name (TUF section 6.2)."""
    above, slash, last = name.rpartition("/")
    return f"{above}{slash}{hex_of(digest)}.{last}"


def _sign(
    draft: bytes, signers: Sequence[keys.SigningKey], *, root: bytes | None, previous: bytes | None = None
) -> bytes:
    request = signing.signing_request(draft, root=root, previous=previous)
    counting = signing.parse_request(request).signers
    able = [key for key in signers if metadata.library_key(key.public).keyid in counting]
    return signing.assemble(draft, [signing.sign_request(request, key) for key in able], root=root)


def _checked_root(folder: Path, root: bytes | None) -> Metadata[Root]:
    current = newest_root(folder)
    if root is None or root == current:
        if current is None:
            raise ApplianceError(codes.DRAFT_REFUSED, "there is no root yet", where=str(folder))
        return metadata.parse(Root, current, "root")
    parsed = metadata.parse(Root, root, "root")
    if current is None and parsed.signed.version != 1:
        raise ApplianceError(codes.DRAFT_REFUSED, f"expected root version 1, got {parsed.signed.version}")
    signing.check(parsed, current)
    return parsed


def _checked_targets(folder: Path, targets: bytes | None, root: Root) -> Metadata[Targets]:
    current = newest_targets(folder)
    chosen = targets if targets is not None else current
    if chosen is None:
        raise ApplianceError(codes.DRAFT_REFUSED, "there are no targets yet", where=str(folder))
    parsed = metadata.parse(Targets, chosen, "targets")
    metadata.check_targets(parsed, root, f"{parsed.signed.version}.targets.json")
    version = metadata.parse(Targets, current, "targets").signed.version if current is not None else 0
    if chosen != current and parsed.signed.version != version + 1:
        raise ApplianceError(
            codes.DRAFT_REFUSED, f"expected version {version + 1} of targets, got {parsed.signed.version}"
        )
    for name, digest in signing.target_digests(parsed.signed).items():
        path = folder / "targets" / target_path(name, digest)
        if not path.is_file() or digest_bytes(path.read_bytes()) != digest:
            raise ApplianceError(codes.DRAFT_REFUSED, f"target {name} with {digest} is not here", where=str(path))
    return parsed


def _current(folder: Path) -> tuple[Timestamp | None, Snapshot | None]:
    path = folder / "metadata" / "timestamp.json"
    if not path.is_file():
        return None, None
    stamp = metadata.parse(Timestamp, path.read_bytes(), str(path)).signed
    path = path.with_name(f"{stamp.snapshot_meta.version}.snapshot.json")
    return stamp, metadata.parse(Snapshot, path.read_bytes(), str(path)).signed


def _signed_online(unsigned: Metadata[Snapshot] | Metadata[Timestamp], publisher: keys.SigningKey) -> bytes:
    signature = metadata.sign(publisher, unsigned.signed_bytes)
    unsigned.signatures[signature.keyid] = signature
    return unsigned.to_bytes()
