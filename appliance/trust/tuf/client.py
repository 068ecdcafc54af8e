"""Takes in a TUF repository from a medium and says what is believed since (TUF section 5).

Rules
1. The first root is believed because its digest is the pinned one; every later one because of the root before it, see
   `metadata.check_root`.
2. Expiry is judged at `reference_time`, the newest time that witnesses signed for. The host's clock is never asked.
   Without a witnessed time expiry is not judged, and `Trusted.not_established` says so.
3. Nothing goes back: versions of root, timestamp, snapshot and targets. The last also when the publisher's key was
   replaced meanwhile, which plain TUF forgets.
4. A root that holds is kept even if the rest of the medium is refused (TUF section 5.3.8): a key that was replaced does
   not come back. All other metadata is kept only when everything held.
5. The medium is only read. What is believed lies in a state folder of our own, written crash-safe:
   ``<N>.root.json``, ``timestamp.json``, ``snapshot.json``, ``targets.json``.

The order and the rules of `tuf` itself apply: this module feeds its `TrustedMetadataSet`, whose reference time is
public there while `Updater` hides it; and `Updater` neither syncs its files nor leaves the state as it was.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from appliance.base import atomic
from appliance.base.clock import EPOCH, rfc3339
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError, Code
from appliance.trust.tuf import codes, metadata, signing
from appliance.trust.tuf.repository import target_path
from appliance.trust.tuf.source import Source, open_source

MAX_ROOTS = 256  # rotations in one go
MAX_TARGET_BYTES = 64 * 1024 * 1024  # of one target; the verifiers are the largest


@dataclass(frozen=True, kw_only=True)
class Trusted:
    """What is believed after `refresh`.

    Attributes:
        pinned_root: digest of the first root, which everything hangs on.
        root_digest: digest of the newest root.
        versions: role -> version.
        expires: role -> instant.
        reference_time: the time that expiry was judged at; none: it was not judged.
        targets: name -> ``sha256:<hex>``.
    """

    source: Source
    pinned_root: str
    root_digest: str
    versions: Mapping[str, int]
    expires: Mapping[str, dt.datetime]
    reference_time: dt.datetime | None
    targets: Mapping[str, str]

    @property
    def established(self) -> list[str]:
        facts = [
            f"root version {self.versions[Root.type]} follows from the pinned root {self.pinned_root}",
            f"targets version {self.versions[Targets.type]} is signed by the custodians and not older than seen before",
        ]
        if self.reference_time is not None:
            facts.append(f"nothing had expired at the witnessed time {rfc3339(self.reference_time)}")
        return facts

    @property
    def not_established(self) -> list[str]:
        facts = ["that no newer medium exists"]
        if self.reference_time is None:
            facts.append(f"expiry, for no witnessed time is known; the first expires {self.first_expiry}")
        return facts

    @property
    def first_expiry(self) -> str:
        return rfc3339(min(self.expires.values()))

    def read(self, name: str) -> bytes:
        """The content of a target.

        Raises:
            ApplianceError: APL-TUF-012 there is none of this name, APL-TUF-006 the medium lacks it, APL-TUF-004.
        """
        if name not in self.targets:
            raise ApplianceError(
                codes.TARGET_UNKNOWN, f"expected one of {', '.join(sorted(self.targets)) or 'none'}, got {name!r}"
            )
        digest = self.targets[name]
        place = f"targets/{target_path(name, digest)}"
        data = self.source.read(place, MAX_TARGET_BYTES)
        if data is None:
            raise ApplianceError(codes.FILE_MISSING, f"target {name} is missing", where=self.source.where(place))
        if digest_bytes(data) != digest:
            raise ApplianceError(
                codes.TARGET_ALTERED,
                f"target {name}: expected {digest}, got {digest_bytes(data)}",
                where=self.source.where(place),
            )
        return data

    def download(self, name: str, target: Path) -> Path:
        """Write the content of a target to the file `target`, or nothing.

        Raises:
            ApplianceError: see `read`; APL-BASE-002.
        """
        atomic.write_bytes(target, self.read(name))
        return target

    def as_dict(self) -> dict[str, Any]:
        """The verdict in the form that ``--json`` prints."""
        return {
            "pinned_root": self.pinned_root,
            "root": self.root_digest,
            "versions": dict(self.versions),
            "expires": {role: rfc3339(each) for role, each in self.expires.items()},
            "witnessed_time": rfc3339(self.reference_time) if self.reference_time is not None else None,
            "targets": dict(self.targets),
            "established": self.established,
            "not_established": self.not_established,
        }


def refresh(
    source: str,
    state: Path,
    *,
    pinned_root_digest: str,
    reference_time: dt.datetime | None,
    bootstrap: bytes | None = None,
) -> Trusted:
    """Take in what the medium has; `bootstrap` is the first root where it does not come from the medium.

    Raises:
        ApplianceError: APL-TUF-007 the source is not allowed, -005 the first root is another one, -003 signatures are
            missing, -001 it is older than what was seen, -014 it differs at the same version, -002 it had expired,
            -006 or -015 a file is missing or cannot be read, -008 metadata is malformed; APL-BASE-002. Of the state at
            most roots have changed.
    """
    opened = open_source(source)
    with atomic.exclusive(state / "lock"):
        first = _first_root(opened, state, bootstrap, pinned_root_digest)
        visit = _Visit(opened, state, first, reference_time)
        visit.take_roots()
        fresh = {
            Timestamp.type: visit.take_timestamp(),
            Snapshot.type: visit.take_snapshot(),
            Targets.type: visit.take_targets(),
        }
        for role, data in fresh.items():
            if data is not None:
                atomic.write_bytes(state / f"{role}.json", data)
    trusted = visit.trusted
    signed = (trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets)
    return Trusted(
        source=opened,
        pinned_root=pinned_root_digest,
        root_digest=digest_bytes(visit.root),
        versions={each.type: each.version for each in signed},
        expires={each.type: each.expires for each in signed},
        reference_time=reference_time,
        targets=signing.target_digests(trusted.targets),
    )


def pinned_root(state: Path) -> str | None:
    """The digest of the first root in a state folder; none where nothing was taken in yet."""
    known = _roots(state)
    return digest_bytes(known[0].read_bytes()) if known else None


def _roots(state: Path) -> list[Path]:
    return sorted(state.glob("[0-9]*.root.json"), key=lambda path: int(path.name.partition(".")[0]))


def _first_root(source: Source, state: Path, bootstrap: bytes | None, pinned: str) -> bytes:
    known = _roots(state)
    place = "metadata/1.root.json"
    if known:
        data, where = known[0].read_bytes(), str(known[0])
    elif bootstrap is not None:
        data, where = bootstrap, "bootstrap root"
    else:
        found, where = source.read(place, metadata.MAX_METADATA_BYTES), source.where(place)
        if found is None:
            raise ApplianceError(codes.FILE_MISSING, "the first root is missing", where=where)
        data = found
    if digest_bytes(data) != pinned:
        raise ApplianceError(codes.ROOT_NOT_PINNED, f"expected {pinned}, got {digest_bytes(data)}", where=where)
    parsed = metadata.parse(Root, data, where)
    metadata.check_root(parsed, None, where)
    if not known:
        atomic.write_bytes(state / f"{parsed.signed.version}.root.json", data)
    return data


class _Visit:
    """One refresh: the rules of `tuf` fed from state and medium, in the order of TUF section 5."""

    def __init__(self, source: Source, state: Path, root: bytes, reference_time: dt.datetime | None) -> None:
        self._source = source
        self._state = state
        self.root = root
        self.trusted = TrustedMetadataSet(root, EnvelopeType.METADATA)
        self.trusted.reference_time = reference_time if reference_time is not None else EPOCH  # nothing ends so early

    def take_roots(self) -> None:
        """TUF section 5.3, first those that are known already."""
        for _ in range(MAX_ROOTS):
            version = self.trusted.root.version + 1
            name = f"{version}.root.json"
            data = self._local(name)
            known = data is not None
            if data is None:
                data = self._source.read(f"metadata/{name}", metadata.MAX_METADATA_BYTES)
            if data is None:
                return
            where = str(self._state / name) if known else self._source.where(f"metadata/{name}")
            metadata.check_root(metadata.parse(Root, data, where), self.trusted.root, where)
            self.trusted.update_root(data)
            self.root = data
            if not known:
                atomic.write_bytes(self._state / name, data)

    def take_timestamp(self) -> bytes | None:
        """TUF section 5.4; the bytes to keep, none when they are kept already."""
        local = self._local("timestamp.json")
        if local is not None:
            try:
                self.trusted.update_timestamp(local)
            except exceptions.ExpiredMetadataError:
                local = local if Timestamp.type in self.trusted else None  # counts for versions all the same
            except exceptions.RepositoryError:
                local = None  # by a publisher's key that was replaced: section 5.3.11
        data, where = self._fetch("timestamp.json")
        metadata.parse(Timestamp, data, where)
        try:
            self.trusted.update_timestamp(data)
        except exceptions.EqualVersionNumberError as error:
            if data != local:
                version = self.trusted.timestamp.version
                raise ApplianceError(codes.FORKED, f"two timestamps of version {version}", where=where) from error
            return None
        except exceptions.RepositoryError as error:
            raise _refusal(error, where) from error
        return data

    def take_snapshot(self) -> bytes | None:
        """TUF section 5.5."""
        local = self._local("snapshot.json")
        if local is not None:
            try:
                self.trusted.update_snapshot(local, trusted=True)
            except exceptions.RepositoryError:
                pass  # another version is wanted, or a key was replaced; loaded or not, it counts no further
            else:
                return None
        data, where = self._fetch(f"{self.trusted.timestamp.snapshot_meta.version}.snapshot.json")
        metadata.parse(Snapshot, data, where)
        try:
            self.trusted.update_snapshot(data)
        except exceptions.RepositoryError as error:
            raise _refusal(error, where) from error
        return data

    def take_targets(self) -> bytes | None:
        """TUF section 5.6, and rule 3."""
        local = self._local("targets.json")
        named = self.trusted.snapshot.meta.get("targets.json")
        if named is None:
            raise ApplianceError(codes.METADATA_INVALID, "the snapshot names no targets")
        wanted = named.version
        if local is not None and self._believed_version(local) == wanted:
            self._load_targets(local, str(self._state / "targets.json"))
            return None
        data, where = self._fetch(f"{wanted}.targets.json")
        if local is not None and self._believed_version(local) > wanted:
            raise ApplianceError(
                codes.ROLLED_BACK,
                f"targets version {self._believed_version(local)} was seen, the medium has {wanted}",
                where=where,
            )
        self._load_targets(data, where)
        return data

    def _load_targets(self, data: bytes, where: str) -> None:
        metadata.check_targets(metadata.parse(Targets, data, where), self.trusted.root, where)
        try:
            self.trusted.update_targets(data)
        except exceptions.RepositoryError as error:
            raise _refusal(error, where) from error

    def _believed_version(self, local: bytes) -> int:
        """The version of targets in the state; 0 when the newest root's custodians did not sign them."""
        try:
            parsed = metadata.parse(Targets, local, "targets in the state folder")
            metadata.check_targets(parsed, self.trusted.root, "targets in the state folder")
        except ApplianceError:
            return 0
        return parsed.signed.version

    def _local(self, name: str) -> bytes | None:
        path = self._state / name
        return path.read_bytes() if path.is_file() else None

    def _fetch(self, name: str) -> tuple[bytes, str]:
        place = f"metadata/{name}"
        data = self._source.read(place, metadata.MAX_METADATA_BYTES)
        if data is None:
            raise ApplianceError(codes.FILE_MISSING, f"{name} is missing", where=self._source.where(place))
        return data, self._source.where(place)


def _refusal(error: exceptions.RepositoryError, where: str) -> ApplianceError:
    return ApplianceError(_code_of(error), str(error), where=where)


def _code_of(error: exceptions.RepositoryError) -> Code:
    if isinstance(error, exceptions.ExpiredMetadataError):
        return codes.EXPIRED
    if isinstance(error, exceptions.BadVersionNumberError):
        return codes.ROLLED_BACK
    if isinstance(error, exceptions.UnsignedMetadataError):
        return codes.TOO_FEW_SIGNATURES
    return codes.METADATA_INVALID
