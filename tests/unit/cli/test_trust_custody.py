"""Custodians take their keys to laptops of their own, and trust goes on: as docs/howto/custodian.md tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.main import run
from appliance.trust import custody

Command = Callable[..., tuple[int, Any]]
PEOPLE = {"ann": "ed25519", "ben": "p256", "cem": "ed25519", "lattice": "mldsa65"}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """In an empty folder with the site ``site``; gives exit code and JSON of a command."""
    monkeypatch.chdir(tmp_path)
    assert run(["site", "init", "--set", "site.name=north"]) == 0
    capsys.readouterr()

    def call(*words: str) -> tuple[int, Any]:
        code = run(["trust", *words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def make_key(command: Command, name: str, algorithm: str) -> None:
    Path(f"{name}.phrase").write_text(f"the words of {name}")
    Path(f"{name}.phrase").chmod(0o600)
    assert command("custodian-key", f"{name}.pub", "--keys", laptop(name), "--algorithm", algorithm)[0] == 0


def laptop(name: str) -> str:
    return f"file:./{name}-laptop?passphrase-file=./{name}.phrase"


def sign(command: Command, work: str, *people: str, site: tuple[str, ...] = ()) -> tuple[int, Any]:
    """Show, sign and assemble; `site` are custody keys that still lie in the site."""
    _, shown = command("custodian-show", f"{work}/request.json")
    responses = []
    for name in people:
        responses.append(f"{work}/{name}.json")
        words = ("custodian-sign", f"{work}/request.json", responses[-1], "--digest", shown["digest"])
        assert command(*words, "--keys", laptop(name))[0] == 0
    for name in site:
        responses.append(f"{work}/{name}.json")
        words = ("custodian-sign", f"{work}/request.json", responses[-1], "--digest", shown["digest"])
        assert command(*words, "--keys", "file:./site/trust/custody", "--name", name)[0] == 0
    return command("media-assemble", work, *responses)


def publics(*people: str) -> list[str]:
    return [word for name in people for word in ("--custodian", f"{name}.pub")]


def hand_over(command: Command) -> None:
    for name, algorithm in PEOPLE.items():
        make_key(command, name, algorithm)
    assert command("media-draft-root", "root-2", *publics(*PEOPLE))[0] == 0
    assert sign(command, "root-2", *PEOPLE, site=tuple(custody.CUSTODIANS))[0] == 0
    assert command("media-draft-targets", "targets-2", "--root", "root-2")[0] == 0
    assert sign(command, "targets-2", *PEOPLE)[0] == 0
    code, made = command("media-publish", "--root", "root-2", "--targets", "targets-2")
    assert (code, made["versions"]["root"], made["versions"]["targets"]) == (0, 2, 2)
    for name in custody.CUSTODIANS:
        Path(f"site/trust/custody/{name}.pem").unlink()


def test_a_life_of_split_custody(command: Command) -> None:
    pinned = custody.root_digest(Path("site/trust"))
    assert command("media-init", "site/trust/tuf", "auditor", "--root-digest", pinned)[0] == 0
    hand_over(command)
    assert command("media-refresh", "site/trust/tuf", "auditor")[1]["versions"]["root"] == 2
    # A new target, signed by three of four.
    Path("verify.py").write_text("print()\n")
    assert command("media-draft-targets", "targets-3", "--target", "verify.py=verify.py")[0] == 0
    assert sign(command, "targets-3", "ann", "ben", "lattice")[0] == 0
    assert command("media-publish", "--targets", "targets-3")[0] == 0
    assert "verify.py" in command("media-refresh", "site/trust/tuf", "auditor")[1]["targets"]
    # Cem has lost the laptop.
    make_key(command, "dora", "ed25519")
    assert command("media-draft-root", "root-3", *publics("ann", "ben", "dora", "lattice"))[0] == 0
    assert sign(command, "root-3", "ann", "ben", "lattice", "dora")[0] == 0
    assert command("media-draft-targets", "targets-4", "--root", "root-3")[0] == 0
    assert sign(command, "targets-4", "ann", "ben", "lattice")[0] == 0
    assert command("media-publish", "--root", "root-3", "--targets", "targets-4")[0] == 0
    # The publisher alone prolongs.
    assert command("media-publish")[1]["versions"] == {"root": 3, "targets": 4, "snapshot": 5, "timestamp": 5}
    assert command("media-refresh", "site/trust/tuf", "auditor")[1]["versions"]["timestamp"] == 5
    assert run(["audit", "check"]) == 0
    assert run(["trust", "status"]) == 0
    assert run(["trust", "export", "pack"]) == 0


class TestDraftedChanges:
    """Everything that the custodians sign can be drafted, while the site goes on signing with what counts."""

    @pytest.fixture
    def site(self, command: Command) -> Command:
        hand_over(command)
        return command

    def agree(self, command: Command, work: str) -> tuple[int, Any]:
        assert sign(command, work, "ann", "ben", "lattice")[0] == 0
        return command("media-publish", "--targets", work)

    @pytest.mark.parametrize("key", ["issuing", "timestamp", "ct"])
    def test_a_rotation(self, site: Command, key: str) -> None:
        before = newest(site, key)
        code, drafted = site("rotate", key, "--reason", "yearly", "--draft", "work", "--overlap", "20")
        assert code == 0
        assert any("trust-config.json" in line for line in drafted["summary"])
        assert newest(site, key) == before
        assert site("enroll", "approver/alice")[0] == 0  # by the old key, at an index of both windows
        assert self.agree(site, "work")[0] == 0
        after = newest(site, key)
        assert (after["id"] != before["id"], after["last_index"]) == (True, None)
        assert run(["audit", "check"]) == 0

    def test_a_rotation_that_waited_too_long_is_drafted_again(self, site: Command) -> None:
        assert site("rotate", "ct", "--reason", "yearly", "--draft", "late", "--overlap", "1")[0] == 0
        before = newest(site, "ct")
        assert site("enroll", "approver/alice")[0] == 0
        code, said = self.agree(site, "late")
        assert (code, said["error"]["code"]) == (2, "APL-TRUST-033")
        assert "draft the rotation again" in said["error"]["message"]
        assert newest(site, "ct") == before
        assert site("rotate", "ct", "--reason", "yearly", "--draft", "again")[0] == 0
        assert self.agree(site, "again")[0] == 0
        assert run(["audit", "check"]) == 0

    @pytest.mark.parametrize("key", ["log", "root", "custodian-1"])
    def test_keys_that_cannot_wait(self, site: Command, key: str) -> None:
        code, said = site("rotate", key, "--reason", "yearly", "--draft", "work")
        assert (code, said["error"]["code"]) == (2, "APL-TRUST-033")
        assert not Path("work").exists()

    def test_a_window_is_shortened(self, site: Command) -> None:
        old = newest(site, "ct")["id"]
        site("rotate", "ct", "--reason", "yearly", "--draft", "one")
        assert self.agree(site, "one")[0] == 0
        words = ("retire", "ct", old, "--last-index", "2", "--reason", "found late", "--draft", "two")
        assert site(*words)[0] == 0
        assert self.agree(site, "two")[0] == 0
        (window,) = (each for each in site("status")[1]["windows"] if each["id"] == old)
        assert window["last_index"] == 2

    def test_witnesses_and_approvals(self, site: Command) -> None:
        key = site("witness-init", "--witness", "w", "--name", "w1.audit.example")[1]["key"]
        assert site("witness-add", "office", key, "--draft", "add")[0] == 0
        assert self.agree(site, "add")[0] == 0
        assert list(site("status")[1]["witnesses"]) == ["office"]
        assert site("witness-remove", "office", "--reason", "closed", "--draft", "remove")[0] == 0
        assert self.agree(site, "remove")[0] == 0
        assert site("status")[1]["witnesses"] == {}
        assert site("require-approvals", "2", "--reason", "four eyes", "--draft", "approvals")[0] == 0
        assert self.agree(site, "approvals")[0] == 0
        assert [each["threshold"] for each in site("status")[1]["approvals"]] == [2]

    def test_without_a_draft_the_missing_keys_are_said(self, site: Command) -> None:
        code, said = site("rotate", "ct", "--reason", "yearly")
        assert (code, said["error"]["code"]) == (1, "APL-TRUST-032")
        assert "--draft" in said["error"]["hint"]

    def test_policies_cannot_be_withdrawn(self, site: Command) -> None:
        site("media-draft-targets", "work", "--withdraw", "trust-policy.json")
        code, said = self.agree(site, "work")
        assert (code, said["error"]["code"]) == (2, "APL-TRUST-033")
        assert run(["trust", "status"]) == 0


def newest(command: Command, use: str) -> Any:
    """The window without an end."""
    (window,) = (each for each in command("status")[1]["windows"] if each["use"] == use and each["last_index"] is None)
    return window


class TestRefusals:
    def test_too_few(self, command: Command) -> None:
        hand_over(command)
        command("media-draft-targets", "more", "--withdraw", "tlog-policy")
        code, said = sign(command, "more", "ann", "lattice")
        assert (code, said["error"]["code"]) == (3, "APL-TUF-003")
        code, said = command("media-publish", "--targets", "more")
        assert (code, said["error"]["code"]) == (3, "APL-TUF-010")

    def test_another_digest_than_was_read_out(self, command: Command) -> None:
        make_key(command, "ann", "ed25519")
        command("media-draft-targets", "work")
        words = ("custodian-sign", "work/request.json", "r.json", "--digest", "sha256:0", "--keys", laptop("ann"))
        code, said = command(*words)
        assert (code, said["error"]["code"]) == (3, "APL-TUF-010")
        assert not Path("r.json").exists()

    def test_a_draft_is_not_written_over(self, command: Command) -> None:
        assert command("media-draft-targets", "work")[0] == 0
        code, said = command("media-draft-targets", "work")
        assert (code, said["error"]["code"]) == (2, "APL-TRUST-015")

    def test_a_file_that_is_no_public_key(self, command: Command) -> None:
        Path("x.pub").write_text("AAAA!")
        code, said = command("media-draft-root", "work", "--custodian", "x.pub")
        assert (code, said["error"]["code"]) == (1, "APL-TRUST-005")

    def test_keys_are_not_made_twice(self, command: Command) -> None:
        make_key(command, "ann", "ed25519")
        before = Path("ann.pub").read_bytes()
        code, said = command("custodian-key", "ann.pub", "--keys", laptop("ann"))
        assert (code, said["error"]["code"], Path("ann.pub").read_bytes()) == (2, "APL-TRUST-006", before)
