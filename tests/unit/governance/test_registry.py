"""Versions, stages and who moved them."""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.base.canonical import parse_canonical
from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.governance.registry import Registry
from appliance.governance.stages import replay
from appliance.trust import statements
from tests.unit.governance.conftest import Governed, Steps, acting, write_package


def code_of(call: Callable[[], object]) -> str:
    try:
        call()
    except ApplianceError as error:
        return error.code.id
    return ""


class TestRegister:
    def test_a_candidate_is_copied_signed_and_logged(self, steps: Steps, governed: Governed) -> None:
        made = steps.register(lineage=digest_bytes(b"lineage"))
        assert (made.id, made.stage, made.standing.registrar) == ("thermal/1", "candidate", "data-scientist")
        verified = steps.registry.anchor.verify(steps.registry.anchor.bundle(made.standing.statement), "data-scientist")
        assert verified.statement.predicate_type == statements.MODEL
        predicate = verified.statement.predicate
        assert (predicate["owner"], predicate["staleness"]) == ("grid-analytics", "30d")
        assert predicate["lineage"] == digest_bytes(b"lineage")
        assert set(verified.statement.subjects) == {
            f"thermal/1/{name}" for name in ("package.json", "model.onnx", "metrics.json", "model_card.md")
        }
        move = parse_canonical(governed.log.entry(made.standing.moves[0]))
        intent = parse_canonical(governed.log.entry(move["intent"]))
        assert (intent["kind"], intent["phase"], intent["role"]) == ("audit", "intent", "data-scientist")

    def test_the_unmodified_model_signing_program_verifies_the_folder(self, steps: Steps, governed: Governed) -> None:
        if subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
            pytest.skip("needs user and network namespaces")
        made = steps.register()
        anchor = steps.registry.anchor
        predicate = anchor.verify(anchor.bundle(made.standing.statement), "data-scientist").statement.predicate
        signature = governed.enclave.bundles / f"{hex_of(predicate['model_signing'])}.sigstore.json"
        command = ["unshare", "-rn", sys.executable, "-m", "model_signing", "verify", "sigstore", str(made.folder)]
        command += ["--signature", str(signature), "--identity", governed.enclave.identity("data-scientist")]
        command += ["--identity_provider", governed.enclave.issuer]
        command += ["--trust_config", str(governed.folder / "trust/trust-config.json")]

        def verify() -> int:
            return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode

        assert verify() == 0
        (made.folder / "model.onnx").chmod(0o644)
        (made.folder / "model.onnx").write_bytes(b"other")
        assert verify() != 0

    def test_the_package_is_read_only(self, steps: Steps) -> None:
        made = steps.register()
        modes = {path.stat().st_mode & 0o777 for path in made.folder.iterdir()}
        assert (modes, made.folder.stat().st_mode & 0o777) == ({0o444}, 0o555)

    def test_the_same_artifact_twice(self, steps: Steps, governed: Governed) -> None:
        steps.register()
        again = write_package(governed.folder / "again", seed_of_id="1", metric={"value": "0.99"})
        with pytest.raises(ApplianceError, match="thermal/1 has artifact id") as caught, acting(governed, "operator"):
            steps.registry.register(again)
        assert caught.value.code.id == "APL-MODEL-003"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"value": "0.80"}, "APL-MODEL-004"),
            ({"value": "0.800"}, "APL-MODEL-004"),
            ({"value": "0.79"}, "APL-MODEL-004"),
            ({"value": "0.81"}, ""),
            ({"value": "0.5", "holdout": digest_bytes(b"other rows")}, ""),
            ({"value": "0.5", "name": "f1"}, ""),
        ],
    )
    def test_only_a_better_candidate(self, steps: Steps, governed: Governed, changes: Any, code: str) -> None:
        steps.register("0.80")
        package = write_package(governed.folder / "next", seed_of_id="next", metric=changes)
        with acting(governed, "data-scientist"):
            assert code_of(lambda: steps.registry.register(package)) == code
        assert len(steps.registry.list()) == (1 if code else 2)

    def test_the_live_version_sets_the_bar(self, steps: Steps) -> None:
        steps.register("0.80")
        steps.approve(1)
        steps.promote(1)
        steps.register("0.90")
        assert code_of(lambda: steps.register("0.85")) == ""
        assert code_of(lambda: steps.register("0.80")) == "APL-MODEL-004"

    def test_a_retired_version_sets_no_bar(self, steps: Steps) -> None:
        steps.register("0.80")
        steps.retire(1)
        assert steps.register("0.70").version == 2

    def test_a_measured_incumbent_sets_the_bar(self, steps: Steps) -> None:
        with pytest.raises(ApplianceError, match=r"roc_auc 0\.80 against 0\.80 of the live version") as caught:
            steps.register("0.80", incumbent="0.80")
        assert caught.value.code.id == "APL-MODEL-004"
        assert steps.register("0.80", incumbent="0.79").version == 1

    def test_without_a_record_nothing_happens(self, steps: Steps, governed: Governed) -> None:
        size = governed.log.size()
        assert code_of(lambda: steps.registry.register(steps.package())) == "APL-AUDIT-004"
        assert (governed.log.size(), (governed.folder / "registry").exists()) == (size, False)

    @pytest.mark.parametrize("duty", ["owner", "slo", "staleness"])
    def test_a_model_without_duties(self, steps: Steps, governed: Governed, duty: str) -> None:
        package = write_package(governed.folder / "bad", **{duty: ...})
        with acting(governed, "data-scientist"):
            assert code_of(lambda: steps.registry.register(package)) == "APL-MODEL-002"
        assert steps.registry.list() == []

    def test_leftovers_of_an_interrupted_registration_are_replaced(self, steps: Steps, governed: Governed) -> None:
        for name in ("1", ".tmp-1"):
            folder = governed.folder / "registry/models/thermal" / name
            folder.mkdir(parents=True)
            (folder / "junk").write_bytes(b"")
        made = steps.register()
        assert sorted(path.name for path in made.folder.parent.iterdir()) == ["1"]


STATES = ("none", "candidate", "approved", "live", "retired")
ACTIONS = ("approve", "promote", "retire", "rollback")
# What each action does to version 1 in each state: the stage after it, or the code of the refusal.
TABLE = {
    ("none", "approve"): "APL-MODEL-005",
    ("none", "promote"): "APL-MODEL-005",
    ("none", "retire"): "APL-MODEL-005",
    ("none", "rollback"): "APL-MODEL-015",
    ("candidate", "approve"): "approved",
    ("candidate", "promote"): "APL-MODEL-007",
    ("candidate", "retire"): "retired",
    ("candidate", "rollback"): "APL-MODEL-015",
    ("approved", "approve"): "approved",
    ("approved", "promote"): "live",
    ("approved", "retire"): "retired",
    ("approved", "rollback"): "APL-MODEL-015",
    ("live", "approve"): "live",
    ("live", "promote"): "APL-MODEL-006",
    ("live", "retire"): "retired",
    ("live", "rollback"): "APL-MODEL-015",
    ("retired", "approve"): "APL-MODEL-006",
    ("retired", "promote"): "APL-MODEL-006",
    ("retired", "retire"): "APL-MODEL-006",
    ("retired", "rollback"): "APL-MODEL-015",
}


class TestStages:
    def test_the_table_is_complete(self) -> None:
        assert set(TABLE) == {(state, action) for state in STATES for action in ACTIONS}

    @pytest.mark.parametrize(("state", "action"), TABLE)
    def test_every_action_in_every_stage(self, steps: Steps, state: str, action: str) -> None:
        for step in STATES[1 : STATES.index(state) + 1]:
            {
                "candidate": lambda: steps.register(),
                "approved": lambda: steps.approve(1),
                "live": lambda: steps.promote(1),
                "retired": lambda: steps.retire(1),
            }[step]()
        size = len(replay(steps.governed.log.entries()).versions)
        found = code_of(lambda: getattr(steps, action)(*(() if action == "rollback" else (1,))))
        expected = TABLE[state, action]
        if expected.startswith("APL-"):
            assert (found, steps.stages().get(1, "none")) == (expected, state)
        else:
            assert (found, steps.stages()[1]) == ("", expected)
        assert len(replay(steps.governed.log.entries()).versions) == size

    def test_one_live_version_and_the_one_before_it_is_kept(self, steps: Steps) -> None:
        for version, value in ((1, "0.80"), (2, "0.81"), (3, "0.82")):
            steps.register(value)
            steps.approve(version)
            steps.promote(version)
        assert steps.stages() == {1: "approved", 2: "approved", 3: "live"}
        assert steps.rollback().version == 2
        assert steps.stages() == {1: "approved", 2: "live", 3: "approved"}
        steps.retire(3)
        assert steps.rollback().version == 1
        live = steps.registry.live("thermal")
        assert live is not None
        assert live.version == 1

    def test_the_registrar_cannot_approve(self, steps: Steps) -> None:
        steps.register()
        assert code_of(lambda: steps.approve(1, role="data-scientist")) == "APL-MODEL-006"
        assert steps.stages() == {1: "candidate"}

    def test_the_approver_cannot_approve_what_they_registered(self, steps: Steps, governed: Governed) -> None:
        with acting(governed, "approver"):
            steps.registry.register(steps.package())
        assert code_of(lambda: steps.approve(1)) == "APL-MODEL-008"

    def test_a_copied_key_approves_nothing(self, steps: Steps, governed: Governed) -> None:
        """Whoever puts the registrar's key into the approver's place still holds one key only."""
        steps.register()
        shutil.copy(governed.folder / "keys/data-scientist.pem", governed.folder / "keys/approver.pem")
        governed.keys._loaded.clear()
        assert code_of(lambda: steps.approve(1)) == "APL-MODEL-008"
        assert steps.stages() == {1: "candidate"}

    def test_an_approval_needs_a_reason(self, steps: Steps, governed: Governed) -> None:
        steps.register()
        with acting(governed, "approver"):
            assert code_of(lambda: steps.registry.approve("thermal", 1, reason="  ")) == "APL-MODEL-006"

    def test_every_move_names_its_audit_record(self, steps: Steps, governed: Governed) -> None:
        steps.register()
        steps.approve(1)
        steps.promote(1)
        (standing,) = replay(governed.log.entries()).versions.values()
        moves = [parse_canonical(governed.log.entry(index)) for index in standing.moves]
        assert [move["role"] for move in moves] == ["data-scientist", "approver", "operator"]
        for move in moves:
            record = parse_canonical(governed.log.entry(move["intent"]))
            assert (record["phase"], record["role"], record["key_id"]) == ("intent", move["role"], move["key_id"])


class TestLoading:
    @pytest.fixture
    def live(self, steps: Steps) -> Steps:
        steps.register()
        steps.approve(1)
        steps.promote(1)
        return steps

    def refused(self, steps: Steps) -> tuple[str, str]:
        with pytest.raises(ApplianceError) as caught:
            steps.registry.check_loadable("thermal", 1)
        return caught.value.code.id, caught.value.where or ""

    def test_a_good_model(self, live: Steps) -> None:
        loadable = live.registry.check_loadable("thermal", 1)
        assert (loadable.manifest.name, loadable.approval.reason) == ("thermal", "looked at it")

    def test_a_candidate(self, steps: Steps) -> None:
        steps.register()
        assert self.refused(steps)[0] == "APL-MODEL-007"

    def test_an_unknown_version(self, steps: Steps) -> None:
        assert self.refused(steps)[0] == "APL-MODEL-005"

    def test_a_retired_version(self, live: Steps) -> None:
        live.retire(1)
        assert self.refused(live)[0] == "APL-MODEL-012"

    @pytest.mark.parametrize("name", ["model.onnx", "metrics.json", "model_card.md", "package.json"])
    def test_a_tampered_file_is_named(self, live: Steps, name: str) -> None:
        path = live.governed.folder / "registry/models/thermal/1" / name
        path.chmod(0o644)
        path.write_bytes(path.read_bytes() + b" ")
        assert self.refused(live) == ("APL-MODEL-010", str(path))

    @pytest.mark.parametrize("name", ["model.onnx", "package.json"])
    def test_a_missing_file_is_named(self, live: Steps, name: str) -> None:
        path = live.governed.folder / "registry/models/thermal/1" / name
        path.parent.chmod(0o755)
        path.unlink()
        assert self.refused(live) == ("APL-MODEL-010", str(path))

    def test_another_package_in_its_place(self, live: Steps) -> None:
        folder = live.governed.folder / "registry/models/thermal/1"
        folder.chmod(0o755)
        shutil.rmtree(folder)
        write_package(folder, seed_of_id="other")
        assert self.refused(live) == ("APL-MODEL-010", str(folder / "package.json"))

    @pytest.mark.parametrize(("kind", "code"), [("statement", "APL-MODEL-011"), ("approval", "APL-MODEL-007")])
    @pytest.mark.parametrize("damage", ["missing", "altered", "exchanged"])
    def test_statements(self, live: Steps, kind: str, code: str, damage: str) -> None:
        standing = live.registry.get("thermal", 1).standing
        bundles = live.governed.enclave.bundles
        digests = {"statement": standing.statement, "approval": standing.approval or ""}
        path = bundles / f"{digests[kind].removeprefix('sha256:')}.sigstore.json"
        other = bundles / f"{digests['approval' if kind == 'statement' else 'statement'][7:]}.sigstore.json"
        data = path.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(
                data.replace(b'"payload":"ey', b'"payload":"ez') if damage == "altered" else other.read_bytes()
            )
        assert self.refused(live)[0] == code

    def test_an_expired_approval(self, steps: Steps) -> None:
        steps.register()
        steps.approve(1, lifetime=dt.timedelta(days=10))
        steps.governed.clock.at += dt.timedelta(days=10)
        assert self.refused(steps)[0] == "APL-MODEL-009"
        steps.approve(1)
        assert steps.registry.check_loadable("thermal", 1).approval.expires == "2027-03-11T12:00:00Z"

    @pytest.mark.parametrize(
        "edit",
        [
            "UPDATE versions SET stage = 'live'",
            "UPDATE versions SET approval = statement",
            "UPDATE versions SET package = 'sha256:0'",
            "UPDATE versions SET move = 1000, stage = 'live'",
            "INSERT INTO versions SELECT 'other', version, 'x', package, 'live', registrar, registered_at, statement,"
            " approval, move FROM versions",
        ],
    )
    def test_a_registry_changed_by_hand(self, steps: Steps, edit: str) -> None:
        steps.register()
        with sqlite3.connect(steps.governed.folder / "registry/registry.db") as connection:
            connection.execute(edit)
        connection.close()
        assert self.refused(steps) == ("APL-MODEL-013", str(steps.governed.folder / "registry/registry.db"))
        assert code_of(lambda: steps.promote(1)) == "APL-MODEL-013"

    def test_the_database_can_be_deleted(self, live: Steps) -> None:
        before = live.registry.list()
        for path in (live.governed.folder / "registry").glob("registry.db*"):
            path.unlink()
        assert live.registry.list() == before
        assert live.registry.check_loadable("thermal", 1)

    def test_a_lagging_database_catches_up(self, live: Steps) -> None:
        """As after a crash between the log and the database."""
        kept = live.governed.folder / "kept.db"
        shutil.copy(live.governed.folder / "registry/registry.db", kept)
        live.retire(1)
        for path in (live.governed.folder / "registry").glob("registry.db*"):
            path.unlink()
        shutil.copy(kept, live.governed.folder / "registry/registry.db")
        assert live.stages() == {1: "retired"}

    def test_a_log_without_the_retirement_is_refused(self, live: Steps) -> None:
        """Cutting a move out of the log's files does not bring a model back."""
        live.retire(1)
        tile = next((live.governed.log.folder / "tile/entries").glob("*/[1-9]*"))
        tile.write_bytes(tile.read_bytes().replace(b'"to":"retired"', b'"to":"approve"'))
        assert self.refused(live) == ("APL-TRUST-002", str(tile))


def test_an_unusable_database_refuses_before_anything_changes(steps: Steps, governed: Governed) -> None:
    (governed.folder / "registry/registry.db").mkdir(parents=True)
    with acting(governed, "data-scientist"):
        assert code_of(lambda: steps.registry.register(steps.package())) == "APL-MODEL-014"
    assert replay(governed.log.entries()).versions == {}


def test_a_failing_copy_leaves_nothing(
    steps: Steps, governed: Governed, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = steps.package()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with acting(governed, "data-scientist"):
        assert code_of(lambda: registry.register(package)) == "APL-BASE-002"
    assert (list(Path(governed.folder / "registry/models/thermal").iterdir()), registry.list()) == ([], [])
