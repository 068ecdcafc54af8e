"""kill -9 of a server of the site, which its supervisor starts again."""

import os
import signal
import time

PATIENCE_S = 60


def running_pid(site, name):
    """The server's process, once it is ready."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        row = site.status()[name]
        if row["state"] == "running" and row["pid"] > 1:
            return row["pid"]
        assert time.monotonic() < end_s, row
        time.sleep(0.1)


def kill(pid):
    assert pid > 1
    os.kill(pid, signal.SIGKILL)


def gone(pid, site, name):
    """Wait until the supervisor has started another process in its place, and that is ready."""
    while running_pid(site, name) == pid:
        time.sleep(0.1)
