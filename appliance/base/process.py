"""The one place that starts programs.

Rules
1. A command is a list, option and value side by side; no shell.
2. Every start is logged with its full command line, so that it can be replayed by hand.
3. Children get `QUIET_ENVIRONMENT`: phone-home of third-party libraries is off in everything we start.
4. A child that we started dies with its time limit, and `Running.stop` ends its whole process group.
5. A tied child is killed by the kernel when the thread that started it ends, so that a killed command leaves nobody
   behind who writes where its next run writes (setpriv(1), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base import codes
from appliance.base.errors import ApplianceError

_log = logging.getLogger(__name__)

QUIET_ENVIRONMENT: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "GX_ANALYTICS_ENABLED": "false",
    "SCARF_NO_ANALYTICS": "true",
}
_TIE = ("setpriv", "--pdeathsig", "KILL", "--")
TAIL_CHARACTERS = 2_000  # of a failed program's output that goes into the message


@dataclass(frozen=True, kw_only=True)
class Completed:
    arguments: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment, quieted, plus `extra`."""
    return {**os.environ, **QUIET_ENVIRONMENT, **(extra or {})}


def run(
    arguments: Sequence[str | Path],
    *,
    timeout_s: float,
    folder: Path | None = None,
    extra_environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    check: bool = True,
    tied: bool = False,
    shown: bool = False,
) -> Completed:
    """Run to the end and give its output; with `shown` its stderr goes where ours does, for one that shows progress.

    Raises:
        ApplianceError: APL-BASE-003, it cannot be started, ran past `timeout_s`, or (with `check`) failed.
    """
    command = tuple(map(str, arguments))
    _check_program(command[0])
    _log.info("process run", extra={"arguments": list(command), "folder": str(folder or "")})
    try:
        done = subprocess.run(
            (*_TIE, *command) if tied else command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            timeout=timeout_s,
            cwd=folder,
            env=environment(extra_environment),
        )
    except subprocess.TimeoutExpired as error:
        raise ApplianceError(codes.PROCESS_FAILED, f"{command[0]} ran past {timeout_s:g} s") from error
    except OSError as error:
        raise ApplianceError(codes.PROCESS_FAILED, f"{command[0]} cannot be started: {error.strerror}") from error
    completed = Completed(arguments=command, returncode=done.returncode, stdout=done.stdout, stderr=done.stderr or b"")
    if check and done.returncode != 0:
        tail = (done.stderr or done.stdout).decode("utf-8", "replace")[-TAIL_CHARACTERS:].strip()
        raise ApplianceError(codes.PROCESS_FAILED, f"{command[0]} ended with {done.returncode}: {tail}")
    return completed


def _check_program(program: str) -> None:
    """Refuse here what a tied start would only tell in the child's log.

    Raises:
        ApplianceError: APL-BASE-003.
    """
    if shutil.which(program) is None:
        raise ApplianceError(codes.PROCESS_FAILED, f"{program} cannot be started: no such program")


class Running:
    """A program at work in its own process group, its output going to a log file."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self.log_path = log_path

    @property
    def pid(self) -> int:
        return self._process.pid

    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ApplianceError(codes.PROCESS_FAILED, f"process {self.pid} ran past {timeout_s:g} s") from error

    def stop(self, *, grace_s: float = 10.0) -> int:
        """Ask politely, wait `grace_s`, then kill the group. Gives the return code."""
        for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
            if self._process.poll() is not None:
                break
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(patience_s)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        return self._process.wait(10.0)


def start(
    arguments: Sequence[str | Path],
    *,
    log_path: Path,
    folder: Path | None = None,
    extra_environment: Mapping[str, str] | None = None,
    tied: bool = False,
) -> Running:
    """Start in the background; stdout and stderr are appended to `log_path`.

    Raises:
        ApplianceError: APL-BASE-003.
    """
    command = tuple(map(str, arguments))
    _check_program(command[0])
    _log.info("process start", extra={"arguments": list(command), "folder": str(folder or "")})
    log_path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log_path.open("ab") as output:
            process = subprocess.Popen(
                (*_TIE, *command) if tied else command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=environment(extra_environment),
                start_new_session=True,
            )
    except OSError as error:
        raise ApplianceError(codes.PROCESS_FAILED, f"{command[0]} cannot be started: {error.strerror}") from error
    return Running(process, log_path)
