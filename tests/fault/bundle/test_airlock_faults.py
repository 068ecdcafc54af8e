"""An import whose process dies, or whose disk is full: the same command goes on, and nothing half is released."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.cli.main import run
from tests.airlock_site import asker, make_airlock_site
from tests.bundles import make_releaser
from tests.fault.crashing import CRASHED, child, crash_at, finish
from tests.volumes import contents

CRASHES = 10


@pytest.fixture(scope="module")
def releaser(tmp_path_factory):
    return make_releaser(tmp_path_factory.mktemp("releaser"))


@pytest.fixture(scope="module")
def medium(releaser, tmp_path_factory):
    return releaser.make(tmp_path_factory.mktemp("medium") / "demo")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return make_airlock_site(tmp_path_factory.mktemp("fresh") / "site")


@pytest.fixture
def site(fresh, tmp_path):
    return Path(shutil.copytree(fresh, tmp_path / "site"))


def writes_of(words, folder):
    """How many changes of a name a run makes, on a copy of the site."""
    copy = Path(shutil.copytree(folder, folder.with_name("counted")))
    counter = folder.with_name("count")

    def counting():
        count = [0]

        def hook(event, arguments):
            if event in ("os.rename", "os.link", "os.remove"):
                count[0] += 1

        sys.addaudithook(hook)
        run([*words, "--site", str(copy), "--json"])
        counter.write_text(str(count[0]))

    assert finish(child(counting)) == 0
    shutil.rmtree(copy)
    return int(counter.read_text())


def crash(words, site, number):
    return finish(child(lambda: (crash_at(number), run([*words, "--site", str(site), "--json"]))))


def test_an_import_that_dies_at_any_step(releaser, medium, site, capfd, seed):
    noise = random.Random(seed)
    words = ["bundle", "import", str(medium), "--root-digest", releaser.root_digest]
    total = writes_of(words, site)
    assert total > 40
    for number in sorted(noise.sample(range(total), CRASHES)):
        copy = Path(shutil.copytree(site, site.with_name("copy")))
        assert crash(words, copy, number) == CRASHED
        assert not list(copy.glob("airlock/*/bundle"))
        ask = asker(copy, lambda: capfd.readouterr().out)
        code, told = ask(*words[1:])
        assert (code, told["step"]) == (0, "scanned")
        assert contents(copy / "airlock" / told["id"] / "quarantine") == contents(medium)
        assert run(["audit", "check", "--site", str(copy)]) == 0
        shutil.rmtree(copy)


def test_a_release_that_dies_at_any_step(releaser, medium, site, capfd, seed):
    noise = random.Random(seed)
    ask = asker(site, lambda: capfd.readouterr().out)
    id = ask("import", medium, "--root-digest", releaser.root_digest)[1]["id"]
    assert ask("release-import", id, "--as", "approver/alice")[0] == 5
    words = ["bundle", "release-import", id, "--as", "approver/bob"]
    total = writes_of(words, site)
    for number in sorted(noise.sample(range(total), min(CRASHES, total))):
        copy = Path(shutil.copytree(site, site.with_name("copy")))
        assert crash(words, copy, number) == CRASHED
        place = copy / "airlock" / id
        if (place / "bundle").exists():  # whole, or not at all
            assert contents(place / "bundle") == contents(medium)
        again = asker(copy, lambda: capfd.readouterr().out)
        code, told = again(*words[1:])
        assert (code, told["step"]) == (0, "released")
        assert contents(place / "bundle") == contents(medium)
        shutil.rmtree(copy)


def test_one_release_and_a_crash_are_not_two(releaser, medium, site, capfd, seed):
    ask = asker(site, lambda: capfd.readouterr().out)
    id = ask("import", medium, "--root-digest", releaser.root_digest)[1]["id"]
    words = ["bundle", "release-import", id, "--as", "approver/alice"]
    for number in random.Random(seed).sample(range(writes_of(words, site)), 3):
        crash(words, site, number)
        assert ask(*words[1:])[0] == 5
        assert not (site / "airlock" / id / "bundle").exists()


FULL = """
import json, os, sys
from pathlib import Path
from appliance.bundle import forecast
from appliance.cli.main import run
site, medium, root = sys.argv[1:]
if len(os.environ.get("BLIND", "")):
    forecast.require_room.__code__ = (lambda target, needed_bytes, files: None).__code__  # the disk fills meanwhile
sys.exit(run(["bundle", "import", medium, "--root-digest", root, "--site", site, "--json"]))
"""


@pytest.mark.parametrize(("blind", "code", "exit_code"), [("", "APL-BUNDLE-049", 4), ("1", "APL-BASE-002", 1)])
def test_a_full_disk(releaser, site, tmp_path, blind, code, exit_code):
    """The airlock on a file system of its own, which is smaller than the bundle; then the disk is made larger."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs user and mount namespaces")
    from tests.volumes import files

    large = releaser.make(tmp_path / "large", files=files())
    (site / "airlock").mkdir()
    script = (
        f'mount -t tmpfs -o size=3m none "$1/airlock" && "{sys.executable}" -c "$0" "$@"; echo "code $?"; '
        'find "$1/airlock" -type f; mount -o remount,size=90m "$1/airlock"; '
        f'BLIND= "{sys.executable}" -c "$0" "$@"; echo "code $?"'
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, FULL, site, large, releaser.root_digest],
        capture_output=True, text=True, timeout=200, check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(Path(__file__).parents[3]), "BLIND": blind},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert f'"{code}"' in lines[0], done.stdout + done.stderr
    assert lines[1] == f"code {exit_code}"
    assert lines[2] == str(site / "airlock/lock")
    assert '"step": "scanned"' in lines[3], done.stdout + done.stderr
    assert lines[4] == "code 0"
