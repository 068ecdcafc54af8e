"""Whatever a run makes on the machine goes: at its end, after an error, and after kill -9 with the next run."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.host import HostError, NspawnHost
from tests.e2e.root import CHECKOUT
from tests.e2e.sink import Sink
from tests.e2e.testbed import NAMESPACES, PREFIX, RUNS, Testbed, hierarchies, ip

BEGIN = """\
import time
from tests.e2e.host import NspawnHost
from tests.e2e.sink import Sink
from tests.e2e.testbed import Testbed

with Testbed() as testbed, Sink(testbed) as sink, NspawnHost("h1", sink):
    print(testbed.id, flush=True)
    time.sleep(600)
"""
ENDED_S = 20


def left_of(id):
    """Everything of a run that is still there."""
    places = (RUNS, CHECKOUT / "build" / "e2e")
    groups = [each for top in hierarchies() for each in top.glob(f"{PREFIX}-{id}-*")]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if id in line]
    return [
        *NAMESPACES.glob(f"{PREFIX}-{id}-*"),
        *groups,
        *(place / id for place in places if (place / id).exists()),
        *mounts,
    ]


def test_nothing_is_left_at_the_end_or_after_an_error():
    with pytest.raises(ZeroDivisionError), Testbed() as testbed, Sink(testbed) as sink, NspawnHost("h1", sink):
        assert len(left_of(testbed.id)) > 4
        1 / 0  # noqa: B018
    assert left_of(testbed.id) == []


def test_nothing_is_left_of_a_host_that_does_not_boot(tmp_path):
    with pytest.raises(HostError, match="h1 ended with 1 while it booted"), Testbed() as testbed, Sink(testbed) as sink:
        NspawnHost("h1", sink, base=tmp_path).__enter__()
    assert left_of(testbed.id) == []


def test_a_host_dies_with_a_run_that_is_killed_and_the_next_run_removes_the_rest():
    words = [sys.executable, "-c", BEGIN]
    with subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as killed:
        id = killed.stdout.readline().strip()
        with Testbed():  # a run beside it that lives is let alone
            assert (NAMESPACES / f"{PREFIX}-{id}-h1").exists()
        assert ip("netns", "pids", f"{PREFIX}-{id}-h1") != ""
        killed.kill()
    end = time.monotonic() + ENDED_S
    while ip("netns", "pids", f"{PREFIX}-{id}-h1"):
        assert time.monotonic() < end, "the host outlives the run"
        time.sleep(0.1)
    assert left_of(id) != []
    with Testbed():
        assert left_of(id) == []
