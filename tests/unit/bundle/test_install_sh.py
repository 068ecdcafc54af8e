"""What of the installer shows without a host; tests/e2e runs it on one."""

import subprocess
from pathlib import Path

import pytest

from appliance.bundle import own_parts, wheels
from tests.bundles import make_releaser

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_releaser(tmp_path_factory.mktemp("releaser")).make(tmp_path_factory.mktemp("medium") / "demo")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected sha256: and 64 hex digits, got ''"),
        (["sha256:2a97"], "expected sha256: and 64 hex digits, got 'sha256:2a97'"),
        (["sha256:" + "a" * 64 + "\n"], "expected sha256: and 64 hex digits"),
        (["sha256:" + "a" * 64, "status"], "expected preflight, install or verify, got 'status'"),
        (["sha256:" + "a" * 64, "--check"], "expected preflight, install or verify, got '--check'"),
    ],
)
def test_a_wrong_use_is_told_before_anything_is_looked_at(bundle, words, said):
    done = subprocess.run(["bash", bundle / "install.sh", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "\n  do: " in done.stderr


def test_the_start_page_names_the_one_command(bundle):
    assert "    bash install.sh sha256:..." in (bundle / "START-HERE.txt").read_text().splitlines()
    small = own_parts.small_files(bundle="demo", version="1.2.0", lock=b"{}\n")
    assert small["install.sh"][1:] == (True, "start")


def test_one_environment_can_hold_what_deploys():
    """The control environment has the pins of both: one version of each distribution."""
    found: dict[str, set[str]] = {}
    for name in ("runtime", "ansible"):
        path = ROOT / "offline_wheels" / f"{name}.lock"
        for pin in wheels.parse_pins(path.read_text(), where=str(path)):
            found.setdefault(pin.name, set()).add(pin.version)
    assert {name: versions for name, versions in found.items() if len(versions) > 1} == {}
