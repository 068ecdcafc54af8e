"""The bundle that is deployed: in its place on this host, and verified there as a whole.

Rules
1. ``install.sh`` of a medium alone brings a bundle there: copied, and the copy verified. So what Ansible reads is what
   was released, whatever a medium gives a second time, and roles are driven by the program that was released with them.
2. It is verified again in every run and never repaired: what changed it is to be found out.
3. A release that is older than one whose installation began here is refused (`seen`); a mere look is not remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle.verify import BundleQuestion, verify_bundle
from appliance.deploy import codes
from appliance.deploy.places import Places, release_name
from appliance.trust.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class HostBundle:
    """A verified bundle in its place; `folder` is below ``bundle`` of the places."""

    release: str
    folder: Path
    manifest_digest: str


def verified(
    folder: Path, *, root_digest: str, places: Places, remembers: bool, progress: Progress
) -> tuple[Verdict, HostBundle | None]:
    """The verdict, and the bundle where it holds. The caller holds the lock.

    Args:
        remembers: whether older releases are refused from now on; where it is not, the memory is only compared with.

    Raises:
        ApplianceError: APL-DEPLOY-007 it is not in its place, APL-BUNDLE-029 there is none, APL-BASE-002.
    """
    if folder.parent != places.bundles:
        raise ApplianceError(codes.NOT_IN_PLACE, f"expected a folder of {places.bundles}", where=str(folder))
    question = BundleQuestion(root_digest=root_digest, memory=places.memory, remembers=remembers)
    verdict, bundle = verify_bundle(folder, question, progress)
    if bundle is None:
        return verdict, None
    release = release_name(bundle.manifest.version, bundle.manifest_digest)
    if folder.name != release:
        raise ApplianceError(codes.NOT_IN_PLACE, f"expected the name {release}", where=str(folder))
    return verdict, HostBundle(release=release, folder=folder, manifest_digest=bundle.manifest_digest)
