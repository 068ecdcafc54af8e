"""The record of deployments: lines are added, never changed, and a torn one is told."""

import os

import pytest

from appliance.base.errors import ApplianceError
from appliance.deploy import journal


def test_what_was_added_is_read_in_order(tmp_path):
    path = tmp_path / "deploy/journal.jsonl"
    assert journal.read(path) == []
    for number in (1, 2):
        journal.add(path, {"run": number})
    assert [each["run"] for each in journal.read(path)] == [1, 2]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_power_cut_tore_is_closed_and_told(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal.add(path, {"run": 1})
    journal.add(path, {"run": 2})
    os.truncate(path, path.stat().st_size - 10)
    before = path.read_bytes()
    journal.add(path, {"run": 3})
    assert path.read_bytes().startswith(before)
    assert journal.read(path)[1:] == [journal.DAMAGED, {"format": journal.FORMAT, "run": 3}]


def test_a_record_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "journal.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ApplianceError) as error:
        journal.add(tmp_path / "journal.jsonl", {"run": 1})
    assert error.value.code.id == "APL-BASE-002"
    assert (tmp_path / "elsewhere").read_text() == ""


def test_who_is_the_person_behind_sudo(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "alice")
    assert journal.who() == "alice"
