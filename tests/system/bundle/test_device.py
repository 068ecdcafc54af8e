"""Devices, by loop devices of the kernel: written, read back from the medium, and refused while anybody uses them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import block_device, codes, device
from appliance.cli.main import run
from tests.bundles import write
from tests.volumes import files

SIZE = 24 << 20


def _loops() -> bool:
    if os.geteuid() != 0 or shutil.which("losetup") is None:
        return False
    return subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not _loops(), reason="needs root and loop devices"),
]
Attach = Callable[..., tuple[Path, Path]]


@pytest.fixture
def attach(tmp_path: Path) -> Iterator[Attach]:
    """A loop device, and the file behind it, which was written to before."""
    attached: list[str] = []

    def make(size: int = SIZE, *options: str) -> tuple[Path, Path]:
        backing = tmp_path / f"medium-{len(attached)}"
        backing.write_bytes(os.urandom(size))
        words = ["losetup", "-f", "--show", *options, str(backing)]
        attached.append(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
        return Path(attached[-1]), backing

    yield make
    for each in attached:
        subprocess.run(["losetup", "-d", each], check=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "demo.iso"
    path.write_bytes(os.urandom(9_000 * 2048))
    return path


def refused(image: Path, medium: Path, confirmed: str) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        device.write(image, medium, confirmed, NoProgress())
    return caught.value


def test_what_was_written_is_read_back(attach: Attach, image: Path) -> None:
    medium, backing = attach()
    before = backing.read_bytes()
    done = device.write(image, medium, medium.name, NoProgress())
    assert done.size_bytes == image.stat().st_size
    os.sync()
    data = backing.read_bytes()
    assert data[: done.size_bytes] == image.read_bytes()
    assert data[done.size_bytes :] == before[done.size_bytes :]


@pytest.mark.parametrize("place", [0, 5_000_000, 9_000 * 2048 - 1])
def test_a_medium_that_gives_another_byte_is_found_out(attach: Attach, image: Path, place: int) -> None:
    """The byte changes behind the kernel's cache of the device, which still holds the right one."""
    medium, backing = attach()

    def corrupt() -> None:
        with backing.open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1]))

    with pytest.raises(ApplianceError) as caught:
        device.write(image, medium, medium.name, NoProgress(), before_reading=corrupt)
    assert (caught.value.code, caught.value.code.exit_code) == (codes.DEVICE_DIFFERS, 3)
    assert caught.value.where == str(medium)


def test_a_medium_that_ends_too_early(attach: Attach, image: Path) -> None:
    medium, backing = attach()
    with pytest.raises(ApplianceError) as caught:
        device.write(image, medium, medium.name, NoProgress(), before_reading=lambda: os.truncate(backing, 5_000_000))
    assert caught.value.code in (codes.DEVICE_DIFFERS, codes.UNREADABLE)


@pytest.mark.parametrize("confirmed", ["", "loop", "yes", "LOOP0"])
def test_it_has_to_be_named(attach: Attach, image: Path, confirmed: str) -> None:
    medium, backing = attach()
    before = backing.read_bytes()
    error = refused(image, medium, confirmed)
    assert error.code is codes.ERASE_UNCONFIRMED
    assert f"--yes-erase {medium.name}" in error.message
    assert backing.read_bytes() == before


def test_one_that_is_mounted(attach: Attach, image: Path, tmp_path: Path) -> None:
    medium, _ = attach()
    subprocess.run(["mkfs.ext4", "-q", medium], check=True)
    (tmp_path / "mounted").mkdir()
    subprocess.run(["mount", medium, tmp_path / "mounted"], check=True)
    try:
        error = refused(image, medium, medium.name)
        assert error.code is codes.DEVICE_REFUSED
        assert f"mounted at {tmp_path / 'mounted'}" in error.message
    finally:
        subprocess.run(["umount", tmp_path / "mounted"], check=True)


def test_one_that_is_mounted_where_we_do_not_see_it(
    attach: Attach, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another mount namespace, say: the kernel refuses to share it."""
    medium, backing = attach()
    before = backing.read_bytes()
    held = os.open(medium, os.O_RDWR | os.O_EXCL)
    try:
        error = refused(image, medium, medium.name)
        assert error.code is codes.DEVICE_REFUSED
        assert "another program holds it" in error.message
    finally:
        os.close(held)
    assert backing.read_bytes() == before


def test_the_disk_of_this_system() -> None:
    """Judged only: nothing here could write to it."""
    with Path("/proc/self/mountinfo").open() as file:
        number = next(line.split()[2] for line in file if line.split()[4] == "/")
    place = Path("/sys/dev/block") / number
    if not place.exists():
        pytest.skip("the root file system is on no block device of its own")
    name = place.resolve().name
    with pytest.raises(ApplianceError) as caught:
        block_device.examine(Path("/dev") / name, 1)
    assert "is on it" in caught.value.message or "a partition of" in caught.value.message


def test_one_that_is_too_small_or_read_only(attach: Attach, image: Path) -> None:
    small, _ = attach(1 << 20)
    assert "are needed" in refused(image, small, small.name).message
    locked, _ = attach(SIZE, "-r")
    assert "read-only" in refused(image, locked, locked.name).message


def test_a_partition(attach: Attach, image: Path) -> None:
    medium, backing = attach(SIZE, "-P")
    subprocess.run(["addpart", medium, "1", "2048", "20000"], check=True)
    try:
        before = backing.read_bytes()
        part = Path(f"{medium}p1")
        error = refused(image, part, part.name)
        assert (error.code, error.message) == (
            codes.DEVICE_REFUSED,
            f"it is a partition of {medium.name}; name the whole device",
        )
        assert backing.read_bytes() == before
    finally:
        subprocess.run(["delpart", medium, "1"], check=True)


def test_the_command_makes_the_image_and_writes_it(
    attach: Attach, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("xorriso") is None:
        pytest.skip("needs Debian's xorriso")
    write(tmp_path / "bundles/demo", files=files())
    medium, backing = attach()
    before = backing.read_bytes()
    words = ["bundle", "write", str(tmp_path / "bundles/demo"), str(medium)]
    assert run(words) == 2
    assert "APL-BUNDLE-051" in capsys.readouterr().err
    assert backing.read_bytes() == before
    assert run([*words, "--yes-erase", medium.name]) == 0
    assert [each.name for each in (tmp_path / "bundles").iterdir()] == ["demo"]
    told = subprocess.run(["blkid", "-p", "-o", "export", medium], capture_output=True, text=True, check=True).stdout
    assert "TYPE=iso9660" in told
    assert "LABEL=DEMO_1_2_0" in told
    assert run(["bundle", "iso", str(tmp_path / "bundles/demo"), str(tmp_path / "demo.iso")]) == 0
    image = (tmp_path / "demo.iso").read_bytes()
    assert backing.read_bytes()[: len(image)] == image
    assert run(["bundle", "write", str(tmp_path / "demo.iso"), str(medium), "--yes-erase", medium.name]) == 0


def test_who_is_not_root_is_told_so(attach: Attach, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    medium, _ = attach()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root" in refused(image, medium, medium.name).message
