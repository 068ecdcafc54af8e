"""Crash-safe writes: the old content or the new one, and no litter."""

import os
import subprocess
import sys

import pytest

from appliance.base import atomic
from appliance.base.errors import ApplianceError


def test_replaces_the_content_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    atomic.write_bytes(path, b"old")
    atomic.write_bytes(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["file"]


def test_an_error_inside_the_block_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    atomic.write_bytes(path, b"old")
    with pytest.raises(RuntimeError), atomic.open_atomic(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_content_and_says_so(tmp_path):
    """RLIMIT_FSIZE makes the kernel refuse the write itself."""
    script = f"""
import resource, signal
from pathlib import Path
from appliance.base import atomic
from appliance.base.errors import ApplianceError
path = Path({str(tmp_path / "file")!r})
atomic.write_bytes(path, b"old")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    atomic.write_bytes(path, b"x" * 5000)
except ApplianceError as error:
    print(error.code.id, error.where == str(path))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "APL-BASE-002 True\n"
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    (tmp_path / ".tmp-file").symlink_to(victim)
    with pytest.raises(ApplianceError, match="APL-BASE-002"):
        atomic.write_bytes(tmp_path / "file", b"data")
    assert victim.read_bytes() == b"keep"


def test_move_never_replaces(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with pytest.raises(FileExistsError):
        atomic.move(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == b"a"
    assert (tmp_path / "b").read_bytes() == b"b"


def test_the_lock_excludes_another_holder(tmp_path):
    with (
        atomic.exclusive(tmp_path / "lock"),
        pytest.raises(ApplianceError, match="APL-BASE-006"),
        atomic.exclusive(tmp_path / "lock", wait=False),
    ):
        pass
    with atomic.exclusive(tmp_path / "lock", wait=False):
        pass


def test_several_files_are_written_together(tmp_path):
    atomic.write_files([(tmp_path / "a" / "1", b"one"), (tmp_path / "a" / "2", b"two"), (tmp_path / "b", b"three")])
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"a/1": b"one", "a/2": b"two", "b": b"three"}


def test_of_several_files_each_is_old_or_new_after_an_error(tmp_path):
    (tmp_path / "1").write_bytes(b"old")
    (tmp_path / "2").mkdir()  # nothing can be renamed over it
    with pytest.raises(ApplianceError, match="cannot write: Is a directory") as caught:
        atomic.write_files([(tmp_path / name, b"new") for name in ("1", "2", "3")])
    assert caught.value.code.id == "APL-BASE-002"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    assert (tmp_path / "1").read_bytes() == b"new"
