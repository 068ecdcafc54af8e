"""Releases a bundle: signs what it is, and lays the evidence beside it.

Rules
1. The statement is SLSA provenance over the manifest, every member, and every signature beside ``trust/``; its builder
   is the identity that signs.
2. The index of the Debian packages is signed first, with a key of apt's own kind: the statement names those signatures
   too, so that nobody can exchange that key, or take them away, on the way.
3. ``trust/`` is an audit pack of the releaser's log as its witnesses saw it last. A statement that they have not seen
   yet is in no pack: `sign` says so, and `seal` writes ``trust/`` again after the log was witnessed.
4. Signing twice is harmless, also a bundle that was built anew: one key signs one index with the same bytes, and what
   has its statement gets no second one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.base import atomic
from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import digest_bytes, digest_file
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes, manifest
from appliance.bundle.manifest import Manifest
from appliance.bundle.tree import list_folder
from appliance.trust import pack, statements
from appliance.trust.anchor import Anchor
from appliance.trust.signer import Signer

TRUST = "trust"
BUILD_TYPE = "https://appliance.internal/builds/bundle/v1"


@dataclass(frozen=True, kw_only=True)
class Released:
    """`statement` is its digest; `witnessed` is false where ``trust/`` does not show it yet."""

    statement: str
    witnessed: bool


def sign(
    folder: Path,
    *,
    signer: Signer,
    anchor: Anchor,
    builder: str,
    sign_packages: Callable[[Path], object],
    started_at: str,
    clock: Clock,
    progress: Progress,
) -> Released:
    """Sign the assembled bundle in `folder` as `builder` (``builder/NAME``), and write ``trust/``.

    Args:
        sign_packages: signs the index of the Debian packages in `folder` (`apt_repository.sign`).

    Raises:
        ApplianceError: APL-BUNDLE-020 there is no valid manifest, those of `Signer.sign` and `pack.export_pack`.
            Without a statement ``trust/`` is as before; with one, sign again.
    """
    made = read_manifest(folder)
    sign_packages(folder)
    beside = [path for path in manifest.SIGNATURES if (folder / path).is_file()]
    signatures = {path: digest_file(folder / path) for path in beside}
    known = _statement_of(anchor, {manifest.NAME: manifest.digest(made), **signatures})
    if known is None:
        identity = signer.enclave.identity(builder)
        statement = _statement(made, signatures, identity, started_at, rfc3339(clock.now()))
        signer.sign(statement, builder)
        known = digest_bytes(statement)
    seal(folder, anchor=anchor, progress=progress)
    return Released(statement=known, witnessed=(folder / TRUST / "bundles" / f"{known[7:]}.sigstore.json").is_file())


def seal(folder: Path, *, anchor: Anchor, progress: Progress) -> None:
    """Write ``trust/`` anew, from the log as it is now.

    Raises:
        ApplianceError: see `pack.export_pack`; the old one stays.
    """
    draft = folder / ".tmp-trust-new"
    atomic.remove_tree(draft)
    pack.export_pack(anchor, draft, artifacts={}, extras={}, progress=progress)
    atomic.remove_tree(folder / TRUST)
    draft.rename(folder / TRUST)
    atomic.fsync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """Raises ApplianceError: APL-BUNDLE-020, or -029 there is none."""
    path = folder / manifest.NAME
    try:
        return manifest.parse(path.read_bytes(), where=str(path))
    except OSError as error:
        raise ApplianceError(codes.NO_BUNDLE, f"cannot be read: {error.strerror}", where=str(path)) from error


def listed_files(folder: Path, made: Manifest) -> dict[str, int]:
    """Path -> bytes of all files in `folder`, which are those of the manifest and its signatures; none is read.

    Raises:
        ApplianceError: APL-BUNDLE-021 to -025, -028: the folder could not be verified as it is.
    """
    listing = list_folder(folder)
    for fault in listing.faults:
        raise ApplianceError(fault.code, fault.detail, where=fault.path)
    members = {each.path: each.size_bytes for each in made.members}
    for path, size in members.items():
        there = listing.sizes.get(path)
        if there is None:
            raise ApplianceError(codes.MEMBER_MISSING, f"expected {size} bytes", where=path)
        if there != size:
            raise ApplianceError(codes.MEMBER_CHANGED, f"expected {size} bytes, got {there}", where=path)
    for path in listing.sizes:
        if path not in members and path != manifest.NAME and not manifest.is_signature(path):
            raise ApplianceError(codes.MEMBER_EXTRA, "no manifest lists it", where=path)
    return listing.sizes


def _statement(made: Manifest, signatures: Mapping[str, str], builder: str, started_at: str, finished_at: str) -> bytes:
    return statements.release(
        subjects={
            manifest.NAME: manifest.digest(made),
            **{each.path: each.digest for each in made.members},
            **signatures,
        },
        build_type=BUILD_TYPE,
        parameters={"bundle": made.bundle, "version": made.version, "made_at": made.made_at},
        dependencies={f"lock:{made.bundle}": made.lock, "git:source": made.source},
        builder=builder,
        started=started_at,
        finished=finished_at,
    )


def _statement_of(anchor: Anchor, about: Mapping[str, str]) -> str | None:
    """The digest of the release statement with these subjects, and perhaps more, that the log has, if any."""
    for path in sorted((anchor.folder / "bundles").glob("[!.]*.sigstore.json")):
        statement = statements.statement_of(path.read_bytes())
        if statement.predicate_type == statements.RELEASE and about.items() <= statement.subjects.items():
            return statement.digest
    return None
