"""A bundle of an earlier release verifies for ever: by the product, by today's verifiers, and by its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.base.archive import unpack
from tests.system.trust.opinions import ask, write_builds
from tests.system.trust.test_release import VERIFIERS, command

pytestmark = pytest.mark.integration
VECTOR = Path(__file__).parents[2] / "vectors" / "bundle"
ROOT_DIGEST = (VECTOR / "root-digest").read_text(encoding="ascii").strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("vector")
    unpack(VECTOR / "demo.tar", place, max_bytes=4 << 20)
    write_builds(place)
    return place


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("of", ["today", "its own"])
def test_the_verifiers(folder: Path, verifier: str, of: str) -> None:
    program = folder / verifier if of == "today" else folder / "demo" / verifier
    assert ask(command(program, folder / "demo", ROOT_DIGEST)) is None


def test_the_product(folder: Path) -> None:
    words = ["bundle", "verify", str(folder / "demo"), "--root-digest", ROOT_DIGEST, "--json"]
    done = subprocess.run([sys.executable, "-m", "appliance", *words], capture_output=True, timeout=120, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode, found["verified"]) == (0, True)
    assert any("release 1.2.0 of demo" in each for each in found["established"])
