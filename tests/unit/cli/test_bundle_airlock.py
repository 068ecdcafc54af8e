"""A bundle comes in: verified, scanned, released by two people, with a receipt; anything else stays outside."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.bundle import forecast
from appliance.cli.main import run
from tests.airlock_site import INFECTED, asker, make_airlock_site, root_of
from tests.bundles import DEB, Releaser, flip, make_releaser
from tests.volumes import contents

Ask = Callable[..., tuple[int, dict]]


@pytest.fixture(scope="module")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return make_releaser(tmp_path_factory.mktemp("releaser"))


@pytest.fixture(scope="module")
def medium(releaser: Releaser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not change it."""
    return releaser.make(tmp_path_factory.mktemp("medium") / "demo")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_airlock_site(tmp_path_factory.mktemp("fresh") / "site")


@pytest.fixture
def site(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "site"))


@pytest.fixture
def ask(site: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    return asker(site, lambda: capsys.readouterr().out)


@pytest.fixture
def bring(ask: Ask, releaser: Releaser) -> Ask:
    return lambda folder, *words: ask("import", folder, "--root-digest", releaser.root_digest, *words)


def in_airlock(site: Path) -> set[str]:
    return {path.relative_to(site / "airlock").as_posix() for path in (site / "airlock").rglob("*") if path.is_file()}


def test_the_whole_way(
    bring: Ask, ask: Ask, site: Path, medium: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = bring(medium, "--label", "S/N 4711", "--received-from", "A. Courier", "--seal", "0815")
    assert (code, told["step"]) == (0, "scanned"), told
    id, place = told["id"], site / "airlock" / told["id"]
    assert contents(place / "quarantine") == contents(medium)
    assert (place / "quarantine").stat().st_mode & 0o777 == 0o700
    assert not (place / "bundle").exists()

    code, told = ask("release-import", id, "--as", "approver/alice")
    assert (code, told["error"]["code"]) == (5, "APL-BUNDLE-056")
    code, told = ask("release-import", id, "--as", "approver/alice")
    assert (code, told["error"]["code"]) == (5, "APL-BUNDLE-056")
    assert "1 of 2" in told["error"]["message"]
    assert not (place / "bundle").exists()
    code, told = ask("release-import", id, "--as", "approver/bob")
    assert (code, told["step"], told["folder"]) == (0, "released", str(place / "bundle"))
    assert contents(place / "bundle") == contents(medium)
    assert (place / "bundle").stat().st_mode & 0o777 == 0o755
    assert not (place / "quarantine").exists()
    assert ask("release-import", id, "--as", "approver/bob")[0] == 0
    assert bring(medium)[1]["step"] == "released"

    code, told = ask("receipt", id, tmp_path / "receipt.tar", "--as", "auditor")
    assert code == 0
    statement = told["statement"]
    code, told = ask("verify-receipt", tmp_path / "receipt.tar", "--root-digest", root_of(site))
    assert (code, told["verified"]) == (0, True), told
    assert any("verified, scanned and released bundle:demo/1.2.0" in each for each in told["established"])
    assert any("audit pack" in each for each in told["not_established"])
    code, told = ask("receipt", id, tmp_path / "again.tar", "--as", "auditor")
    assert (code, told["statement"]) == (0, statement)
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "receipt.tar").read_bytes()

    code, told = ask("custody", id)
    steps = [each["step"] for each in told["custody"]]
    assert steps == ["received", "copied", "scanned", *["approved"] * 3, "released", "receipt", "receipt"]
    assert len({each["key_id"] for each in told["custody"]}) == 4
    assert {each["who"].partition(".internal/")[2] for each in told["custody"]} == {
        "roles/operator", "approvers/alice", "approvers/bob", "roles/auditor",
    }  # fmt: skip
    received = told["custody"][0]["details"]
    assert (received["label"], received["received_from"], received["seal"]) == ("S/N 4711", "A. Courier", "0815")
    assert {each["details"]["manifest"] for each in told["custody"]} == {told["manifest"]}
    capsys.readouterr()
    assert run(["bundle", "custody", id, "--site", str(site)]) == 0
    assert "seal=0815" in capsys.readouterr().out
    assert run(["audit", "check", "--site", str(site)]) == 0


def test_signed_and_infected_is_stopped(releaser: Releaser, bring: Ask, ask: Ask, site: Path, tmp_path: Path) -> None:
    """A good signature does not help it; nothing of it stays but the scanner's output."""
    folder = releaser.make(tmp_path / "infected", files=INFECTED)
    assert run(["bundle", "verify", str(folder), "--root-digest", releaser.root_digest]) == 0
    for _ in range(2):
        code, told = bring(folder)
        assert (code, told["error"]["code"]) == (3, "APL-BUNDLE-054")
        assert "FOUND" in told["error"]["message"]
    (id,) = (each.name for each in (site / "airlock").iterdir() if each.is_dir())
    assert in_airlock(site) == {"lock", f"{id}/state.json", f"{id}/scan.log"}
    for person in ("approver/alice", "approver/bob"):
        code, told = ask("release-import", id, "--as", person)
        assert (code, told["error"]["code"]) == (1, "APL-BUNDLE-059")
    assert ask("receipt", id, tmp_path / "receipt.tar", "--as", "auditor")[1]["error"]["code"] == "APL-BUNDLE-059"
    code, told = ask("custody", id)
    assert [each["step"] for each in told["custody"]] == ["received", "copied", "scanned"] * 2
    assert told["custody"][2]["details"]["outcome"] == "rejected"
    assert told["custody"][2]["details"]["exit_code"] == "1"


def test_what_was_rejected_may_come_again_and_older_ones_too(
    releaser: Releaser, bring: Ask, site: Path, medium: Path, tmp_path: Path
) -> None:
    """A scanner that was wrong; and a version that never came in rolls nothing back."""
    newer = releaser.make(tmp_path / "newer", version="1.9.0")
    assert bring(newer, "--scanner", "false")[1]["error"]["code"] == "APL-BUNDLE-054"
    assert bring(medium)[0] == 0
    assert bring(newer)[0] == 0


def test_a_bundle_that_does_not_verify_is_not_even_copied(bring: Ask, site: Path, medium: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(medium, tmp_path / "spoilt"))
    flip(spoilt / DEB)
    code, told = bring(spoilt)
    assert (code, told["verified"], told["step"]) == (3, False, "member")
    assert in_airlock(site) == {"lock"}


@pytest.mark.parametrize("scanner", ["", "no-such-scanner -r", "'"])
def test_without_a_scanner_nothing_comes_in(bring: Ask, site: Path, medium: Path, scanner: str) -> None:
    code, told = bring(medium, "--scanner", scanner)
    assert (code, told["error"]["code"]) == (2, "APL-BUNDLE-053")
    assert not (site / "airlock").exists()


def test_a_rollback_is_refused_once_the_newer_one_is_released(
    releaser: Releaser, bring: Ask, ask: Ask, site: Path, medium: Path, tmp_path: Path
) -> None:
    id = bring(medium)[1]["id"]  # the older one waits in quarantine
    newer = bring(releaser.make(tmp_path / "newer", version="1.9.0"))[1]["id"]
    for person in ("approver/alice", "approver/bob"):
        ask("release-import", newer, "--as", person)
    assert ask("release-import", id, "--as", "approver/alice")[0] == 5
    code, told = ask("release-import", id, "--as", "approver/bob")
    assert (code, told["error"]["code"]) == (3, "APL-BUNDLE-057")
    assert not (site / "airlock" / id / "bundle").exists()


CHANGES = {
    "a byte of a file": lambda place: flip(place / "quarantine" / DEB),
    "a file more": lambda place: (place / "quarantine/docs/more.html").write_bytes(b"!"),
    "a file less": lambda place: (place / "quarantine" / DEB).unlink(),
    "the output of the scanner": lambda place: (place / "scan.log").write_bytes(b"all clean\n"),
    "all of it": lambda place: shutil.rmtree(place / "quarantine"),
    "the state": lambda place: (place / "state.json").write_bytes(b"{}"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_in_quarantine_is_not_released(bring: Ask, ask: Ask, site: Path, medium: Path, what: str) -> None:
    id = bring(medium)[1]["id"]
    ask("release-import", id, "--as", "approver/alice")
    CHANGES[what](site / "airlock" / id)
    code, told = ask("release-import", id, "--as", "approver/bob")
    assert (code, told["error"]["code"]) == (3, "APL-BUNDLE-057"), told
    assert not (site / "airlock" / id / "bundle").exists()


def test_a_state_that_was_pushed_on_releases_nothing(bring: Ask, ask: Ask, site: Path, medium: Path) -> None:
    """The audit decides: a scan that only the state claims does not count."""
    bring(medium, "--scanner", "false")
    (id,) = (each.name for each in (site / "airlock").iterdir() if each.is_dir())
    path = site / "airlock" / id / "state.json"
    path.write_bytes(path.read_bytes().replace(b"rejected", b"scanned"))
    for person in ("approver/alice", "approver/bob"):
        code, told = ask("release-import", id, "--as", person)
        assert (code, told["error"]["code"]) == (3, "APL-BUNDLE-057")


@pytest.mark.parametrize("id", ["../../keys", "0123456789abcdef", "x" * 16])
def test_an_import_that_there_is_not(ask: Ask, site: Path, id: str) -> None:
    for verb in (("release-import", id, "--as", "approver/alice"), ("custody", id)):
        code, told = ask(*verb)
        assert (code, told["error"]["code"]) == (2, "APL-BUNDLE-055")


def test_no_room(bring: Ask, site: Path, medium: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "room_at", lambda target: forecast.Room(free_bytes=1, free_files=1))
    code, told = bring(medium)
    assert (code, told["error"]["code"]) == (4, "APL-BUNDLE-049")
    assert in_airlock(site) == {"lock"}


class TestReceipt:
    @pytest.fixture
    def receipt(self, bring: Ask, ask: Ask, medium: Path, tmp_path: Path) -> Path:
        id = bring(medium)[1]["id"]
        for person in ("approver/alice", "approver/bob"):
            ask("release-import", id, "--as", person)
        assert ask("receipt", id, tmp_path / "receipt.tar", "--as", "auditor")[0] == 0
        return tmp_path / "receipt.tar"

    def test_what_was_altered_is_refused(self, receipt: Path, ask: Ask, site: Path, tmp_path: Path) -> None:
        with tarfile.open(receipt) as tar:
            names = tar.getnames()
            tar.extractall(tmp_path / "open")
        root = root_of(site)
        for name in ("receipt.sigstore.json", "custody.json", "tuf/metadata/1.root.json"):
            assert name in names
            data = (tmp_path / "open" / name).read_bytes()
            (tmp_path / "open" / name).write_bytes(data.replace(b"0", b"1", 1) if b"0" in data else data[:-1])
            with tarfile.open(tmp_path / "altered.tar", "w") as tar:
                for each in names:
                    tar.add(tmp_path / "open" / each, each)
            code, told = ask("verify-receipt", tmp_path / "altered.tar", "--root-digest", root)
            assert (code, told.get("verified", False)) == (3, False), name
            (tmp_path / "open" / name).write_bytes(data)

    def test_another_site_did_not_sign_it(self, receipt: Path, ask: Ask, releaser: Releaser) -> None:
        code, told = ask("verify-receipt", receipt, "--root-digest", releaser.root_digest)
        assert (code, told["verified"]) == (3, False)

    def test_what_is_no_receipt(self, ask: Ask, site: Path, tmp_path: Path) -> None:
        (tmp_path / "x.tar").write_bytes(b"not a tar")
        code, told = ask("verify-receipt", tmp_path / "x.tar", "--root-digest", root_of(site))
        assert (code, told["error"]["code"]) == (3, "APL-BUNDLE-058")
