"""Rows come out of a connector once each, wherever it is ended: before any write, or by kill -9 at any time."""

import itertools
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.base.progress import NoProgress
from appliance.ingestion.connectors.delivery import Delivery
from appliance.ingestion.connectors.run import Limits, run
from tests.fault.crashing import CRASHED, child, crash_at, finish
from tests.fault.ingestion.connector_source import Numbers, pages

ROOT = Path(__file__).parents[3]
TOTAL = 23
LIMITS = Limits(rows=5, bytes=10**6, age_s=60.0, stalled_rows=1, poll_s=0.0)


def deliver(folder):
    delivery = Delivery(folder / "state", "numbers", folder / "incoming")
    with delivery.exclusive():
        return run(Numbers(TOTAL, 3), delivery, LIMITS, seconds=None, progress=NoProgress())


def ended_before(folder, write):
    """A run that is ended before its n-th write, as by a power cut."""
    crash_at(write)
    deliver(folder)


def claim(folder, taken):
    """What a spool does with what lies in incoming, hidden files aside: the files are gone from there."""
    for path in sorted((folder / "incoming").glob("[!.]*")):
        taken += [json.loads(line)["n"] for line in path.read_text().splitlines()]
        path.unlink()


@pytest.mark.parametrize("claimed_meanwhile", [True, False], ids=["claimed meanwhile", "left lying"])
def test_a_run_ended_before_any_write_delivers_every_row_once(tmp_path, claimed_meanwhile):
    for write in itertools.count():
        folder, taken = tmp_path / str(write), []
        (folder / "incoming").mkdir(parents=True)
        code = finish(child(lambda: ended_before(folder, write)))  # noqa: B023 - called at once
        assert code in (0, CRASHED)
        if claimed_meanwhile:
            claim(folder, taken)
        deliver(folder)
        claim(folder, taken)
        assert taken == list(range(TOTAL)), f"ended before write {write}"
        assert list((folder / "state" / "staged").iterdir()) == []
        if code == 0:
            break
    assert write > 15


def test_a_run_ended_after_three_writes_again_and_again_gets_on(tmp_path):
    (tmp_path / "incoming").mkdir()
    taken = []
    for attempt in itertools.count():
        code = finish(child(lambda: ended_before(tmp_path, 3)))
        claim(tmp_path, taken)
        if code == 0:
            break
        assert attempt < 100, "it does not get on"
    assert attempt > 5
    assert taken == list(range(TOTAL))


WORKER = """
import sys
from pathlib import Path
from appliance.base.progress import NoProgress
from appliance.ingestion.connectors.declaration import Pages, Rest
from appliance.ingestion.connectors.delivery import Delivery
from appliance.ingestion.connectors.rest import RestSource
from appliance.ingestion.connectors.run import Limits, run
folder, url = Path(sys.argv[1]), sys.argv[2]
rest = Rest(url=url, items="items", pages=Pages(style="page", parameter="page", size_parameter="size", size=10))
delivery = Delivery(folder / "state", "numbers", folder / "incoming")
print("begins", flush=True)
with delivery.exclusive():
    run(RestSource(rest, folder), delivery, Limits(rows=20, bytes=10**6, age_s=60.0, stalled_rows=1, poll_s=1.0),
        seconds=None, progress=NoProgress())
"""


def start(folder, url):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, folder, url], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begins\n"
    return process


@pytest.mark.slow
def test_kill_9_at_random_moments_of_a_pull_over_http(tmp_path, seed):
    rng = random.Random(seed)
    total, kills, taken = 3005, 0, []
    (tmp_path / "incoming").mkdir()
    with pages(total, 10) as url:
        for _ in range(15):
            with start(tmp_path, url) as process:
                time.sleep(rng.uniform(0, 0.35))
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
            claim(tmp_path, taken)
        with start(tmp_path, url) as process:
            assert process.wait() == 0
    claim(tmp_path, taken)
    assert taken == list(range(total)), f"seed {seed}"
    assert kills > 5, f"seed {seed}: most runs ended before the kill"
