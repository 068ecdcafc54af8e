"""A bundle on a medium, judged by the two verifiers that come with it: alone, offline, and as the product judges it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.bundle import manifest
from tests.bundles import FAULTS, FILES, Releaser, make_releaser, write
from tests.system.trust.opinions import ask

pytestmark = pytest.mark.integration
VERIFIERS = ("verify.pyz", "verify.sh")


@pytest.fixture(scope="module")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return make_releaser(tmp_path_factory.mktemp("releaser"))


@pytest.fixture(scope="module")
def released(releaser: Releaser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return releaser.make(tmp_path_factory.mktemp("medium") / "demo")


def command(verifier: Path | str, folder: Path | str, root_digest: str, *more: str) -> list[str]:
    """What START-HERE.txt says."""
    if str(verifier).endswith(".sh"):
        return ["bash", str(verifier), "release", str(folder), root_digest, *more]
    return ["python3", str(verifier), "release", str(folder), "--root-digest", root_digest, *more]


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("name", ["good", *FAULTS])
def test_faults(releaser: Releaser, released: Path, tmp_path: Path, verifier: str, name: str) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "a medium"))
    expected, steps = [], {None}
    if name != "good":
        change, expected = FAULTS[name]
        change(folder)
        # A flipped byte of the manifest may break its form as well as its digest.
        steps = {expected[0][0]} | ({"manifest"} if name == "the manifest flipped" else set())
    state = tmp_path / "state"
    done = subprocess.run(
        command(released / verifier, folder, releaser.root_digest, "--state", str(state)),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    last = done.stdout.strip().rpartition("\n")[2]
    assert done.stderr == ""
    assert (last.removeprefix("REFUSED ").partition(":")[0] if done.returncode else None) in steps, done.stdout
    assert done.returncode == (3 if expected else 0)
    for step, _, path in expected:
        assert step not in ("layout", "member") or path.partition("\n")[0] in last, last
    assert state.exists() == (name == "good")


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_what_was_seen_before(releaser: Releaser, tmp_path: Path, verifier: str) -> None:
    versions = {"1.9.0": None, "1.10.0": None, "1.9.0 again": "older", "1.10.0 another": "older", "1.11.0": None}
    for number, (name, step) in enumerate(versions.items()):
        folder = tmp_path / str(number)
        more = {"docs/more.html": (b"", False, "docs")} if "another" in name else {}
        write(folder, version=name.partition(" ")[0], files={**FILES, **more})
        releaser.sign(folder)
        asked = command(folder / verifier, folder, releaser.root_digest, "--state", str(tmp_path / "state"))
        assert ask(asked) == step, name
    remembered = json.loads((tmp_path / "state").read_bytes())["releases"]["demo"]
    assert remembered["version"] == "1.11.0"


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_manifest_of_many_files(releaser: Releaser, tmp_path: Path, verifier: str) -> None:
    files = {**FILES, **{f"docs/d{n % 100}/{n}.html": (b"%d" % n, False, "docs") for n in range(3_000)}}
    write(tmp_path / "demo", version="2.0.0", files=files)
    releaser.sign(tmp_path / "demo")
    asked = command(tmp_path / "demo" / verifier, tmp_path / "demo", releaser.root_digest)
    assert ask(asked) is None
    (tmp_path / "demo" / "docs/d7/2907.html").write_bytes(b"2908")
    assert ask(asked) == "member"


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_claim_of_a_million_files(releaser: Releaser, released: Path, tmp_path: Path, verifier: str) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "demo"))
    member = f'{{"digest":"sha256:{"0" * 64}","executable":false,"part":"docs","path":"d","size_bytes":0}}'
    (folder / manifest.NAME).write_text(f'{{"members":[{",".join([member] * 1_000_000)}]}}')
    asked = command(released / verifier, folder, releaser.root_digest)
    assert ask(["prlimit", "--as=2000000000", "--", *asked]) == "manifest"


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_on_a_bare_debian_without_network(
    releaser: Releaser, released: Path, bare_debian: Path, tmp_path_factory: pytest.TempPathFactory, verifier: str
) -> None:
    place = bare_debian / "tmp" / f"release-{os.getpid()}-{verifier}"
    shutil.copytree(released, place)
    isolated = ["unshare", "--net", "--pid", "--fork", f"--mount-proc={bare_debian}/proc", "chroot", str(bare_debian)]
    inside = f"/tmp/{place.name}"
    asked = [*isolated, *command(f"{inside}/{verifier}", inside, releaser.root_digest)]
    assert ask(asked) is None
    (place / "docs/index.html").write_bytes(b"<!doctype htmk>\n")
    assert ask(asked) == "member"
    shutil.rmtree(place)
