"""After a failed or killed system call the log is the old tree or the new one, never a third, and goes on.

Every call of an append is tried that opens, writes, syncs, renames, makes, removes, locks or closes a file: it returns
EIO; it returns ENOSPC, where a full disk can show; the process is killed at it. The sizes are those where the tree
changes its shape: the first entry, the first full tile and the first of level 1, a partial tile, level 2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.fault.trust import injection
from tests.fault.trust.injection import ACKNOWLEDGED, CALLS, FOREIGN, KILLED, READS, Fault

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

EIO, ENOSPC, KILL = "error=EIO", "error=ENOSPC", "signal=KILL"
CAN_BE_FULL = ("openat", "write", "fsync", "rename", "mkdir", "close")  # Linux manual pages; close: over NFS
LARGE = 65_535
CHANGES = ("openat", "write", "fsync", "rename", "mkdir", "unlink", "unlinkat", "rmdir")
TRIED = {
    (EIO, True): CHANGES[1:],
    (ENOSPC, True): ("write", "fsync"),
    (KILL, True): CHANGES,
    (EIO, False): CALLS,
    (ENOSPC, False): CAN_BE_FULL,
    (KILL, False): CALLS,
}  # by fault, and whether the log is large
SIZES = ((0, 3), (254, 3), (300, 3), (LARGE, 2))  # entries before the append, and entries appended


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    made = {}
    for before, _ in SIZES:
        folder = tmp_path_factory.mktemp(f"log{before}")
        made[before] = injection.make_template(folder, [b"%d" % index for index in range(before)])
    return made


@pytest.mark.parametrize("what", [EIO, ENOSPC, KILL], ids=["EIO", "ENOSPC", "KILL"])
@pytest.mark.parametrize(("before", "added"), SIZES)
def test_a_fault_at_every_call(templates: dict[int, Path], tmp_path: Path, before: int, added: int, what: str) -> None:
    check_every(templates[before], tmp_path, before, added, what, TRIED[what, before == LARGE])


def test_an_error_at_every_call_that_reads(templates: dict[int, Path], tmp_path: Path) -> None:
    check_every(templates[300], tmp_path, 300, 3, EIO, READS)


def check_every(template: Path, folder: Path, before: int, added: int, what: str, tried: tuple[str, ...]) -> None:
    old = [b"%d" % index for index in range(before)]
    batch = [b"added %d" % index for index in range(added)]
    trees = {len(each): injection.root_of(each) for each in (old, old + batch)}
    ended, calls = injection.traced_append(injection.copy(template, folder / "whole"), batch)
    assert ended == ACKNOWLEDGED
    begun = next(index for index, call in enumerate(calls) if call != "read")  # before, it reads the test's own pipe
    published = max(index for index, call in enumerate(calls) if call == "rename")
    synced = max(index for index, call in enumerate(calls) if call == "fsync")
    seen: Counter[str] = Counter()
    for index, call in enumerate(calls):
        seen[call] += 1
        if call not in tried or index < begun:
            continue
        fault = Fault(call=call, number=seen[call], what=what)
        case = injection.copy(template, folder / "case")
        ended, _ = injection.traced_append(case, batch, fault.option)
        assert ended != FOREIGN, fault
        assert (ended == KILLED) == (what == KILL), fault
        # 1. the old tree or the new one, as the writer was told; only between the rename of the checkpoint and the sync
        #    of its folder it is told of an error although the new tree is there
        size, root = injection.state(case)
        assert trees.get(size) == root, fault
        if ended == ACKNOWLEDGED:
            assert size == before + added, fault
        elif ended != KILLED:
            assert size == before or published < index <= synced, fault
        # 2. the next append works, and leaves nothing behind
        log = injection.open_log(case)
        assert log.append([b"and on"]) == range(size, size + 1), fault
        assert injection.state(case)[0] == size + 1, fault
        assert list(log.entries(before)) == [*batch[: size - before], b"and on"], fault
        shutil.rmtree(case)


FULL = """
import sys
from pathlib import Path
from appliance.base.errors import ApplianceError
from tests.fault.trust import injection
folder = Path(sys.argv[1])
ballast = folder / "ballast"
ballast.write_bytes(bytes(300_000))
log = injection.open_log(injection.make_template(folder, [b"first"]))
done, code = 1, ""
while not code:
    try:
        assert log.append([b"x" * 997] * 3).stop == done + 3
        done += 3
    except ApplianceError as error:
        code = error.code.id
size, _ = injection.state(folder)
ballast.unlink()
again = log.append([b"after the disk was cleared"])
print(code, size == done, again == range(size, size + 1), injection.state(folder)[0] - size)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """On a real file system of one megabyte, in a mount namespace of its own."""
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs user and mount namespaces")
    script = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "{sys.executable}" -c "$0" "{tmp_path}"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, FULL],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "APL-BASE-002 True True 1\n"
