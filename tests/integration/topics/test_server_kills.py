"""The servers of a running sink killed at random moments under load: what was acknowledged is there, once.

The servers are broker, object store and the catalog's database; the tables are on the latter two. Each kill meets a
sink that is at work again: one that could not take anything for five minutes gives up, which is another test's subject.
"""

import random
import signal
import time

import pytest

from tests.integration.kill_counts import KILLS
from tests.integration.storage.killing import gone, kill, running_pid
from tests.integration.topics.load import SERVERS, Load, check_each_once, servers
from tests.integration.topics.on_servers import count_of, sink
from tests.integration.topics.test_worker import until

__all__ = ["servers"]
pytestmark = pytest.mark.integration

BACK_S = 240  # a killed server is back, and the sink takes records again, within this on a busy machine


def test_kills_of_servers_lose_and_double_nothing(appliance, servers, seed, record_property):
    product, site = appliance
    rng = random.Random(seed)
    with Load(site) as load:
        running, taken = sink(product), 0
        victims = [name for name in SERVERS for _ in range(KILLS[name])]
        for name in [*rng.sample(victims, len(victims)), None]:
            until(lambda before=taken: running.poll() is not None or count_of(site) > before, seconds=BACK_S)
            assert running.poll() is None, f"seed {seed}: {running.communicate()}"
            if name is None:
                break
            time.sleep(rng.uniform(0.0, 3.0))
            taken, pid = count_of(site), running_pid(servers, name)
            kill(pid)
            gone(pid, servers, name)
    end = time.monotonic() + BACK_S
    while running.poll() is None and count_of(site) < load.acknowledged and time.monotonic() < end:
        time.sleep(0.5)
    running.send_signal(signal.SIGTERM)
    out, said = running.communicate(timeout=60)
    told = f"seed {seed}: {out.decode()[-2000:]} {said.decode()[-8000:]}"
    assert running.returncode == 0, told
    assert time.monotonic() < end, told
    product.do("ingest", "topic", "--until-end", role="data-engineer")
    check_each_once(product, site, load, record_property, told)
