"""A signed bundle with what the roles so far need and no more, built from this working tree: the medium of a test.

It is a declaration of its own, so that a test needs neither the gigabytes of ``core`` nor its pinned versions. The
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
from appliance.deploy.places import release_name
from appliance.trust import custody
from tests.e2e.root import CHECKOUT

VERSION = "0.1.0"
DECLARATION = """\
name = "{name}"
environments = [{environments}]
servers = ["openbao"]

[debian]
roles = true
"""
LINKED = ("ansible", "offline_wheels", "servers", ".servers", ".venv-servers", ".venv-uv")
STORE = CHECKOUT / "build" / "bundle-store"


@dataclass(frozen=True, kw_only=True)
class SignedBundle:
    """`folder` is the medium; whoever changes it puts it back."""

    folder: Path
    root_digest: str
    manifest_digest: str

    @property
    def release(self) -> str:
        return release_name(VERSION, self.manifest_digest)


def make(folder: Path, name: str, *environments: str) -> SignedBundle:
    """Build and sign it in the new folder, with uv and these environments; minutes when cold."""
    checkout = CHECKOUT / "build" / f"e2e-{name}"
    (checkout / "bundles").mkdir(parents=True, exist_ok=True)
    for each in LINKED:
        if not (checkout / each).exists():
            (checkout / each).symlink_to(CHECKOUT / each)
    wanted = ", ".join(f'"{each}"' for each in sorted({*environments, "uv"}))
    (checkout / "bundles" / f"{name}.toml").write_text(DECLARATION.format(name=name, environments=wanted))
    for verb in ("lock", "fetch"):
        assert run(["bundle", verb, name, "--checkout", str(checkout), "--store", str(STORE)]) == 0
    bundle, releases = folder / "bundle", folder / "releases"
    assemble(
        locks.load(checkout / "bundles" / f"{name}.lock.json"),
        version=VERSION, root=CHECKOUT, store=Store(STORE), target=bundle, progress=NoProgress(),
    )  # fmt: skip
    for words in (
        ["site", "init"],
        ["trust", "enroll", "builder/ci"],
        ["bundle", "sign", bundle, "--as", "builder/ci"],
    ):
        assert run([*map(str, words), "--site", str(releases)]) == 0
    return SignedBundle(
        folder=bundle,
        root_digest=custody.root_digest(open_site(releases).trust),
        manifest_digest=digest_file(bundle / manifest.NAME),
    )
