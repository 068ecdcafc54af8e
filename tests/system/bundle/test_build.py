"""Bundles built from real inputs: the same bytes whoever builds, everything accounted for, and no half one left."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import codes, flaws, inspect, lock, manifest, release
from appliance.bundle.assemble import assemble
from appliance.bundle.manifest import Manifest
from appliance.bundle.reproduce import compare
from appliance.bundle.store import Store
from tests.system.bundle.conftest import ROOT, Renewed

pytestmark = pytest.mark.integration
VERSION = "0.9.0"
KILLS = 6
PROGRAM = """
import sys
from pathlib import Path
from appliance.base.progress import NoProgress
from appliance.bundle import lock
from appliance.bundle.assemble import assemble
from appliance.bundle.store import Store
_, locked, root, store, target = sys.argv
assemble(
    lock.load(Path(locked)), version="0.9.0", root=Path(root), store=Store(Path(store)), target=Path(target),
    progress=NoProgress(),
)
"""


@dataclass(frozen=True)
class Build:
    """A clone that may be changed, and where its inputs are."""

    root: Path
    renewed: Renewed

    @property
    def lock(self) -> Path:
        return self.renewed.checkout / "bundles/demo.lock.json"

    def run(self, target: Path) -> Manifest:
        return assemble(
            self.renewed.lock, version=VERSION, root=self.root, store=self.renewed.store, target=target,
            progress=NoProgress(),
        )  # fmt: skip

    def start(self, target: Path, wrap: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", PROGRAM, str(self.lock), str(self.root), str(self.renewed.store.folder)]
        told = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        return subprocess.Popen(
            [*wrap, *words, str(target)], env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def clone(folder: Path) -> Path:
    """This working tree with a repository of its own: files under version control, and the tools beside them."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in (each for each in names.split("\0") if each and (ROOT / each).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    subprocess.run(["git", "-C", folder, "add", "--all"], check=True)
    for name in (".venv-uv", ".venv-servers"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, renewed: Renewed) -> Build:
    return Build(root=clone(tmp_path_factory.mktemp("builder") / "clone"), renewed=renewed)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, build: Build) -> Path:
    target = tmp_path_factory.mktemp("bundles") / "demo"
    build.run(target)
    return target


def test_what_is_in_it(first: Path, build: Build) -> None:
    found = inspect.read(first)
    assert found.manifest.bundle == "demo"
    parts = {"start", "verifier", "ansible", "apt", "wheels", "servers", "docs", "sbom", "lock"}
    assert {*inspect.parts(found)} == parts
    assert found.lock == build.renewed.lock
    there = {path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()}
    assert there == {each.path for each in found.manifest.members} | {manifest.NAME}
    assert not [path for path in first.rglob("*") if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1)]
    # Every file that is there can say why.
    assert all(len(inspect.why(found, each.path)) > 1 for each in found.manifest.members)


def test_no_place_of_the_builder_is_in_it(first: Path, build: Build) -> None:
    places = [str(build.root).encode(), str(ROOT).encode(), str(Path.home()).encode() + b"/."]
    own = [each.path for each in release.read_manifest(first).members if each.path not in inspect.read(first).inputs]
    found = [(path, place) for path in own for place in places if place in (first / path).read_bytes()]
    assert found == []


@pytest.mark.parametrize(
    ("wrap", "environment"),
    [
        (("unshare", "--net"), {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"}),
        (
            ("sh", "-c", 'umask 077; exec "$@"', "sh"),
            {"TZ": "America/New_York", "LC_ALL": "POSIX", "PYTHONDONTWRITEBYTECODE": ""},
        ),
        (("faketime", "2031-05-06 07:08:09"), {"PYTHONHASHSEED": "7"}),
        (("unshare", "--user"), {"HOME": "/nonexistent", "USER": "somebody"}),
    ],
    ids=["no network, other zone and locale", "another umask", "another clock", "another user"],
)
def test_a_second_builder_makes_the_same_bytes(
    first: Path, build: Build, tmp_path: Path, wrap: tuple[str, ...], environment: dict[str, str]
) -> None:
    tmp_path.chmod(0o777)  # for the other user
    second = tmp_path / "another place" / "demo"
    second.parent.mkdir(mode=0o777)
    second.parent.chmod(0o777)
    running = build.start(second, wrap, **environment)
    said, _ = running.communicate(timeout=300)
    assert running.returncode == 0, said.decode()[-2000:]
    one, other = release.read_manifest(first), release.read_manifest(second)
    assert compare(first, one, second, other) == ()
    assert (first / manifest.NAME).read_bytes() == (second / manifest.NAME).read_bytes()


def in_the_docs(root: Path) -> None:
    page = root / "docs/index.md"
    page.write_text(page.read_text() + "\nBuilt on a Friday.\n")


def in_our_wheel(root: Path) -> None:
    (root / "appliance/stamp.py").write_text('"""Made at 07:08."""\n')
    subprocess.run(["git", "-C", root, "add", "appliance/stamp.py"], check=True)


def in_the_verifier(root: Path) -> None:
    path = root / "appliance/trust/verifier/verify.sh"
    path.write_text(path.read_text().replace("set -euo pipefail", "set -euo  pipefail", 1))


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a page with a date": (in_the_docs, "docs/index.html"),
    "a stamp in the code": (in_our_wheel, f"wheels/appliance-{'0.1.0'}-py3-none-any.whl"),
    "a space in a script": (in_the_verifier, "wheels/appliance-0.1.0-py3-none-any.whl"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_reproduced_is_named_with_member_and_byte(
    first: Path, build: Build, tmp_path: Path, name: str
) -> None:
    change, member = BROKEN[name]
    other = Build(root=clone(tmp_path / "clone"), renewed=build.renewed)
    change(other.root)
    made = other.run(tmp_path / "demo")
    one = release.read_manifest(first)
    found = {each.path: each for each in compare(first, one, tmp_path / "demo", made)}
    assert member in found
    assert found[member].what == "differs"
    offset = found[member].offset
    with (first / member).open("rb") as mine, (tmp_path / "demo" / member).open("rb") as theirs:
        assert mine.read(offset) == theirs.read(offset)
        assert mine.read(1) != theirs.read(1)
    assert made.source != one.source  # which says where to look


def test_what_it_says_of_licences_names_packages_of_debian(first: Path) -> None:
    told = inspect.licences(inspect.read(first))
    assert any(each.startswith("deb mosquitto ") for each in told["(BSD-3-Clause OR EPL-2.0) AND BSD-1-Clause"])
    assert inspect.NO_LICENCE not in told


def test_its_flaws_are_found_by_the_bill_of_materials(first: Path) -> None:
    named = {(each.ecosystem, each.name) for each in flaws.of_folder(first)}
    assert {("Debian:12", "procps"), ("PyPI", "uv"), ("Go", "stdlib")} <= named


def test_the_bill_of_materials(first: Path) -> None:
    data = (first / "sbom/bundle.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data) is None
    listed: dict[str, str] = {}
    modules = []

    def collect(components: list[dict]) -> None:
        for each in components:
            if each["type"] == "file":
                assert each["name"] not in listed
                listed[each["name"]] = each["hashes"][0]["content"]
            if each.get("purl", "").startswith("pkg:golang/"):
                modules.append(each["name"])
            collect(each.get("components", []))

    bill = json.loads(data)
    collect(bill["components"])
    members = {each.path: each.digest[7:] for each in release.read_manifest(first).members}
    del members["sbom/bundle.cdx.json"]
    assert listed == members
    assert "github.com/gofiber/fiber/v2" in modules or len(modules) > 20  # versitygw's
    purls = {each.get("purl", "").partition("@")[0] for each in bill["components"]}
    assert {"pkg:deb/debian/procps", "pkg:pypi/uv", "pkg:generic/versitygw"} <= purls
    packages = [each for each in bill["components"] if each.get("purl", "").startswith("pkg:deb/")]
    assert all(each["licenses"] for each in packages)
    assert any(each["purl"].partition("upstream=")[2].startswith("procps%40") for each in packages)
    assert "stdlib" in modules
    depends = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    assert any(ref.startswith("deb:libproc2-0@") for ref in depends[next(r for r in depends if "deb:procps@" in r)])


class TestRefused:
    def test_an_input_that_was_not_fetched(self, build: Build, tmp_path: Path) -> None:
        with pytest.raises(ApplianceError) as caught:
            assemble(
                build.renewed.lock, version=VERSION, root=build.root, store=Store(tmp_path / "empty"),
                target=tmp_path / "demo", progress=NoProgress(),
            )  # fmt: skip
        assert caught.value.code is codes.INPUT_MISSING
        assert list(tmp_path.iterdir()) == []

    def test_an_input_that_was_changed_in_the_store(self, build: Build, tmp_path: Path) -> None:
        store = Store(tmp_path / "store")
        shutil.copytree(build.renewed.store.folder, store.folder)
        victim = next(each for each in build.renewed.lock.inputs if each.kind == "server")
        path = store.path(victim.digest)
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(victim.size_bytes // 2)
            file.write(b"\xff\x00\xff")
        with pytest.raises(ApplianceError) as caught:
            assemble(
                build.renewed.lock, version=VERSION, root=build.root, store=store, target=tmp_path / "demo",
                progress=NoProgress(),
            )  # fmt: skip
        assert (caught.value.code, caught.value.where) == (codes.INPUT_CHANGED, victim.path)
        assert not list(tmp_path.glob("*demo*"))

    def test_a_target_that_exists(self, build: Build, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ApplianceError) as caught:
            build.run(tmp_path)
        assert caught.value.code is codes.TARGET_EXISTS
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_full_disk(self, build: Build, tmp_path: Path) -> None:
        small = tmp_path / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(small)], check=True)
        try:
            with pytest.raises(ApplianceError) as caught:
                build.run(small / "demo")
            assert caught.value.code.id == "APL-BASE-002"
            assert list(small.iterdir()) == []
        finally:
            subprocess.run(["umount", str(small)], check=True)


def test_a_build_that_is_killed_leaves_no_bundle_and_is_made_again(first: Path, build: Build, tmp_path: Path) -> None:
    target = tmp_path / "demo"
    chance, took = random.Random(os.environ.get("APPLIANCE_TEST_SEED", "0")), 0.0
    for number in range(KILLS):
        running = build.start(target)
        began = time.monotonic()
        if number:
            time.sleep(chance.uniform(0.05, 1.0) * took)
            os.killpg(running.pid, signal.SIGKILL)
        said, _ = running.communicate(timeout=300)
        if number == 0:
            assert running.returncode == 0, said.decode()[-2000:]
            took = time.monotonic() - began
        if target.exists():  # complete, or not there
            assert compare(first, release.read_manifest(first), target, release.read_manifest(target)) == ()
            shutil.rmtree(target)
        assert {path.name for path in tmp_path.iterdir()} <= {".tmp-demo.d"}
    build.run(target)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert lock.load(target / "demo.lock.json") == build.renewed.lock
