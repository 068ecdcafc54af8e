"""A bundle with what the roles of secrets and database need and no more, built from this working tree.

The store of inputs is that of the checkout; what it lacks is fetched from the sources of this machine.
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
from tests.e2e.root import CHECKOUT

NAME = "secrets"
VERSION = "0.1.0"
DECLARATION = f"""\
name = "{NAME}"
environments = ["uv"]
servers = ["openbao"]

[debian]
roles = true
"""
LINKED = ("ansible", "offline_wheels", "servers", ".servers", ".venv-uv", ".venv-servers")
STORE = CHECKOUT / "build" / "bundle-store"


@dataclass(frozen=True, kw_only=True)
class SecretsBundle:
    folder: Path
    digest: str

    @property
    def release(self) -> str:
        return f"{VERSION}-{self.digest[7:19]}"


def make(folder: Path) -> SecretsBundle:
    """Build and sign it in the new folder; minutes when cold."""
    checkout = CHECKOUT / "build" / "e2e-secrets"
    (checkout / "bundles").mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        if not (checkout / name).exists():
            (checkout / name).symlink_to(CHECKOUT / name)
    (checkout / "bundles" / f"{NAME}.toml").write_text(DECLARATION)
    for verb in ("lock", "fetch"):
        assert run(["bundle", verb, NAME, "--checkout", str(checkout), "--store", str(STORE)]) == 0
    bundle = folder / "bundle"
    assemble(
        locks.load(checkout / "bundles" / f"{NAME}.lock.json"),
        version=VERSION, root=CHECKOUT, store=Store(STORE), target=bundle, progress=NoProgress(),
    )  # fmt: skip
    for words in (
        ["site", "init"],
        ["trust", "enroll", "builder/ci"],
        ["bundle", "sign", bundle, "--as", "builder/ci"],
    ):
        assert run([*map(str, words), "--site", str(folder / "releases")]) == 0
    return SecretsBundle(folder=bundle, digest=digest_file(bundle / manifest.NAME))
