"""A playbook, run by Ansible itself, as its lines tell it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.ansible_roles.conftest import ROOT

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
TASKS = """\
- name: A play
  hosts: all
  gather_facts: false
  tasks:
    - {name: file, ansible.builtin.copy: {content: "new\\n", dest: "{{ place }}/file", mode: "0600"}}
    - {name: not asked, ansible.builtin.debug: {msg: no}, when: false}
    - {name: no matter, ansible.builtin.command: "false", ignore_errors: true}
    - {name: hidden, ansible.builtin.command: "sh -c 'echo a secret >&2; exit 1'", no_log: true, ignore_errors: true}
    - name: one of two
      ansible.builtin.command: "sh -c 'echo why {{ item }} >&2; exit {{ item }}'"
      loop: [0, 3]
"""


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """Runs the tasks; gives the exit status and the events."""
    folder = tmp_path_factory.mktemp("play")
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"n1": LOCAL}}}))
    (folder / "play.yml").write_text(TASKS)
    told = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "json_lines"}

    def run(*options):
        program = Path(sys.prefix) / "bin" / "ansible-playbook"
        words = [program, "-i", folder / "hosts.yml", "-e", f"place={folder}", *options, folder / "play.yml"]
        done = subprocess.run(
            words, capture_output=True, text=True, env=told | {"ANSIBLE_HOME": str(folder / "home")}, check=False
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="module")
def plain(play):
    return play()


def results(events):
    return {each["task"]: each for each in events if each["event"] == "result"}


def test_every_line_is_an_event_and_the_summary_is_the_last(plain):
    status, events = plain
    assert status == 2
    assert events[0] == {"event": "play", "name": "A play"}
    assert [each["task"] for each in events if each["event"] == "task"] == list(results(events))
    assert events[-1]["event"] == "summary"
    assert events[-1]["hosts"]["n1"]["failures"] == 1


def test_what_became_of_each_task(plain):
    found = results(plain[1])
    expected = {
        "file": "changed", "not asked": "skipped", "no matter": "ignored", "hidden": "ignored", "one of two": "failed",
    }  # fmt: skip
    assert {name: each["status"] for name, each in found.items()} == expected
    assert found["one of two"]["message"] == "non-zero return code\nwhy 3"
    assert {each["host"] for each in found.values()} == {"n1"}
    assert all(each["seconds"] >= 0 for each in found.values())


def test_a_task_that_hides_its_words_tells_none(plain):
    assert "hidden" in results(plain[1])["hidden"]["message"]
    assert "a secret" not in json.dumps(plain[1])


def test_differences_are_told_where_they_were_asked_for(play, plain, tmp_path):
    assert {each["diff"] for each in results(plain[1]).values()} == {""}
    _, events = play("--check", "--diff", "-e", f"place={tmp_path}")
    assert "+new" in results(events)["file"]["diff"]
