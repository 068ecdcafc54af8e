"""Images by Debian's xorriso: the same bytes from any copy of a bundle, and what is mounted verifies."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import codes, forecast, iso
from appliance.bundle.verify import BundleQuestion, verify_bundle
from appliance.trust import standalone
from tests.bundles import DEB, Releaser, flip, make_releaser
from tests.volumes import contents, files

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("xorriso") is None, reason="needs Debian's xorriso"),
]


@pytest.fixture(scope="module")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return make_releaser(tmp_path_factory.mktemp("releaser"))


@pytest.fixture(scope="module")
def bundle(releaser: Releaser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return releaser.make(tmp_path_factory.mktemp("bundle") / "demo", files=files())


@pytest.fixture(scope="module")
def image(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> iso.Image:
    return iso.write(bundle, tmp_path_factory.mktemp("image") / "demo.iso", NoProgress())


@pytest.fixture
def mounted(image: iso.Image, tmp_path: Path) -> Iterator[Path]:
    """Read-only, by the kernel through a loop device where it knows the format, else through FUSE."""
    place = tmp_path / "mounted"
    place.mkdir()
    if os.geteuid() == 0 and "iso9660" in Path("/proc/filesystems").read_text():
        subprocess.run(["mount", "-o", "loop,ro", image.path, place], check=True)
        end = ["umount", place]
    elif shutil.which("fuseiso") and os.access("/dev/fuse", os.W_OK):
        subprocess.run(["fuseiso", image.path, place], check=True)
        end = ["fusermount", "-u", place]
    else:
        pytest.skip("needs root and a kernel that mounts ISO 9660, or fuseiso and FUSE")
    yield place
    subprocess.run(end, check=True)


def test_what_is_mounted_verifies(releaser: Releaser, bundle: Path, mounted: Path) -> None:
    assert contents(mounted) == contents(bundle)
    assert os.access(mounted / "servers/minio/minio", os.X_OK)
    verdict, found = verify_bundle(mounted, BundleQuestion(root_digest=releaser.root_digest), NoProgress())
    assert verdict.ok, verdict.text()
    assert found is not None


def test_the_verifier_on_the_image_accepts_it(releaser: Releaser, mounted: Path, tmp_path: Path) -> None:
    (tmp_path / "verify.pyz").write_bytes(standalone.build_pyz())
    for verifier in (mounted / "verify.pyz", tmp_path / "verify.pyz"):
        done = subprocess.run(
            ["python3", verifier, "release", mounted, "--root-digest", releaser.root_digest],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_bytes_from_another_copy(bundle: Path, image: iso.Image, tmp_path: Path) -> None:
    """Made in another order, with other modes and times, under another time zone and umask."""
    other = tmp_path / "other"
    for path in sorted((each for each in bundle.rglob("*") if each.is_file()), reverse=True):
        target = other / path.relative_to(bundle)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (1, 1))
        target.chmod(0o600)
    mask, zone = os.umask(0o077), os.environ.get("TZ")
    os.environ["TZ"] = "Pacific/Auckland"
    try:
        again = iso.write(other, tmp_path / "again.iso", NoProgress())
    finally:
        os.umask(mask)
        os.environ.pop("TZ")
        if zone is not None:
            os.environ["TZ"] = zone
    assert again.digest == image.digest
    assert again.size_bytes <= forecast.image_bytes(
        sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()),
        sum(1 for path in bundle.rglob("*") if path.is_file()),
    )


def test_a_bundle_that_was_changed_gets_no_image(bundle: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    flip(other / DEB)
    with pytest.raises(ApplianceError) as caught:
        iso.write(other, tmp_path / "again.iso", NoProgress())
    assert (caught.value.code, caught.value.where) == (codes.MEMBER_CHANGED, DEB)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other"]


def test_a_disk_that_fills_leaves_nothing(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], check=True)
    try:
        for blind in (False, True):
            if blind:
                monkeypatch.setattr(iso, "require_room", lambda *rest: None)
            with pytest.raises(ApplianceError) as caught:
                iso.write(bundle, disk / "demo.iso", NoProgress())
            assert caught.value.code.id == ("APL-BASE-002" if blind else "APL-BUNDLE-049"), caught.value
            assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_image_is_not_written_over(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "x.iso").write_bytes(b"mine")
    with pytest.raises(ApplianceError) as caught:
        iso.write(bundle, tmp_path / "x.iso", NoProgress())
    assert caught.value.code is codes.TARGET_EXISTS
    assert (tmp_path / "x.iso").read_bytes() == b"mine"
