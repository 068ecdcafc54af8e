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
from appliance.trust import log_check, trust_config
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

    def test_export_holds_what_an_auditor_needs_and_no_key(self, command: Command, tmp_path: Path) -> None:
        target = tmp_path / "taken"
        code, data = command("trust", "export", target)
        assert code == 0
        key = trust_config.log_of((target / "trust-config.json").read_bytes())
        check = log_check.check_log(target / "log", key)
        assert (check.ok, check.size, check.root.hex()) == (True, data["size"], data["root"])
        assert b"PRIVATE KEY" not in b"".join(path.read_bytes() for path in target.rglob("*") if path.is_file())
        assert refused(command("trust", "export", target)) == (2, "APL-TRUST-015")


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
