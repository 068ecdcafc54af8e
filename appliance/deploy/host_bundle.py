"""Brings a bundle to its place on this host: verified where it lies, copied, and the copy verified.

Rules
1. Only what `verify_bundle` accepted is copied, every member with the digest of the very bytes that are written.
2. The copy has its name when it was verified as a whole; so what Ansible reads is what was released, whatever the
   medium gives a second time. A kill leaves a draft, which the next run removes.
3. A copy that is in its place is verified again and never repaired: what changed it is to be found out.
4. A release that is older than one whose installation began here is refused (`seen`); a mere look is not remembered.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes, manifest
from appliance.bundle.forecast import forecast, require_room
from appliance.bundle.settle import settle
from appliance.bundle.tree import list_folder
from appliance.bundle.verify import BundleQuestion, VerifiedBundle, verify_bundle
from appliance.deploy.places import Places, release_name
from appliance.trust.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class HostBundle:
    """A verified bundle in its place; `folder` is below ``bundle`` of the places."""

    release: str
    folder: Path
    manifest_digest: str


def bring(
    folder: Path, *, root_digest: str, places: Places, remembers: bool, progress: Progress
) -> tuple[Verdict, HostBundle | None]:
    """The verdict, and the bundle in its place where it holds. The caller holds the lock.

    Args:
        remembers: whether older releases are refused from now on; where it is not, the memory is only compared with.

    Raises:
        ApplianceError: APL-BUNDLE-029 there is none, -049 no room, -023 or -028 the medium changed or failed while it
            was copied, APL-BASE-002.
    """

    def verified(place: Path, *, remembers: bool) -> tuple[Verdict, VerifiedBundle | None]:
        question = BundleQuestion(root_digest=root_digest, memory=places.memory, remembers=remembers)
        return verify_bundle(place, question, progress)

    is_there = folder.parent == places.bundles
    verdict, bundle = verified(folder, remembers=remembers and is_there)
    if bundle is None:
        return verdict, None
    release = release_name(bundle.manifest.version, bundle.manifest_digest)
    target = places.bundle(release)
    if target != folder:
        found: VerifiedBundle | None
        if target.exists():
            verdict, found = verified(target, remembers=remembers)
        else:
            draft = target.with_name(f".{release}.draft")
            atomic.remove_tree(draft)
            need = forecast(bundle.manifest)
            require_room(target, need.joined, need.files)
            _copy(bundle, draft, progress)
            verdict, found = verified(draft, remembers=remembers)
            if found is None or found.manifest_digest != bundle.manifest_digest:
                atomic.remove_tree(draft)
            else:
                draft.rename(target)
                atomic.fsync_folder(target.parent)
        if found is None or found.manifest_digest != bundle.manifest_digest:
            return verdict, None
    return verdict, HostBundle(release=release, folder=target, manifest_digest=bundle.manifest_digest)


def _copy(bundle: VerifiedBundle, draft: Path, progress: Progress) -> None:
    """Every file. Signatures and ``trust/`` are judged in the copy, as no manifest lists them."""
    progress.begin("copy the bundle", bundle.manifest.size_bytes)
    try:
        for member in bundle.manifest.members:
            bundle.copy(member.path, draft / member.path)
            progress.advance(member.size_bytes)
        atomic.write_bytes(draft / manifest.NAME, manifest.render(bundle.manifest))
        for path in list_folder(bundle.folder).sizes:
            if manifest.is_signature(path):
                atomic.write_bytes(draft / path, _read(bundle.folder / path))
        settle(draft, bundle.manifest)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)  # the error that led here is the one to tell
        raise


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=str(path)) from error
