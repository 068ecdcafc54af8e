"""Ends processes in the middle: a child for each run, a crash before its n-th write, and workers that fork them.

A worker is a program of its own. It imports everything once, starts no thread, and forks a child for each run, so that
a run costs a fraction of a second.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITES = ("os.rename", "os.link", "os.remove")  # audit events of every step that changes what a restart sees
CRASHED = 70  # exit code of a run that was ended by `crash_at`


def run_worker(worker, folder, *arguments):
    """Run a worker to its end; gives the lines of JSON that it printed."""
    done = subprocess.run(
        [sys.executable, worker, folder, *arguments], cwd=ROOT, env={"PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def child(work):
    """Fork; the child does `work` and ends without any cleaning up."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def finish(pid):
    """Wait for a child; gives its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def crash_at(number):
    """End the process before its n-th write, as a power cut would: nothing is flushed, nothing is cleaned up."""
    left = [number]

    def hook(event, arguments):
        if event in WRITES:
            left[0] -= 1
            if left[0] < 0:
                os._exit(CRASHED)

    sys.addaudithook(hook)
