"""Tells what a playbook does as one JSON object per line on stdout, for ``appliance deploy`` and for its record.

Rules
1. ``event`` says what a line is: ``play``, ``task``, ``result`` and ``summary``. Other lines are Ansible's own words.
2. A result has host, role, task, status, seconds and a message; of one that failed the message says why, with what a
   program said last. A task with ``no_log`` tells none of it.
3. What a task would change or changed is its ``diff``, where one was asked for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: json_lines
type: stdout
short_description: One JSON object per line
description:
  - Every play, task, result and the summary, each on a line of its own.
"""
SAID_CHARACTERS = 2_000  # of a failed program's output


def status_of(result: Mapping[str, Any], *, failed: bool, ignored: bool, skipped: bool) -> str:
    if failed:
        return "ignored" if ignored else "failed"
    if skipped:
        return "skipped"
    return "changed" if result.get("changed") else "ok"


def message_of(result: Mapping[str, Any]) -> str:
    """Why a task failed: of a loop the items that did, each once."""
    if "censored" in result:
        return str(result["censored"])
    items = [each for each in result.get("results") or () if isinstance(each, Mapping) and each.get("failed")]
    if items:
        return "\n".join(dict.fromkeys(message_of(each) for each in items))
    said = str(result.get("stderr") or result.get("module_stderr") or result.get("module_stdout") or "").strip()
    text = str(result.get("msg") or "").strip()
    return text if not said or said == text else f"{text}\n{said[-SAID_CHARACTERS:]}"


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "json_lines"

    def __init__(self) -> None:
        super().__init__()
        self._began: dict[tuple[str, str], float] = {}
        self._diffs: dict[tuple[str, str], str] = {}

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._tell(event="play", name=play.get_name().strip())

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._tell(event="task", **self._name(task))

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._tell(event="task", **self._name(task))

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._began[host.get_name(), task._uuid] = time.monotonic()

    def v2_on_file_diff(self, result: Any) -> None:
        """Comes before the result, and only where differences were asked for."""
        found = result.result
        told = [each for each in found.get("results") or (found,) if each.get("diff") and each.get("changed")]
        if "censored" not in found:
            self._diffs[result.host.get_name(), result.task._uuid] = "".join(
                self._get_diff(each["diff"]) for each in told
            )

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result(result, skipped=True)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result(result, failed=True, ignored=ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result(result, failed=True)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._tell(event="play", name="no host")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        self._tell(event="summary", hosts=hosts)

    def _result(self, result: Any, *, failed: bool = False, ignored: bool = False, skipped: bool = False) -> None:
        host, found = result.host.get_name(), result.result
        began = self._began.pop((host, result.task._uuid), None)
        self._tell(
            event="result",
            host=host,
            **self._name(result.task),
            status=status_of(found, failed=failed, ignored=ignored, skipped=skipped),
            seconds=round(time.monotonic() - began, 3) if began is not None else 0.0,
            message=message_of(found) if failed else "",
            findings=found.get("findings", []) if failed else [],
            diff=self._diffs.pop((host, result.task._uuid), ""),
        )

    def _name(self, task: Any) -> dict[str, str]:
        role = task._role.get_name() if task._role else ""
        return {"role": role, "task": task.name or task.action}

    def _tell(self, **event: Any) -> None:
        sys.stdout.write(json.dumps(event, default=str) + "\n")
        sys.stdout.flush()
