"""What a manifest says, and words as systemd reads them."""

import json
import shutil
import subprocess

import pytest


def test_sizes_and_instant_of_a_bundle(plugin):
    members = [{"part": "apt", "size_bytes": 2}, {"part": "apt", "size_bytes": 3}, {"part": "wheels", "size_bytes": 7}]
    text = json.dumps({"made_at": "2026-01-05T18:00:00Z", "members": members})
    assert plugin("filter", "bundle_facts").bundle_facts(text) == {
        "made_at": "2026-01-05T18:00:00Z",
        "bytes": {"all": 12, "apt": 5, "wheels": 7},
    }


WORDS = ["/usr/bin/web", "--plain=a:b,c", "two words", "50%", "$HOME", 'a "quote"', "back\\slash", "", "it's"]


def test_words_of_a_command(plugin):
    assert plugin("filter", "systemd_text").systemd_command(WORDS) == (
        '/usr/bin/web --plain=a:b,c "two words" 50%% $$HOME "a \\"quote\\"" "back\\\\slash" "" "it\'s"'
    )


def test_systemd_reads_them_as_they_were(plugin, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = plugin("filter", "systemd_text").systemd_command(["/bin/true", *WORDS[1:]])
    unit = tmp_path / "words.service"
    unit.write_text(f"[Service]\nType=oneshot\nExecStart={text}\n")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "words.service" in line] == []


def test_variables_of_an_environment(plugin):
    values = {"B": "two words", "A": 5, "C": "100%"}
    assert plugin("filter", "systemd_text").systemd_environment(values) == 'A=5 "B=two words" C=100%%'


def test_a_line_break_is_refused(plugin):
    with pytest.raises(ValueError, match="a control character"):
        plugin("filter", "systemd_text").systemd_command(["a\nExecStartPre=/bin/sh"])
