"""Split and join when the process dies or the disk is full: no half volume, no half bundle, and a rerun succeeds."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import join, volume, volumes
from tests.bundles import write
from tests.fault.crashing import CRASHED, child, crash_at, finish
from tests.volumes import MOST, contents, files

KILLS = 12
CRASHES = 14


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "demo"
    write(folder, files=files())
    return folder


@pytest.fixture(scope="module")
def media(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    volumes.split(bundle, folder, MOST, NoProgress())
    return sorted(folder.iterdir())


class Slow(NoProgress):
    """So that a kill hits the middle."""

    def advance(self, amount):
        time.sleep(0.004)


def killed(work, after_s):
    pid = child(work)
    time.sleep(after_s)
    os.kill(pid, signal.SIGKILL)
    return finish(pid)


def test_a_split_that_is_killed_at_any_time(bundle, media, tmp_path, seed):
    noise = random.Random(seed)
    for _ in range(KILLS):
        killed(lambda: volumes.split(bundle, tmp_path / "all", MOST, Slow()), noise.uniform(0, 0.15))
        for each in (tmp_path / "all").glob("vol-*"):
            assert contents(each) == contents(media[volume.read(each).number - 1])
    volumes.split(bundle, tmp_path / "all", MOST, NoProgress())
    assert contents(tmp_path / "all") == contents(media[0].parent)


def test_a_join_that_is_killed_at_any_time(bundle, media, tmp_path, seed):
    noise = random.Random(seed)
    killed_in_it = 0
    for _ in range(KILLS):
        code = killed(lambda: join.join(tmp_path / "out", media, Slow()), noise.uniform(0, 0.15))
        killed_in_it += code == -signal.SIGKILL
        if (tmp_path / "out").exists():
            assert contents(tmp_path / "out") == contents(bundle)
    assert killed_in_it
    join.join(tmp_path / "out", media, NoProgress())
    assert contents(tmp_path / "out") == contents(bundle)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out"]


@pytest.mark.parametrize("number", range(CRASHES))
def test_a_join_that_dies_before_its_nth_change_of_a_name(bundle, media, tmp_path, number):
    code = finish(child(lambda: (crash_at(number), join.join(tmp_path / "out", media, NoProgress()))))
    assert code in (CRASHED, 0)
    if (tmp_path / "out").exists():
        assert contents(tmp_path / "out") == contents(bundle)
    join.join(tmp_path / "out", media, NoProgress())
    assert contents(tmp_path / "out") == contents(bundle)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out"]


def test_what_was_durable_is_not_copied_again(media, tmp_path, monkeypatch):
    monkeypatch.setattr(join, "_JOURNAL_BYTES", 1)
    copied = []

    class Stops(NoProgress):
        def advance(self, amount):
            copied.append(amount)
            if sum(copied) > 5_000_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join.join(tmp_path / "out", media, Stops())
    done = join.join(tmp_path / "out", media, NoProgress())
    whole = sum(piece.size_bytes for each in media for piece in volume.read(each).pieces)
    assert done.copied < whole - 2_000_000


FULL = """
import sys
from pathlib import Path
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import forecast, join, volumes
disk, bundle, media = (Path(each) for each in sys.argv[1:])
given = sorted(media.iterdir())
def tried(work):
    try:
        work()
        print("done")
    except ApplianceError as error:
        print(error.code.id, error.code.exit_code)
for _ in range(2):
    tried(lambda: join.join(disk / "out", given, NoProgress()))
    tried(lambda: volumes.split(bundle, disk / "all", 3 << 20, NoProgress()))
    print(sorted(each.name for each in disk.iterdir() if each.name in ("out", "vol-001")))
    forecast.require_room.__code__ = (lambda target, needed_bytes, files: None).__code__  # the disk fills meanwhile
"""


def test_a_full_disk(bundle, media, tmp_path):
    """On a real file system of four megabytes, in a mount namespace of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs user and mount namespaces")
    disk = tmp_path / "disk"
    disk.mkdir()
    words = '"$0" "$1" "$2" "$3"'
    script = f'mount -t tmpfs -o size=4m none "$1" && exec "{sys.executable}" -c {words}'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, FULL, disk, bundle, media[0].parent],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    # Room for the first volumes of a join there is: it takes those, and asks again before each.
    assert lines == ["APL-BUNDLE-049 4", "APL-BUNDLE-049 4", "[]", "APL-BASE-002 1", "APL-BASE-002 1", "[]"]


def test_the_errors_of_a_device_are_told_with_volume_and_file(media, tmp_path, monkeypatch):
    real = os.open

    def failing(path, *arguments, **options):
        if str(path).endswith(".piece-0002"):
            raise OSError(5, "Input/output error", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(ApplianceError) as caught:
        join.join(tmp_path / "out", media, NoProgress())
    assert caught.value.code.id == "APL-BUNDLE-028"
    assert "piece-0002" in caught.value.where
    assert "volume 3 of" in caught.value.where
