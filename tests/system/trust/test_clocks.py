"""A wrong clock changes no verdict, not by a byte: what counts as now is what witnesses signed."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.product import ENVIRONMENT, command
from tests.system.trust.governed_site import Governed, make_governed_site

pytestmark = pytest.mark.integration
CLOCKS = {
    "just after the epoch": "1970-01-02 00:00:00",
    "before the site was made": "2015-01-01 00:00:00",
    "after every certificate ended": f"{dt.datetime.now(dt.UTC).year + 25}-01-01 00:00:00",
}
VERIFIERS = ("auditor", "verify.py", "verify.sh")
CODES = {"good": 0, "bad": 3}


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Governed:
    if shutil.which("faketime") is None:
        pytest.skip("needs faketime")
    made = make_governed_site(tmp_path_factory.mktemp("governed"))
    bad = shutil.copytree(made.pack, packs(made)["bad"])
    (bad / "artifacts" / "stranger").write_bytes(b"nobody vouched for this")
    return made


def packs(governed: Governed) -> dict[str, Path]:
    return {"good": governed.pack, "bad": governed.pack.with_name("bad")}


def ask(governed: Governed, verifier: str, pack: str, clock: str | None) -> tuple[int, str]:
    """Exit code and everything that was printed."""
    path, own = packs(governed)[pack], governed.pack / "verifiers" / verifier
    asked = {
        "auditor": [*command("audit", "verify", path, "--root-digest", governed.root_digest), "--json"],
        "verify.py": ["python3", own, "pack", "--json", "--root-digest", governed.root_digest, path],
        "verify.sh": ["bash", own, "pack", path, governed.root_digest],
    }[verifier]
    words = [*(("faketime", "-f", f"@{clock}") if clock else ()), *map(str, asked)]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def expected(governed: Governed) -> dict[tuple[str, str], tuple[int, str]]:
    """What each verifier says of each pack with the right clock."""
    return {(verifier, pack): ask(governed, verifier, pack, None) for verifier in VERIFIERS for pack in CODES}


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_clock_is_wrong_in_such_a_process(clock: str) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("needs faketime")
    words = ["faketime", "-f", f"@{CLOCKS[clock]}", "date", "-u", "+%Y"]
    year = subprocess.run(words, env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True, check=True).stdout
    assert year.strip() == CLOCKS[clock][:4]


@pytest.mark.parametrize("pack", CODES)
@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("clock", CLOCKS)
def test_no_byte_of_the_verdict_changes(
    governed: Governed, expected: dict[tuple[str, str], tuple[int, str]], clock: str, verifier: str, pack: str
) -> None:
    assert expected[verifier, pack][0] == CODES[pack]
    assert ask(governed, verifier, pack, CLOCKS[clock]) == expected[verifier, pack]
