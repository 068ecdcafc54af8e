"""What the client takes in and what it refuses; after every refusal the state folder is looked at."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from appliance.base import atomic
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust.tuf import client, metadata, repository
from tests.unit.trust.tuf.conftest import KEYS, NOW, TARGETS, Medium

YEAR = dt.timedelta(days=365)


def copy(medium: Medium, tmp_path: Path, name: str = "old") -> str:
    """An older stick that somebody kept."""
    shutil.copytree(medium.folder, tmp_path / name)
    return str(tmp_path / name)


def edit(path: Path, change: Callable[[dict], None]) -> None:
    """Change signed metadata without its keys, in the form that is written."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(json.dumps(document, separators=(",", ":"), sort_keys=True).encode())


def refused(medium: Medium, source: str = "", *, at: dt.datetime | None = NOW, roots: int = 0) -> tuple[str, str]:
    """Code and message of a refusal that left the state as it was, but for so many new `roots`."""
    before = medium.believed()
    with pytest.raises(ApplianceError) as caught:
        medium.refresh(source, at=at)
    after = medium.believed()
    new = [name for name in after if name not in before]
    assert {name: after[name] for name in before} == before
    assert (len(new), all(name.endswith(".root.json") for name in new)) == (roots, True)
    return caught.value.code.id, caught.value.message


class TestTakingIn:
    def test_install(self, medium: Medium, tmp_path: Path) -> None:
        trusted = medium.refresh()
        assert trusted.versions == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}
        assert trusted.targets == {name: digest_bytes(data) for name, data in TARGETS.items()}
        assert {name: trusted.read(name) for name in TARGETS} == TARGETS
        assert trusted.download("trust-config.json", tmp_path / "a/b").read_bytes() == TARGETS["trust-config.json"]
        assert sorted(medium.believed()) == ["1.root.json", "snapshot.json", "targets.json", "timestamp.json"]

    def test_again_changes_nothing(self, medium: Medium) -> None:
        medium.refresh()
        before = medium.believed()
        medium.refresh()
        assert medium.believed() == before

    def test_update_takes_trust_away(self, medium: Medium) -> None:
        """Revocation by new targets."""
        medium.refresh()
        medium.update(trust_config=b'{"generation":2}', revocations=b"[]")
        trusted = medium.refresh()
        assert trusted.read("trust-config.json") == b'{"generation":2}'
        assert trusted.versions == {"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2}

    def test_a_withdrawn_target_is_gone(self, medium: Medium) -> None:
        medium.refresh()
        del medium.targets["verifiers/verify.py"]
        medium.update()
        with pytest.raises(ApplianceError, match=r"expected one of trust-config.json, got 'verifiers/verify.py'"):
            medium.refresh().read("verifiers/verify.py")

    @pytest.mark.parametrize(
        "custodians",
        [("dora", "ben", "cem", "lattice"), ("ann", "ben", "cem", "lattice2")],
        ids=["a custodian", "the ML-DSA key"],
    )
    def test_a_custodian_is_replaced(self, medium: Medium, custodians: tuple[str, ...]) -> None:
        medium.refresh()
        medium.rotate(*custodians)
        medium.update(new=b"{}")
        assert medium.refresh().versions["root"] == 2
        assert sorted(medium.believed())[:2] == ["1.root.json", "2.root.json"]

    def test_a_lost_custodian_does_not_sign_their_own_replacement(self, medium: Medium) -> None:
        medium.refresh()
        medium.rotate("dora", "ben", "cem", "lattice", signers=("ben", "cem", "lattice", "dora"))
        assert medium.refresh().versions["root"] == 2

    def test_the_publisher_is_replaced(self, medium: Medium) -> None:
        medium.refresh()
        medium.rotate(*medium.custodians, publisher="publisher2")
        medium.update(new=b"{}")
        assert medium.refresh().read("new.json") == b"{}"

    def test_many_rotations_at_once(self, medium: Medium) -> None:
        medium.refresh()
        for number in range(6):
            medium.rotate(("dora", "ann")[number % 2], "ben", "cem", "lattice")
        trusted = medium.refresh()
        assert trusted.versions["root"] == 7
        assert trusted.root_digest == digest_bytes((medium.folder / "metadata/7.root.json").read_bytes())

    def test_the_root_may_come_by_another_way(self, medium: Medium) -> None:
        root = (medium.folder / "metadata/1.root.json").read_bytes()
        (medium.folder / "metadata/1.root.json").unlink()
        trusted = client.refresh(
            str(medium.folder), medium.state, pinned_root_digest=medium.pinned, reference_time=None, bootstrap=root
        )
        assert trusted.versions["root"] == 1

    def test_the_verdict_says_what_it_could_not_judge(self, medium: Medium) -> None:
        judged, unjudged = medium.refresh().as_dict(), medium.refresh(at=None).as_dict()
        assert "nothing had expired at the witnessed time 2026-03-01T12:00:00Z" in judged["established"]
        assert (
            "expiry, for no witnessed time is known; the first expires 2029-02-28T12:00:00Z"
            in (unjudged["not_established"])
        )
        assert (judged["witnessed_time"], unjudged["witnessed_time"]) == ("2026-03-01T12:00:00Z", None)

    def test_a_crash_at_any_write_leaves_a_state_that_goes_on(
        self, medium: Medium, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        medium.refresh()
        medium.rotate("dora", "ben", "cem", "lattice", publisher="publisher2")
        medium.update(new=b"{}")
        real, kept = atomic.write_bytes, shutil.copytree(medium.state, medium.state.with_name("kept"))
        for limit in range(4):
            shutil.rmtree(medium.state)
            shutil.copytree(kept, medium.state)
            left = [limit]

            def write(path: Path, data: bytes, *, mode: int = 0o644, left: list[int] = left) -> None:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                real(path, data, mode=mode)

            with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(atomic, "write_bytes", write)
                medium.refresh()
            assert medium.refresh().versions == {"root": 2, "timestamp": 3, "snapshot": 3, "targets": 3}


class TestRefusing:
    def test_an_older_medium(self, medium: Medium, tmp_path: Path) -> None:
        old = copy(medium, tmp_path)
        medium.update(new=b"{}")
        medium.refresh()
        assert refused(medium, old) == ("APL-TUF-001", "New timestamp version 1 must be >= 2")

    @pytest.mark.parametrize(
        ("publisher", "code"), [("publisher", "APL-TUF-001"), ("publisher2", "APL-TUF-003")], ids=["custodian", "both"]
    )
    def test_an_older_medium_after_a_rotation(self, medium: Medium, tmp_path: Path, publisher: str, code: str) -> None:
        old = copy(medium, tmp_path)
        medium.rotate("dora", "ben", "cem", "lattice", publisher=publisher)
        medium.refresh()
        assert refused(medium, old)[0] == code

    def test_targets_do_not_go_back_with_a_new_publisher(self, medium: Medium, tmp_path: Path) -> None:
        """Plain TUF forgets versions when the publisher's key is replaced."""
        medium.update(new=b"{}")
        medium.rotate(*medium.custodians, publisher="publisher2")
        medium.refresh()
        older = (medium.folder / "metadata/2.targets.json").read_bytes()
        root = json.loads((medium.folder / "metadata/2.root.json").read_bytes())
        assert root["signed"]["version"] == 2
        # What a thief of the new publisher's key can make: the list before, as the newest.
        for path, version in (("timestamp.json", 9), ("9.snapshot.json", 9)):
            source = "timestamp.json" if path == "timestamp.json" else "3.snapshot.json"
            parsed = metadata.Metadata.from_bytes((medium.folder / "metadata" / source).read_bytes())
            parsed.signed.version = version
            if path == "timestamp.json":
                parsed.signed.snapshot_meta.version = 9
            else:
                parsed.signed.meta["targets.json"].version = 2
            signature = metadata.sign(KEYS["publisher2"], parsed.signed_bytes)
            parsed.signatures = {signature.keyid: signature}
            (medium.folder / "metadata" / path).write_bytes(parsed.to_bytes())
        (medium.folder / "metadata/2.targets.json").write_bytes(older)
        # A client that saw the rotation and lost its timestamp, as section 5.3.11 makes it.
        (medium.state / "timestamp.json").unlink()
        (medium.state / "snapshot.json").unlink()
        assert refused(medium) == ("APL-TUF-001", "targets version 3 was seen, the medium has 2")

    def test_two_media_of_one_version(self, medium: Medium, tmp_path: Path) -> None:
        other = copy(medium, tmp_path, "other")
        medium.update(a=b"1")
        medium.refresh()
        twin = Medium(folder=Path(other), state=tmp_path / "unused", pinned=medium.pinned, now=NOW + YEAR)
        twin.update(a=b"2")
        assert refused(medium, other) == ("APL-TUF-014", "two timestamps of version 2")

    def test_expired_at_the_witnessed_time(self, medium: Medium) -> None:
        medium.refresh()
        medium.now = NOW + YEAR / 2
        medium.update(new=b"{}")
        late = NOW + 4 * YEAR
        assert refused(medium, at=late) == ("APL-TUF-002", "timestamp.json is expired")
        assert medium.refresh(at=NOW + 3 * YEAR).versions["timestamp"] == 2
        assert refused(medium, at=late)[0] == "APL-TUF-002"
        assert refused(medium, at=NOW + 11 * YEAR) == ("APL-TUF-002", "Final root.json is expired")
        assert medium.refresh(at=None).versions["timestamp"] == 2

    def test_a_root_that_holds_is_kept_though_the_rest_is_refused(self, medium: Medium) -> None:
        medium.refresh()
        medium.rotate("dora", "ben", "cem", "lattice", publisher="publisher2")
        (medium.folder / "metadata/2.snapshot.json").unlink()
        assert refused(medium, roots=1) == ("APL-TUF-006", "2.snapshot.json is missing")

    @pytest.mark.parametrize(
        ("lacking", "message"),
        [
            (("ann", "ben"), "is signed by 2 keys of root version 1, expected 3"),
            (("ann", "ben", "cem"), "is signed by 1 keys of root version 1, expected 3"),
            (("lattice",), "lacks the ML-DSA-65 signature that root version 1 demands"),
        ],
    )
    def test_a_root_with_too_few_signatures(self, medium: Medium, lacking: tuple[str, ...], message: str) -> None:
        medium.refresh()
        medium.rotate("dora", "ben", "cem", "lattice")
        gone = {metadata.library_key(KEYS[name].public).keyid for name in lacking}
        edit(
            medium.folder / "metadata/2.root.json",
            lambda root: root.update(signatures=[each for each in root["signatures"] if each["keyid"] not in gone]),
        )
        code, said = refused(medium)
        assert (code, message in said) == ("APL-TUF-003", True), said

    def test_new_custodians_alone_make_no_root(self, medium: Medium) -> None:
        medium.refresh()
        other = Medium(folder=medium.folder.with_name("theirs"), state=medium.state, custodians=medium.custodians)
        other.custodians = ("dora", "ben", "cem", "lattice2")
        other.create()
        other.rotate("dora", "ben", "cem", "lattice2")
        shutil.copy(other.folder / "metadata/2.root.json", medium.folder / "metadata")
        code, said = refused(medium)
        assert (code, "2 keys of root version 1" in said) == ("APL-TUF-003", True), said

    def test_targets_without_the_ml_dsa_signature(self, medium: Medium) -> None:
        gone = metadata.library_key(KEYS["lattice"].public).keyid
        edit(
            medium.folder / "metadata/1.targets.json",
            lambda listed: listed.update(signatures=[each for each in listed["signatures"] if each["keyid"] != gone]),
        )
        assert refused(medium, roots=1)[0] == "APL-TUF-003"
        assert stock_client(medium) == {"root": 1, "targets": 1}  # three classical ones are enough for it

    def test_another_first_root(self, medium: Medium, tmp_path: Path) -> None:
        other = Medium(folder=tmp_path / "theirs", state=medium.state)
        other.create()
        other.now += YEAR
        shutil.rmtree(other.folder)
        other.create()
        assert refused(medium, str(other.folder))[0] == "APL-TUF-005"
        medium.refresh()
        medium.pinned = other.pinned
        assert refused(medium)[0] == "APL-TUF-005"

    @pytest.mark.parametrize("name", ["1.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"])
    def test_every_missing_and_every_altered_file(self, medium: Medium, name: str) -> None:
        path = medium.folder / "metadata" / name
        data = path.read_bytes()
        roots = 0 if name == "1.root.json" else 1
        path.unlink()
        assert refused(medium, roots=roots)[0] == "APL-TUF-006"
        (medium.folder / "elsewhere").write_bytes(data)
        path.symlink_to(medium.folder / "elsewhere")
        assert refused(medium)[0] == "APL-TUF-006"
        path.unlink()
        for position in range(0, len(data), 97 if len(data) > 1000 else 5):
            flipped = data[position] ^ (1, 0x20)[position % 2]
            path.write_bytes(data[:position] + bytes([flipped]) + data[position + 1 :])
            assert refused(medium)[0] in ("APL-TUF-003", "APL-TUF-005", "APL-TUF-008", "APL-TUF-001", "APL-TUF-006")
        path.write_bytes(data + b" ")
        assert refused(medium)[0] in ("APL-TUF-005", "APL-TUF-008")
        path.write_bytes(b"[" * 100_000)
        assert refused(medium)[0] in ("APL-TUF-005", "APL-TUF-008")

    def test_an_altered_target(self, medium: Medium, tmp_path: Path) -> None:
        trusted = medium.refresh()
        path = (
            medium.folder
            / "targets"
            / repository.target_path("trust-config.json", trusted.targets["trust-config.json"])
        )
        path.write_bytes(b'{"generation":9}\n')
        with pytest.raises(ApplianceError) as caught:
            trusted.download("trust-config.json", tmp_path / "taken")
        assert (caught.value.code.id, (tmp_path / "taken").exists()) == ("APL-TUF-004", False)
        path.unlink()
        with pytest.raises(ApplianceError) as caught:
            trusted.download("trust-config.json", tmp_path / "taken")
        assert (caught.value.code.id, caught.value.where) == ("APL-TUF-006", str(path))

    def test_a_medium_that_is_not_there(self, medium: Medium, tmp_path: Path) -> None:
        assert refused(medium, str(tmp_path / "nothing"))[0] == "APL-TUF-006"


class TestSources:
    @pytest.mark.parametrize(
        "source",
        [
            "",
            "https://127.0.0.1/tuf",
            "http://example.com/tuf",
            "http://localhost/tuf",
            "http://10.0.0.1/tuf",
            "http://127.0.0.1.example.com/",
            "http://127.0.0.1@example.com/",
            "http://user@127.0.0.1/",
            "http://127.0.0.1:99999/",
            "HTTPS://127.0.0.1/",
            "ftp://127.0.0.1/",
            "file://server/share",
            "file:relative?x",
        ],
    )
    def test_what_is_not_allowed(self, medium: Medium, source: str) -> None:
        with pytest.raises(ApplianceError) as caught:
            client.refresh(source, medium.state, pinned_root_digest=medium.pinned, reference_time=NOW)
        assert caught.value.code.id == "APL-TUF-007"
        assert not medium.state.exists()

    def test_file_address(self, medium: Medium) -> None:
        assert medium.refresh(medium.folder.as_uri()).versions["root"] == 1

    def test_loopback(self, medium: Medium) -> None:
        with serving(medium.folder) as address:
            trusted = medium.refresh(address)
            assert trusted.read("verifiers/verify.py") == TARGETS["verifiers/verify.py"]
        assert refused(medium, address)[0] == "APL-TUF-015"

    @pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a read-only mount needs root")
    def test_a_read_only_stick(self, medium: Medium, tmp_path: Path) -> None:
        stick = tmp_path / "stick"
        stick.mkdir()
        script = f"""set -e
        mount --bind {medium.folder} {stick}
        mount -o remount,bind,ro {stick}
        ! touch {stick}/x 2>/dev/null
        {sys.executable} -c "
from pathlib import Path
from appliance.trust.tuf import client
print(client.refresh('{stick}', Path('{medium.state}'), pinned_root_digest='{medium.pinned}', reference_time=None)
      .read('trust-config.json').decode())" """
        done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, '{"generation":1}'), done.stderr


class TestClocks:
    @pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime")
    def test_the_clock_of_the_host_changes_no_verdict(self, medium: Medium, tmp_path: Path) -> None:
        script = (
            "import datetime as dt, json, sys\n"
            "from pathlib import Path\n"
            "from appliance.base.errors import ApplianceError\n"
            "from appliance.trust.tuf import client\n"
            "for days in (0, 365, 365 * 4):\n"
            "    at = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=days)\n"
            "    state = Path(sys.argv[2]) / str(days)\n"
            "    try:\n"
            "        trusted = client.refresh(sys.argv[1], state, pinned_root_digest=sys.argv[3], reference_time=at)\n"
            "        print(json.dumps(trusted.as_dict()))\n"
            "    except ApplianceError as error:\n"
            "        print(error)\n"
        )
        said = set()
        for number, when in enumerate(("1970-01-02", "2015-01-01", "2026-03-01", "2051-01-01")):
            done = subprocess.run(
                ["faketime", when, sys.executable, "-c", script, medium.folder, tmp_path / f"s{number}", medium.pinned],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            said.add(done.stdout)
        (verdict,) = said
        assert [line[:11] for line in verdict.splitlines()] == ['{"pinned_ro', '{"pinned_ro', "APL-TUF-002"]


def stock_client(medium: Medium) -> dict[str, int]:
    """Versions that the unmodified client of `tuf` believes; it judges by the host's clock."""
    state = medium.state.with_name("stock")
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    updater = Updater(
        str(state),
        f"{medium.folder}/metadata/",
        str(state),
        f"{medium.folder}/targets/",
        fetcher=Plain(),
        bootstrap=(medium.folder / "metadata/1.root.json").read_bytes(),
    )
    updater.refresh()
    for name, data in medium.targets.items():
        found = updater.get_targetinfo(name)
        assert found is not None
        assert Path(updater.download_target(found)).read_bytes() == data
    return {role: updater._trusted_set[role].version for role in ("root", "targets")}


class Plain(FetcherInterface):
    """Paths instead of addresses."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        if not Path(url).is_file():
            raise DownloadHTTPError("absent", 404)
        return iter([Path(url).read_bytes()])


def test_the_unmodified_client_accepts_what_we_write(tmp_path: Path) -> None:
    medium = Medium(folder=tmp_path / "medium", state=tmp_path / "state", now=dt.datetime.now(dt.UTC))
    medium.create()
    assert stock_client(medium) == {"root": 1, "targets": 1}
    medium.rotate("dora", "ben", "cem", "lattice2", publisher="publisher2")
    medium.update(new=b"{}")
    assert stock_client(medium) == {"root": 2, "targets": 3}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
