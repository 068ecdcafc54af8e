"""The store when the process dies or the disk is full: a file is there as a whole or not at all."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from appliance.base.digest import digest_bytes
from appliance.bundle.store import Store
from tests.bundle_checkout import a_lock, an_input
from tests.fault.crashing import CRASHED, child, crash_at, finish

DATA = os.urandom(3 << 20)
DIGEST = digest_bytes(DATA)


def leftovers(store):
    return [path for path in store.folder.rglob("*") if path.is_file() and path.name.startswith(".tmp-")]


def proves_whole(store, source):
    """After the death: nothing is believed to be there, and the next run leaves it whole and alone."""
    lock = a_lock(an_input("wheels/one.whl", DATA))
    assert [each.path for each in store.missing(lock)] == ["wheels/one.whl"]
    assert store.check() == []
    assert len(leftovers(store)) <= 1
    store.put(source, DIGEST)
    assert store.missing(lock) == []
    assert store.check() == []
    assert leftovers(store) == []
    assert store.path(DIGEST).read_bytes() == DATA


def test_killed_between_the_write_and_the_rename(tmp_path):
    store, source = Store(tmp_path / "store"), tmp_path / "came"
    source.write_bytes(DATA)

    def work():
        crash_at(0)
        store.put(source, DIGEST)

    assert finish(child(work)) == CRASHED
    assert len(leftovers(store)) == 1
    proves_whole(store, source)


def test_killed_in_the_middle_of_the_copy(tmp_path):
    store, source, pipe = Store(tmp_path / "store"), tmp_path / "came", tmp_path / "pipe"
    source.write_bytes(DATA)
    os.mkfifo(pipe)
    pid = child(lambda: store.put(pipe, DIGEST))
    with pipe.open("wb", buffering=0) as file:
        file.write(DATA[: 2 << 20])  # the rest never comes
        until = time.monotonic() + 30
        while not leftovers(store) or leftovers(store)[0].stat().st_size < 1 << 20:
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        assert finish(pid) == -signal.SIGKILL
    proves_whole(store, source)


def test_a_leftover_of_another_file_is_pruned(tmp_path):
    store, source = Store(tmp_path / "store"), tmp_path / "came"
    source.write_bytes(DATA)
    assert finish(child(lambda: (crash_at(0), store.put(source, DIGEST)))) == CRASHED
    assert store.prune([a_lock(an_input("wheels/one.whl", DATA))]) == (1, len(DATA))
    assert leftovers(store) == []


FULL = """
import sys
from pathlib import Path
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import sources
from appliance.bundle.declaration import Checkout
from appliance.bundle.store import Store
from tests.bundle_checkout import a_lock, an_input
disk, outside = Path(sys.argv[1]), Path(sys.argv[2])
store = Store(disk / "store")
small, large = b"s" * 1000, b"l" * 3_000_000
locked = a_lock(*(an_input(f"servers/tool/{len(each)}", each, kind="server", name="tool") for each in (small, large)))
for each, data in zip(locked.inputs, (small, large)):
    source = outside / ".servers" / "tool" / str(len(data))
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(data)
    try:
        store.put(source, each.digest)
    except ApplianceError as error:
        print(error.code.id)
print([each.size_bytes for each in store.missing(locked)], store.check())
print([path.name for path in store.folder.rglob(".tmp-*")])
try:
    sources.fetch(locked, checkout=Checkout(outside), store=store, progress=NoProgress())
except ApplianceError as error:
    print(error.code.id)
"""


def test_a_full_disk(tmp_path):
    """On a real file system of two megabytes, in a mount namespace of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs user and mount namespaces")
    disk, outside = tmp_path / "disk", tmp_path / "outside"
    disk.mkdir()
    outside.mkdir()
    script = f'mount -t tmpfs -o size=2m none "{disk}" && exec "{sys.executable}" -c "$0" "{disk}" "{outside}"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, FULL],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "APL-BASE-002\n[3000000] []\n[]\nAPL-BUNDLE-016\n"
