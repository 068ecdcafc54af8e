"""A signed bundle with what the roles so far need and no more, built from this working tree: the medium of a journey.

It is a declaration of its own, so that a journey needs neither the gigabytes of ``core`` nor its pinned versions. The
store of inputs is that of the checkout; what it lacks is fetched from the sources of this machine. The checkout of the
declaration is kept below ``build/``, as its former lock says which wheels are here already.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.base.digest import digest_file
from appliance.base.progress import NoProgress
from appliance.bundle import lock as locks
from appliance.bundle import manifest
from appliance.bundle.assemble import assemble
from appliance.bundle.store import Store
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.trust import custody
from tests.e2e.root import CHECKOUT

NAME = "journey"
DECLARATION = f"""\
name = "{NAME}"
environments = ["ansible", "runtime", "uv"]
servers = ["openbao"]

[debian]
roles = true
"""
LINKED = ("ansible", "offline_wheels", "servers", ".servers", ".venv-servers", ".venv-uv")
STORE = CHECKOUT / "build" / "bundle-store"


@dataclass(frozen=True, kw_only=True)
class JourneyBundle:
    """Attributes:
    folder: the medium; whoever changes it puts it back.
    releases: the site of those who release.
    """

    folder: Path
    releases: Path
    root_digest: str
    manifest_digest: str
    version: str

    @property
    def release(self) -> str:
        return f"{self.version}-{self.manifest_digest[7:19]}"


def make(folder: Path, *, version: str = "0.1.0") -> JourneyBundle:
    """Build and sign it in the new folder; minutes when cold."""
    checkout = CHECKOUT / "build" / "e2e-journey"
    (checkout / "bundles").mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        if not (checkout / name).exists():
            (checkout / name).symlink_to(CHECKOUT / name)
    (checkout / "bundles" / f"{NAME}.toml").write_text(DECLARATION)
    for verb in ("lock", "fetch"):
        assert run(["bundle", verb, NAME, "--checkout", str(checkout), "--store", str(STORE)]) == 0
    bundle, releases = folder / "bundle", folder / "releases"
    assemble(
        locks.load(checkout / "bundles" / f"{NAME}.lock.json"),
        version=version, root=CHECKOUT, store=Store(STORE), target=bundle, progress=NoProgress(),
    )  # fmt: skip
    for words in (
        ["site", "init"],
        ["trust", "enroll", "builder/ci"],
        ["bundle", "sign", bundle, "--as", "builder/ci"],
    ):
        assert run([*map(str, words), "--site", str(releases)]) == 0
    return JourneyBundle(
        folder=bundle,
        releases=releases,
        root_digest=custody.root_digest(open_site(releases).trust),
        manifest_digest=digest_file(bundle / manifest.NAME),
        version=version,
    )
