"""A full disk, two programs at once, a program that dies: no record, no action, and the chain holds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import appliance
from appliance.base.clock import SystemClock
from appliance.governance.audit import Audit
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony

MAKE = """
import sys
from pathlib import Path
from appliance.base.clock import SystemClock
from appliance.base.errors import ApplianceError
from appliance.governance.audit import Audit
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony
folder = Path(sys.argv[1])
keys = RoleKeys(folder / "keys")
if not (folder / "trust").exists():
    keys.create_all()
    ceremony.init_trust(folder / "trust", "north", SystemClock(), keys.publics())
enclave = ceremony.open_enclave(folder / "trust")
audit = Audit(enclave.log(), keys, SystemClock())
"""

FULL_DISK = (
    MAKE
    + """
filler = (folder / "filler").open("wb", buffering=0)
for size in (4096, 1):
    try:
        while True:
            filler.write(bytes(size))
    except OSError as error:
        assert error.errno == 28
before = audit.check()
assert before.ok
for attempt in range(3):
    try:
        audit.begin(role="operator", action="ingest.run", arguments={"n": str(attempt)})
    except ApplianceError as error:
        assert error.code.id == "APL-AUDIT-001", error
        assert "No space left on device" in error.message, error
    else:
        raise AssertionError("a record was written to a full disk")
assert audit.check() == before
filler.close()
(folder / "filler").unlink()
audit.end(audit.begin(role="operator", action="ingest.run", arguments={}), outcome="done", detail="")
after = audit.check()
assert (after.ok, after.records) == (True, before.records + 2), after
print("held")
"""
)

BUSY = (
    MAKE
    + """
print("at work", flush=True)
for number in range(int(sys.argv[2])):
    intent = audit.begin(role=sys.argv[3], action="a.b", arguments={"number": str(number)})
    audit.end(intent, outcome="done", detail="")
"""
)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(appliance.__file__).parents[1])}


def test_a_full_disk_refuses_the_action_and_harms_nothing(tmp_path: Path) -> None:
    """On a real file system of 1 MiB."""
    mount = f'mount -t tmpfs -o size=1m tmpfs "{tmp_path}"'
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("needs user and mount namespaces")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$0" -c "$1" "$2"', sys.executable, FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr


def open_audit(folder: Path) -> Audit:
    return Audit(ceremony.open_enclave(folder / "trust").log(), RoleKeys(folder / "keys"), SystemClock())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys = RoleKeys(tmp_path / "keys")
    keys.create_all()
    ceremony.init_trust(tmp_path / "trust", "north", SystemClock(), keys.publics())
    return tmp_path


def start(folder: Path, count: int, role: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUSY, str(folder), str(count), role],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def test_two_programs_at_once_write_one_chain(folder: Path) -> None:
    programs = [start(folder, 25, role) for role in ("operator", "auditor")]
    for program in programs:
        program.communicate(timeout=120)
        assert program.returncode == 0
    check = open_audit(folder).check()
    assert (check.ok, check.records, check.unfinished) == (True, 100, ()), check.fault


def test_a_killed_program_leaves_a_chain_that_goes_on(folder: Path) -> None:
    for _ in range(5):
        program = start(folder, 10_000, "operator")
        assert program.stdout is not None
        program.stdout.readline()
        program.stdout.close()
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
        audit = open_audit(folder)
        audit.end(audit.begin(role="auditor", action="a.b", arguments={}), outcome="done", detail="")
        check = audit.check()
        assert check.ok, check.fault
    assert len(check.unfinished) <= 5
