"""Who released a bundle, when, on what medium: one verdict, by the product and by the verifiers that come with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle import codes, manifest, release
from appliance.trust import codes as trust_codes
from appliance.trust import statements
from tests.bundles import BUILDER, Releaser, make_releaser, write
from tests.system.trust.test_release import VERIFIERS, command

pytestmark = pytest.mark.integration
CLOCKS = ("1970-01-02 00:00:00", "2027-12-31 00:00:00", "2100-01-01 00:00:00")


def opinions(folder: Path, root_digest: str, *wrap: str) -> set[tuple[int, str | None]]:
    """Exit code and refused step, of the product and of both verifiers."""
    found = set()
    ours = [sys.executable, "-m", "appliance", "bundle", "verify", str(folder), "--root-digest", root_digest, "--json"]
    done = subprocess.run([*wrap, *ours], capture_output=True, text=True, timeout=300, check=False)
    found.add((done.returncode, json.loads(done.stdout)["step"]))
    for name in VERIFIERS:
        asked = [*wrap, *command(folder / name, folder, root_digest)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=300, check=False)
        last = done.stdout.strip().rpartition("\n")[2]
        found.add((done.returncode, last[8:].partition(":")[0] if last.startswith("REFUSED ") else None))
    return found


def by_nobody(releaser: Releaser, folder: Path) -> None:
    """Another release is signed in the same log, not this one."""
    releaser.make(folder.with_name("other"), version="7.7.7")
    shutil.copytree(folder.with_name("other") / "trust", folder / "trust")


def by_a_scientist(releaser: Releaser, folder: Path) -> None:
    made = release.read_manifest(folder)
    statement = statements.release(
        subjects={manifest.NAME: manifest.digest(made)}, build_type=release.BUILD_TYPE, parameters={}, dependencies={},
        builder="me", started="2026-03-01T11:00:00Z", finished="2026-03-01T11:00:00Z",
    )  # fmt: skip
    releaser.site.sign(statement, "data-scientist")
    releaser.sign(folder)


def by_a_stolen_key(releaser: Releaser, folder: Path) -> None:
    releaser.sign(folder)
    releaser.site.revoke("role-key", releaser.builder.key_id(BUILDER), 0)
    releaser.sign(folder)


def before_a_rotation(releaser: Releaser, folder: Path) -> None:
    releaser.sign(folder)
    for use in ("log", "issuing", "timestamp", "ct"):
        releaser.site.rotate(use)
    releaser.sign(folder)


def of_another_root(releaser: Releaser, folder: Path) -> None:
    other = make_releaser(folder.with_name("somebody else"))
    other.sign(folder)


RELEASES: dict[str, tuple[Callable[[Releaser, Path], None], tuple[int, str | None]]] = {
    "by a builder": (lambda releaser, folder: releaser.sign(folder) and None, (0, None)),
    "by nobody": (by_nobody, (3, "release")),
    "by somebody who may not": (by_a_scientist, (3, "signer")),
    "by a key that was stolen": (by_a_stolen_key, (3, "revoked")),
    "before every key was retired": (before_a_rotation, (0, None)),
    "by another root": (of_another_root, (3, "root")),
}


@pytest.mark.parametrize("name", RELEASES)
def test_who_released_it(tmp_path: Path, name: str) -> None:
    change, expected = RELEASES[name]
    releaser, folder = make_releaser(tmp_path / "releaser"), tmp_path / "demo"
    write(folder)
    change(releaser, folder)
    assert opinions(folder, releaser.root_digest) == {expected}


@pytest.fixture(scope="module")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return make_releaser(tmp_path_factory.mktemp("releaser"))


@pytest.fixture(scope="module")
def released(releaser: Releaser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return releaser.make(tmp_path_factory.mktemp("medium") / "demo")


class TestOneRelease:
    @pytest.mark.parametrize("clock", CLOCKS)
    def test_a_wrong_clock_changes_no_verdict(self, releaser: Releaser, released: Path, clock: str) -> None:
        assert opinions(released, releaser.root_digest, "faketime", clock) == {(0, None)}

    def test_without_a_network(self, releaser: Releaser, released: Path) -> None:
        assert opinions(released, releaser.root_digest, "unshare", "--net") == {(0, None)}

    def test_a_medium_that_gives_read_errors(self, releaser: Releaser, released: Path) -> None:
        """The kernel answers EIO to who reads the memory of a process at an address that is not mapped."""
        victim = released / "models/empty.bin"
        inside = f'mount --bind /proc/self/mem "{victim}" && exec "$@"'
        wrap = ("unshare", "--mount", "--propagation", "private", "sh", "-c", inside, "sh")
        assert opinions(released, releaser.root_digest, *wrap) == {(3, "member")}

    def test_two_hundred_thousand_files_that_nobody_lists(
        self, releaser: Releaser, released: Path, tmp_path: Path
    ) -> None:
        folder = Path(shutil.copytree(released, tmp_path / "demo"))
        (folder / "docs/more").mkdir()
        for number in range(200_000):
            (folder / f"docs/more/{number}").touch()
        assert opinions(folder, releaser.root_digest) == {(3, "layout")}


def test_a_release_that_no_witness_has_seen(tmp_path: Path) -> None:
    releaser, folder = make_releaser(tmp_path / "releaser"), tmp_path / "demo"
    releaser.site.add_witnesses("w1", "w2", "w3", needed=2)
    write(folder)
    with pytest.raises(ApplianceError) as caught:
        releaser.sign(folder)
    assert caught.value.code is trust_codes.WITNESS_MISSING
    assert not (folder / "trust").exists()
    releaser.site.witnessed("w1", "w3")
    assert releaser.sign(folder).witnessed
    assert opinions(folder, releaser.root_digest) == {(0, None)}
    # The next one is signed, and the witnesses have not seen it.
    later = tmp_path / "later"
    write(later, version="1.3.0")
    assert not releaser.sign(later).witnessed
    assert opinions(later, releaser.root_digest) == {(3, "release")}
    releaser.site.witnessed("w1", "w2")
    assert releaser.sign(later).witnessed
    assert opinions(later, releaser.root_digest) == {(0, None)}


def test_the_unmodified_verifier_accepts_the_statement(tmp_path: Path) -> None:
    releaser, folder = make_releaser(tmp_path / "releaser"), tmp_path / "demo"
    write(folder)
    released = releaser.sign(folder)
    bundle = folder / "trust/bundles" / f"{released.statement[7:]}.sigstore.json"
    for name, code in ((manifest.NAME, 0), ("servers/minio/minio", 0), ("apt/dists/appliance/InRelease", 0)):
        asked = [
            "unshare", "--net", str(Path(sys.executable).with_name("sigstore")),
            "--trust-config", str(folder / "trust/trust-config.json"), "verify", "identity", "--bundle", str(bundle),
            "--cert-identity", "https://north.appliance.internal/builders/ci",
            "--cert-oidc-issuer", "https://idp.north.appliance.internal", str(folder / name),
        ]  # fmt: skip
        done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr[-1000:]
    (folder / "docs/index.html").write_bytes(b"another page")
    asked[-1] = str(folder / "docs/index.html")
    assert subprocess.run(asked, capture_output=True, timeout=120, check=False).returncode == 1
    assert codes.MEMBER_CHANGED.exit_code == 3
