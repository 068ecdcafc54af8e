"""The commands over trust, audit and models, run as people run them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.main import run
from appliance.governance.roles import ROLES, RoleKeys
from appliance.trust.anchor import open_anchor
from appliance.trust.log_proof import parse_proof
from appliance.trust.signer import bundle_path
from tests.unit.governance.conftest import write_package

Command = Callable[..., tuple[int, Any]]


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(["site", "init", "--site", str(tmp_path / "site")]) == 0
    capsys.readouterr()
    return tmp_path / "site"


@pytest.fixture
def command(site: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Exit code and JSON of a command on the site."""

    def call(*words: str | Path) -> tuple[int, Any]:
        code = run([*map(str, words), "--site", str(site), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def refused(result: tuple[int, Any]) -> tuple[int, str]:
    return result[0], result[1]["error"]["code"]


class TestTrust:
    def test_status(self, command: Command) -> None:
        code, data = command("trust", "status")
        assert (code, data["ok"], set(data["roles"])) == (0, True, set(ROLES))

    def test_status_names_an_altered_file(self, command: Command, site: Path) -> None:
        (tile,) = (site / "trust/log/tile/0").rglob("[1-9]*")
        tile.write_bytes(bytes(len(tile.read_bytes())))
        code, data = command("trust", "status")
        assert (code, [bad["file"] for bad in data["bad"]]) == (3, [str(tile)])

    def test_init_is_for_sites_without_trust(self, command: Command, site: Path) -> None:
        before = (site / "trust/trust-config.json").read_bytes()
        assert refused(command("trust", "init")) == (2, "APL-TRUST-007")
        assert (site / "trust/trust-config.json").read_bytes() == before
        shutil.rmtree(site / "trust")
        assert command("trust", "init")[0] == 0
        _, listed = command("audit", "list")
        assert [record["action"] for record in listed["records"]] == ["trust.init"] * 2

    def test_export_is_a_medium_that_others_take_in(self, command: Command, tmp_path: Path) -> None:
        target = tmp_path / "stick"
        code, data = command("trust", "export", target)
        assert code == 0
        taken = command("trust", "media-init", target, tmp_path / "state", "--root-digest", data["root_digest"])
        assert taken[0] == 0
        assert set(taken[1]["targets"]) == {
            *("trust-config.json", "trust-policy.json", "tlog-policy"),
            *("verify.py", "verify.pyz", "verify.sh"),
        }
        assert b"PRIVATE KEY" not in b"".join(path.read_bytes() for path in target.rglob("*") if path.is_file())
        assert command("trust", "export", target)[0] == 0  # again, brings it up to date

    def test_a_key_is_rotated_and_the_site_goes_on(self, command: Command) -> None:
        for key in ("issuing", "log", "custodian-2"):
            code, data = command("trust", "rotate", key, "--reason", "yearly")
            assert (code, len(data["rotated"])) == (0, 1), data
        code, data = command("trust", "status")
        assert (code, data["policy_version"]) == (0, 3)
        assert command("audit", "check")[0] == 0
        _, replayed = command("audit", "replay")
        assert (replayed["unexplained"], replayed["kinds"]["certificate"]) == ([], 4)

    def test_a_role_key_is_revoked(self, command: Command) -> None:
        """What it does afterwards is named by the check."""
        _, before = command("trust", "status")
        code, data = command("trust", "revoke", "role-key", before["roles"]["auditor"], "--reason", "laptop stolen")
        assert (code, data["from_index"] <= before["size"] + 2) == (0, True)
        assert command("audit", "check")[0] == 0
        command("trust", "witness-export", "nowhere", "--as", "auditor")
        code, data = command("audit", "check")
        assert (code, "is revoked from log index" in data["fault"]) == (3, True)

    @pytest.mark.parametrize(
        "words",
        [
            ("revoke", "statement", "sha256:" + "0" * 64, "--reason", " "),
            ("revoke", "identity", "x", "--reason", "left", "--from-index", "99999"),
            ("revoke", "role-key", "a-typing-error", "--reason", "left"),
            ("revoke", "issuing", "sha256:ABC", "--reason", "left"),
            ("witness-add", "../x", "w+00000000+AA==", "--needed", "1"),
            ("retire", "ct", "sha256:" + "0" * 64, "--last-index", "1", "--reason", "x"),
            ("witness-export", "requests"),
        ],
    )
    def test_changes_that_are_refused(self, command: Command, words: tuple[str, ...]) -> None:
        assert refused(command("trust", *words)) == (2, "APL-TRUST-033")
        assert command("trust", "status")[0] == 0  # and the log can still be read
        assert command("audit", "replay")[1]["revocations"] == []

    def test_an_entry_is_proved(self, command: Command, tmp_path: Path, site: Path) -> None:
        target = tmp_path / "entry.tlog-proof"
        assert command("trust", "prove", "1", target)[0] == 0
        proof = parse_proof(target.read_bytes())
        anchor = open_anchor(site / "trust")
        assert proof.verify(anchor.entries()[1], anchor.log_key).size > 1


class TestAuditPack:
    def test_from_the_site_to_the_verdict(self, command: Command, tmp_path: Path) -> None:
        """With a witness, over two visits."""
        key = command("trust", "witness-init", "--witness", tmp_path / "w", "--name", "w1.example")[1]["key"]
        assert command("trust", "witness-add", "office", key)[0] == 0
        assert refused(command("audit", "export", tmp_path / "early")) == (3, "APL-TRUST-017")
        pin = command("trust", "status")[1]["root_digest"]
        for visit in ("first", "second"):
            self.witness(command, tmp_path)
            assert command("audit", "export", tmp_path / visit)[0] == 0
            verify = ("audit", "verify", tmp_path / visit, "--root-digest", pin, "--memory", tmp_path / "memory")
            code, data = command(*verify)
            assert (code, data["verified"], data["step"]) == (0, True, None), data
        code, data = command("audit", "diff", tmp_path / "first", tmp_path / "second")
        assert (code, data["entries"]["audit"] > 0, data["statements"]) == (0, True, [])
        assert refused(command("audit", "diff", tmp_path / "second", tmp_path / "first")) == (3, "APL-TRUST-018")
        code, data = command("audit", "verify", tmp_path / "first", *verify[3:])
        assert (code, data["step"]) == (3, "rollback")

    def test_a_pack_in_one_file_is_read_like_a_folder(self, command: Command, tmp_path: Path) -> None:
        for name in ("a.tar", "b.tar"):
            assert command("audit", "export", tmp_path / name)[0] == 0
        assert command("audit", "replay", tmp_path / "a.tar")[1]["unexplained"] == []
        assert command("audit", "diff", tmp_path / "a.tar", tmp_path / "b.tar")[1]["entries"]["audit"] == 2

    def test_what_was_signed_between_two_packs_is_named(self, command: Command, tmp_path: Path) -> None:
        assert command("audit", "export", tmp_path / "before")[0] == 0
        assert command("trust", "rotate", "ct", "--reason", "yearly")[0] == 0
        assert command("audit", "export", tmp_path / "after")[0] == 0
        (signed,) = command("audit", "diff", tmp_path / "before", tmp_path / "after")[1]["statements"]
        assert signed["kind"] == "https://appliance.internal/attestations/ceremony/v1"
        assert "trust-config.json" in signed["subjects"]
        assert signed["identity"].endswith("/operator")
        bundle_path(tmp_path / "after" / "bundles", signed["digest"]).unlink()
        (signed,) = command("audit", "diff", tmp_path / "before", tmp_path / "after")[1]["statements"]
        assert (signed["kind"], signed["log_index"] > 0) == ("", True)

    def test_the_verdict_sums_up_what_holds(
        self, command: Command, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command("audit", "export", tmp_path / "pack")[0] == 0
        pin = command("trust", "status")[1]["root_digest"]
        verify = ["audit", "verify", str(tmp_path / "pack"), "--root-digest", pin]
        assert run(verify) == 0
        said = capsys.readouterr().out
        assert "signatures  statements: 1 signed by whom the policy allows" in said
        assert ".sigstore.json" not in said
        assert run([*verify, "--files"]) == 0
        assert ".sigstore.json" in capsys.readouterr().out

    def test_words_that_cannot_be_meant_are_wrong_use_and_not_a_verdict(
        self, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["audit", "verify", str(tmp_path), "--root-digest", "sha256:12"]) == 2
        assert "expected sha256: and 64 hex digits, got 'sha256:12'" in capsys.readouterr().err
        for words in (("replay", tmp_path), ("diff", tmp_path, tmp_path)):
            code, data = command("audit", *words)
            assert (code, data["error"]["code"]) == (3, "APL-TRUST-026")
            assert "no pack: trust-config.json is missing" in data["error"]["message"]

    def test_what_is_no_evidence_accuses_nobody(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("he did it")
        log_key = command("trust", "status")[1]["log_key"]
        asked = ("audit", "evidence", tmp_path / "file", "--log-key")
        assert refused(command(*asked, log_key)) == (3, "APL-TRUST-034")
        _, data = command(*asked, "a key")
        assert "expected NAME+HASH+BASE64, got 'a key'" in data["error"]["message"]

    def test_an_entry_that_no_witness_saw_yet_is_proved_later(self, command: Command, tmp_path: Path) -> None:
        _, data = command("trust", "prove", "4711", tmp_path / "proof")
        assert data["error"]["code"] == "APL-TRUST-011"
        assert "after the next trust witness-import" in data["error"]["hint"]

    def witness(self, command: Command, tmp_path: Path) -> None:
        log_key = command("trust", "status")[1]["log_key"]
        assert command("trust", "witness-export", tmp_path / "requests")[0] == 0
        files = (tmp_path / "requests/office.request", tmp_path / "answer")
        cosigned = command("trust", "witness-cosign", *files, "--witness", tmp_path / "w", "--log-key", log_key)
        assert cosigned[0] == 0, cosigned
        assert command("trust", "witness-import", tmp_path / "answer")[1]["met"] is True

    def test_a_log_that_was_set_back_is_noticed_by_its_own_site(
        self, command: Command, tmp_path: Path, site: Path
    ) -> None:
        """By the checkpoint that witnesses cosigned."""
        key = command("trust", "witness-init", "--witness", tmp_path / "w", "--name", "w1.example")[1]["key"]
        assert command("trust", "witness-add", "office", key)[0] == 0
        subject = ("verify", "trust/trust-config.json")
        assert "no quorum of witnesses has seen it yet" in " ".join(command(*subject)[1]["not_established"])
        shutil.copytree(site / "trust/log", tmp_path / "old")
        self.witness(command, tmp_path)
        code, data = command(*subject)
        assert (code, "a quorum of witnesses saw the first" in " ".join(data["established"])) == (0, True), data
        shutil.rmtree(site / "trust/log")
        shutil.copytree(tmp_path / "old", site / "trust/log")
        code, data = command(*subject)
        assert (code, "trust/witnessed" in [link["path"] for link in data["links"] if not link["ok"]]) == (3, True)

    def test_after_the_log_key_was_rotated_witnesses_are_asked_again(self, command: Command, tmp_path: Path) -> None:
        key = command("trust", "witness-init", "--witness", tmp_path / "w", "--name", "w1.example")[1]["key"]
        assert command("trust", "witness-add", "office", key)[0] == 0
        self.witness(command, tmp_path)
        assert command("trust", "rotate", "log", "--reason", "yearly")[0] == 0
        assert command("verify", "trust/trust-config.json")[0] == 0
        assert refused(command("audit", "export", tmp_path / "pack")) == (3, "APL-TRUST-017")
        self.witness(command, tmp_path)
        assert command("audit", "export", tmp_path / "pack")[0] == 0

    def test_another_witness_does_not_lower_the_quorum(self, command: Command, tmp_path: Path) -> None:
        keys = [
            command("trust", "witness-init", "--witness", tmp_path / name, "--name", name)[1]["key"] for name in "abc"
        ]
        needed = [
            command("trust", "witness-add", "a", keys[0])[1]["needed"],
            command("trust", "witness-add", "b", keys[1], "--needed", "2")[1]["needed"],
            command("trust", "witness-add", "c", keys[2])[1]["needed"],
        ]
        assert needed == [1, 2, 2]

    def test_a_witness_leaves_and_nobody_lowers_the_quorum_unawares(self, command: Command, tmp_path: Path) -> None:
        def leave(name: str, *words: str) -> tuple[int, Any]:
            return command("trust", "witness-remove", name, "--reason", "closed", *words)

        for name in "abc":
            key = command("trust", "witness-init", "--witness", tmp_path / name, "--name", name)[1]["key"]
            assert command("trust", "witness-add", name, key, *(["--needed", "2"] if name == "b" else []))[0] == 0
        assert refused(leave("d")) == (2, "APL-TRUST-033")
        assert leave("a")[1] == {"witnesses": ["b", "c"], "needed": 2}
        assert refused(leave("b")) == (2, "APL-TRUST-033")
        assert list(command("trust", "status")[1]["witnesses"]) == ["b", "c"]
        assert leave("b", "--needed", "1")[1] == {"witnesses": ["c"], "needed": 1}
        assert leave("c")[1] == {"witnesses": [], "needed": 0}
        assert command("audit", "check")[0] == 0

    def test_an_existing_folder_is_not_written_into(self, command: Command, tmp_path: Path) -> None:
        assert refused(command("audit", "export", tmp_path)) == (2, "APL-TRUST-015")


class TestAudit:
    def test_every_change_is_listed(self, command: Command, tmp_path: Path) -> None:
        command("trust", "export", tmp_path / "taken", "--as", "auditor")
        _, data = command("audit", "list", "--action", "trust.export")
        intent, outcome = data["records"]
        assert (intent["role"], intent["arguments"]) == ("auditor", {"target": str(tmp_path / "taken")})
        assert (outcome["intent"], outcome["outcome"]) == (intent["index"], "done")
        assert command("audit", "show", str(intent["index"]))[1]["signature"] == intent["signature"]
        assert len(command("audit", "list", "--last", "1")[1]["records"]) == 1

    def test_show_of_something_else(self, command: Command) -> None:
        assert refused(command("audit", "show", "0")) == (2, "APL-AUDIT-003")
        assert refused(command("audit", "show", "99999")) == (2, "APL-AUDIT-003")

    def test_check(self, command: Command, site: Path) -> None:
        code, data = command("audit", "check")
        assert (code, data["ok"], data["records"]) == (0, True, 2)
        (tile,) = (site / "trust/log/tile/entries").rglob("[1-9]*")
        tile.write_bytes(tile.read_bytes().replace(b'"operator"', b'"approver"'))
        code, data = command("audit", "check")
        assert (code, data["code"], data["where"]) == (3, "APL-AUDIT-002", str(tile))


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("openssl")), reason="needs jq and openssl")
def test_a_record_verifies_with_jq_and_openssl(command: Command, site: Path, tmp_path: Path) -> None:
    """As docs/reference/audit_format.md says, with stock programs only."""
    _, listed = command("audit", "list", "--last", "1")
    record = listed["records"][-1]
    (tmp_path / "record.json").write_text(json.dumps(command("audit", "show", str(record["index"]))[1]))
    key = RoleKeys(site / "keys").publics()[record["role"]]
    (tmp_path / "role.der").write_bytes(key)
    script = """set -e
    jq -cjS 'del(.signature, .index, .digest)' record.json > signed
    jq -r .signature record.json | base64 -d > signature
    openssl pkey -pubin -inform DER -in role.der -out role.pub.pem
    openssl dgst -sha256 -verify role.pub.pem -signature signature signed"""
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Verified OK\n"), done.stderr


class TestModel:
    def test_a_life(self, command: Command, tmp_path: Path) -> None:
        package = write_package(tmp_path / "package")
        code, data = command("model", "register", package)
        assert (code, data["id"], data["stage"]) == (0, "thermal/1", "candidate")
        assert refused(command("model", "promote", "thermal/1")) == (5, "APL-MODEL-007")
        assert command("model", "show", "thermal/1")[1]["loadable"] is False
        assert command("model", "approve", "thermal/1", "--reason", "read the card")[0] == 0
        assert command("model", "promote", "thermal/1")[1]["stage"] == "live"
        shown = command("model", "show", "thermal/1")[1]
        assert (shown["loadable"], shown["approval"]["reason"]) == (True, "read the card")
        assert refused(command("model", "rollback", "thermal", "--reason", "x")) == (1, "APL-MODEL-015")
        assert command("model", "retire", "thermal/1", "--reason", "x")[1]["stage"] == "retired"
        assert [each["stage"] for each in command("model", "list")[1]["versions"]] == ["retired"]
        assert command("audit", "check")[0] == 0

    def test_only_the_approver_approves(self, command: Command, tmp_path: Path) -> None:
        command("model", "register", write_package(tmp_path / "package"))
        result = command("model", "approve", "thermal/1", "--reason", "x", "--as", "data-scientist")
        assert refused(result) == (2, "APL-CLI-001")

    def test_refusals_have_their_codes(self, command: Command, tmp_path: Path) -> None:
        no_owner = write_package(tmp_path / "no-owner", owner=...)
        assert refused(command("model", "register", no_owner)) == (1, "APL-MODEL-002")
        assert refused(command("model", "register", tmp_path)) == (3, "APL-MODEL-001")
        for words in (["show", "thermal"], ["show", "thermal/9"], ["promote", "thermal/x"], ["promote", "/1"]):
            assert refused(command("model", *words)) == (2, "APL-MODEL-005")

    def test_text_is_for_people(self, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for words in (
            ["model", "register", str(write_package(tmp_path / "package"))],
            ["model", "approve", "thermal/1", "--reason", "read it"],
            ["model", "show", "thermal/1"],
            ["model", "list"],
            ["audit", "list"],
            ["audit", "check"],
            ["trust", "status"],
        ):
            assert run([*words, "--site", str(site)]) == 0
        out = capsys.readouterr().out
        assert "thermal/1 is a candidate. Next, as approver: appliance model approve thermal/1" in out
        assert "may be loaded: yes" in out
        assert "records hold together" in out


class TestFourEyes:
    def test_two_different_people_must_approve(self, command: Command, tmp_path: Path) -> None:
        assert command("trust", "require-approvals", "2", "--reason", "four eyes")[0] == 0
        for person in ("approver/alice", "approver/bob"):
            assert command("trust", "enroll", person)[0] == 0
        package = write_package(tmp_path / "package")
        assert command("model", "register", package, "--as", "data-scientist")[0] == 0
        approve = ("model", "approve", "thermal/1", "--reason", "card read", "--as")
        for _ in range(2):  # one person twice is one person
            assert command(*approve, "approver/alice")[0] == 0
            assert refused(command("model", "promote", "thermal/1")) == (5, "APL-MODEL-016")
        assert command(*approve, "approver/bob")[0] == 0
        assert command("model", "promote", "thermal/1")[0] == 0
        assert command("audit", "check")[0] == 0
        command("audit", "export", tmp_path / "pack", "--models")
        pin = command("trust", "status")[1]["root_digest"]
        code, verdict = command("audit", "verify", tmp_path / "pack", "--root-digest", pin)
        assert code == 0, verdict
        people = "https://demo.appliance.internal/approvers/alice, https://demo.appliance.internal/approvers/bob"
        assert f"live as thermal was approved by {people}" in " ".join(verdict["established"])

    def test_a_person_is_enrolled_once_and_a_role_is_not(self, command: Command) -> None:
        assert command("trust", "enroll", "auditor/eve")[0] == 0
        assert refused(command("trust", "enroll", "auditor/eve")) == (2, "APL-TRUST-006")
        assert refused(command("trust", "enroll", "approver")) == (2, "APL-TRUST-033")

    def test_without_the_root_key_nobody_is_enrolled_and_no_key_is_made(self, command: Command, site: Path) -> None:
        (site / "trust/enclave/root.pem").rename(site / "safe.pem")
        assert refused(command("trust", "enroll", "approver/alice")) == (1, "APL-TRUST-005")
        assert not (site / "keys/approver-alice.pem").exists()

    def test_a_person_without_a_key_cannot_act(self, command: Command, tmp_path: Path) -> None:
        assert refused(command("trust", "export", tmp_path / "x", "--as", "auditor/nobody")) == (1, "APL-AUDIT-001")
